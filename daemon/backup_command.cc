#include "daemon/backup_command.h"

#include <iostream>
#include <optional>

#include "core/task_group.h"
#include "daemon/backup_job.h"
#include "daemon/backup_output.h"
#include "daemon/commands.h"
#include "daemon/job_choice.h"
#include "daemon/job_reader.h"
#include "daemon/operating.h"
#include "jobs/backup/pins.h"
#include "jobs/backup/proven_backup.h"
#include "jobs/backup/retention_options.h"

namespace pgsteward {

namespace {

bool AsJson(const BackupCommandOptions& options) { return options.output == "json"; }

int ExitCodeOf(const Error& error) {
  return error.code == Errc::kNoData ? kExitUsage : JobExitCode(error);
}

int Refuse(const std::string& what, const Error& error) {
  Complain(what, error);
  return ExitCodeOf(error);
}

// The job that takes the backups, and where it puts them.
struct TakenBy {
  int exit_code = kExitOk;
  std::optional<LoadedConfig> loaded;
  const JobConfig* job = nullptr;
  const ServerConfig* server = nullptr;
  BackupPlace place;
};

TakenBy FindJobOfBackups(const BackupCommandOptions& options) {
  TakenBy taken;
  BackupJob found = FindBackupJob(options);
  taken.exit_code = found.exit_code;
  taken.loaded = std::move(found.loaded);
  taken.job = found.job;
  taken.server = found.server;
  if (taken.exit_code != kExitOk) return taken;
  taken.place.target = NormalTarget(taken.job->policy.options.Text("target"));
  taken.place.server = taken.job->server;
  if (const auto sentinel = CheckSentinel(taken.place); !sentinel) {
    taken.exit_code = Refuse("backup", sentinel.error());
  }
  return taken;
}

Result<FoundBackup> FindBackup(const BackupPlace& place, const std::string& id) {
  auto content = ReadPlace(place);
  if (!content) return content.error();
  for (auto each = content->backups.rbegin(); each != content->backups.rend(); ++each) {
    if (each->id == id || (id == "latest" && each->manifest)) return std::move(*each);
  }
  return Error(Errc::kNoData, "no backup " + FileNameOf(id) + " in " + place.Root(), {},
               "See what is there with: pgsteward backup list.");
}

std::vector<Manifest> ProvenOf(PlaceContent content) {
  std::vector<Manifest> proven;
  for (FoundBackup& each : content.backups) {
    if (each.manifest && each.manifest->proven()) proven.push_back(std::move(*each.manifest));
  }
  return proven;
}

// Without the database nothing is deleted; what would be can still be said.
Task<Result<void>> AskServer(JobSession& db, const std::string& job, ExpireRequest& request) {
  auto opened = co_await db.Open();
  if (!opened) co_return opened;
  co_return co_await ReadExpireFacts(db, job, request);
}

Task<void> DoExpire(Runtime& runtime, const TakenBy& taken, ExpireRequest& request,
                    std::optional<Result<ExpireOutcome>>& outcome) {
  JobSession db(runtime, JobTarget(*taken.server));
  const std::string job = taken.job->policy.name;
  auto asked = co_await AskServer(db, job, request);
  if (!asked && !request.dry_run) {
    outcome.emplace(asked.error());
    co_return;
  }
  if (!asked) {
    std::cerr << "pgsteward: note: failed runs and the server's clock are not known: "
              << ToText(asked.error()) << "\n";
  }
  outcome.emplace(ExpireBackups(request));
  if (request.dry_run) co_return;
  // Also after an error: some may have gone before it, and purging must not rely on them.
  auto content = ReadPlace(request.place);
  Result<void> synced = content ? Result<void>() : Result<void>(content.error());
  if (content) {
    std::vector<Manifest> proven = ProvenOf(std::move(*content));
    synced = co_await SyncProvenBackups(db, request.place, std::move(proven));
  }
  if (!synced && *outcome) outcome.emplace(synced.error());
}

}  // namespace

int BackupListCommand(const BackupCommandOptions& options) {
  const TakenBy taken = FindJobOfBackups(options);
  if (taken.exit_code != kExitOk) return taken.exit_code;
  const auto content = ReadPlace(taken.place);
  if (!content) return Refuse("backup list", content.error());
  const WallTime now = WallNow();
  std::cout << (AsJson(options) ? BackupsJson(*content, now) : BackupsTable(*content, now));
  return kExitOk;
}

int BackupShowCommand(const BackupCommandOptions& options) {
  const TakenBy taken = FindJobOfBackups(options);
  if (taken.exit_code != kExitOk) return taken.exit_code;
  const auto backup = FindBackup(taken.place, options.backup);
  if (!backup) return Refuse("backup show", backup.error());
  const WallTime now = WallNow();
  std::cout << (AsJson(options) ? BackupJson(*backup, now) : BackupSheet(*backup, now));
  return backup->manifest ? kExitOk : kExitFailure;
}

int BackupExpireCommand(const BackupCommandOptions& options) {
  const TakenBy taken = FindJobOfBackups(options);
  if (taken.exit_code != kExitOk) return taken.exit_code;
  const JobOptions& job = taken.job->policy.options;
  ExpireRequest request;
  request.place = taken.place;
  request.policy = RetentionPolicyOf(job);
  request.trash_delay = job.Duration("trash_delay");
  request.now = WallNow();
  request.dry_run = options.dry_run;
  Runtime runtime;
  std::optional<Result<ExpireOutcome>> outcome;
  RunToEnd(runtime, DoExpire(runtime, taken, request, outcome));
  if (!*outcome) return LeaveWith(runtime, Refuse("backup expire", outcome->error()));
  const ExpireOutcome& done = **outcome;
  std::cout << (AsJson(options) ? ExpireJson(done, options.dry_run)
                                : ExpireText(done, options.dry_run));
  return LeaveWith(runtime, done.plan.freeze == Freeze::kNone ? kExitOk : kExitPartial);
}

int BackupKeepCommand(const BackupCommandOptions& options) {
  const TakenBy taken = FindJobOfBackups(options);
  if (taken.exit_code != kExitOk) return taken.exit_code;
  const auto backup = FindBackup(taken.place, options.backup);
  if (!backup) return Refuse("backup keep", backup.error());
  if (auto kept = KeepBackup(taken.place, backup->id, options.reason); !kept) {
    return Refuse("backup keep", kept.error());
  }
  std::cout << backup->id << " is kept until: pgsteward backup unkeep " << backup->id << "\n";
  return kExitOk;
}

int BackupUnkeepCommand(const BackupCommandOptions& options) {
  const TakenBy taken = FindJobOfBackups(options);
  if (taken.exit_code != kExitOk) return taken.exit_code;
  const auto backup = FindBackup(taken.place, options.backup);
  if (!backup) return Refuse("backup unkeep", backup.error());
  const auto unkept = UnkeepBackup(taken.place, backup->id);
  if (!unkept) return Refuse("backup unkeep", unkept.error());
  if (*unkept) std::cout << backup->id << " is no longer kept by hand\n";
  const bool anomaly =
      backup->manifest && !backup->manifest->anomaly.empty() && !backup->anomaly_accepted;
  if (anomaly) {
    if (auto accepted = AcceptAnomaly(taken.place, backup->id); !accepted) {
      return Refuse("backup unkeep", accepted.error());
    }
    std::cout << "the anomaly of " << backup->id << " is accepted and keeps no older backup\n";
  }
  if (!*unkept && !anomaly) {
    std::cout << backup->id << " was not kept by hand, and has no anomaly to accept\n";
  }
  return kExitOk;
}

}  // namespace pgsteward
