// One run of a job, as it is kept.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/json.h"
#include "jobs/job.h"
#include "jobs/runner/decision.h"

namespace pgsteward {

// A row of pgsteward.job_run, and what its end says about the job.
struct RunRecord {
  std::string run_id;
  std::string job;
  std::string type;
  Trigger trigger = Trigger::kManual;
  std::optional<WallTime> due;
  int attempt = 1;
  WallTime started{};
  std::string host;
  int pid = 0;
  std::string holder;
  std::int64_t epoch = 0;
  int timeline = 0;
  // Of the end:
  WallTime finished{};
  JobReport report;
  std::map<std::string, double> throttled;  // seconds by reason
  std::string error_sqlstate;
  std::string error_text;
  std::optional<WallTime> retry_at;  // another attempt of the same due time
  std::string accepted_plan;         // to be remembered, when not empty
};

// For the journal.
FlatObject ToFlat(const RunRecord& record);
Result<RunRecord> RunFromFlat(const FlatObject& object);

}  // namespace pgsteward
