#include <filesystem>
#include <iostream>

#include "daemon/backup_job.h"
#include "daemon/commands.h"
#include "daemon/job_command.h"
#include "jobs/backup/place.h"

namespace pgsteward {

int BackupInitCommand(const BackupCommandOptions& options) {
  std::error_code failed;
  const std::string path = std::filesystem::absolute(options.target, failed).lexically_normal();
  const auto made = MakeSentinel(path);
  if (!made) {
    Complain("backup init", made.error());
    return made.error().code == Errc::kBusy ? kExitUsage : kExitFailure;
  }
  std::cout << "Made " << path << ". Backups will lie there once a job of type backup says:\n"
            << "  target: " << path << "\n"
            << "  recipients: two public keys, each from: age-keygen -o key.txt\n"
            << "Keep the private keys elsewhere. Try it with: pgsteward backup run --dry-run.\n";
  return kExitOk;
}

int BackupRunCommand(const BackupCommandOptions& options) {
  JobCommandOptions run;
  {
    const BackupJob found = FindBackupJob(options);
    if (found.exit_code != kExitOk) return found.exit_code;
    run.name = found.job->policy.name;
  }
  run.config_path = options.config_path;
  run.server = options.server;
  run.output = options.output;
  run.dry_run = options.dry_run;
  return JobRunCommand(run);
}

}  // namespace pgsteward
