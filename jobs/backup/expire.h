// Carries out a plan of retention: what no rule keeps goes to .trash, and after a delay for good.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/task.h"
#include "jobs/backup/place.h"
#include "jobs/backup/retention.h"
#include "jobs/job.h"

namespace pgsteward {

struct ExpireRequest {
  BackupPlace place;
  RetentionPolicy policy;
  std::chrono::seconds trash_delay{0};
  int failures_in_a_row = 0;
  WallTime now;
  std::optional<WallTime> server_now;
  bool empty_trash = false;  // space is needed: what lies in .trash goes at once
  bool dry_run = false;
};

struct ExpireOutcome {
  PlaceContent content;  // as it was before
  RetentionPlan plan;
  std::vector<std::string> quarantined;  // moved to .trash; of a dry run: would be
  std::vector<std::string> removed;      // deleted out of .trash; of a dry run: would be
  std::uint64_t freed_bytes = 0;         // by `removed`
};

// Blocks. While the plan is frozen nothing moves, also out of .trash. On an error a part may be
// done; the next time goes on with it.
Result<ExpireOutcome> ExpireBackups(const ExpireRequest& request);

// "keep 20261125T030000Z-7f3a proven: the newest", a line per backup, newest first; then what is
// frozen, and what goes out of .trash.
std::vector<std::string> ExpireLines(const ExpireOutcome& outcome);

// The server's clock, and how often in a row runs of `job` failed.
Task<Result<void>> ReadExpireFacts(JobSession& db, std::string job, ExpireRequest& request);

struct ExpireMoment {
  bool after_success = false;  // a backup was published just now: earlier failures do not count
  bool empty_trash = false;
};
// For the job that takes backups, before and after the dump, with the options of
// retention_options.h: asks the server for its time and for failed runs, expires on a thread of the
// pool, brings pgsteward.proven_backup up to date. A dry run only plans. Adds to `report`: the
// details expired, deleted, freed_bytes, retention_frozen and anomaly; the plan of a dry run. That
// the table is not there yet stands in the details and is no error.
Task<Result<ExpireOutcome>> ExpireInJob(JobContext& context, BackupPlace place, ExpireMoment moment,
                                        JobReport& report);

}  // namespace pgsteward
