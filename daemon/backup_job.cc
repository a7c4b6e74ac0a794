#include "daemon/backup_job.h"

#include "daemon/commands.h"
#include "daemon/job_choice.h"

namespace pgsteward {

namespace {

std::string Candidates(const Config& config, const BackupCommandOptions& options,
                       const JobConfig*& found) {
  std::string names;
  int count = 0;
  for (const JobConfig& job : config.jobs) {
    const bool meant = job.policy.spec->name == "backup" &&
                       (options.job.empty() || job.policy.name == options.job) &&
                       (options.server.empty() || job.server == options.server);
    if (!meant) continue;
    names += (names.empty() ? "" : ", ") + job.policy.name;
    found = ++count == 1 ? &job : nullptr;
  }
  return names;
}

}  // namespace

BackupJob FindBackupJob(const BackupCommandOptions& options) {
  BackupJob found;
  JobCommandOptions common;
  common.config_path = options.config_path;
  common.server = options.server;
  JobChoice choice = ChooseServer(common);
  found.exit_code = choice.exit_code;
  if (found.exit_code != kExitOk) return found;
  found.loaded = std::move(choice.loaded);
  const std::string names = Candidates(found.loaded->config, options, found.job);
  if (!found.job) {
    const std::string which = options.job.empty() ? "" : " \"" + options.job + "\"";
    const Error none(Errc::kBadConfig, "no job" + which + " of type backup in the configuration",
                     {}, "See docs/backups.md.");
    const Error several(Errc::kBadConfig, "more than one job takes backups: " + names, {},
                        "Choose one with --job.");
    const Error& problem = names.empty() ? none : several;
    Complain("backup", problem);
    found.exit_code = JobExitCode(problem);
    return found;
  }
  found.server = FindServer(found.loaded->config, found.job->server);
  return found;
}

}  // namespace pgsteward
