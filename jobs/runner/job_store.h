// What is kept of jobs in the database: pgsteward.job_state and pgsteward.job_run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "jobs/runner/decision.h"
#include "jobs/runner/lease.h"

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

Task<Result<std::vector<JobState>>> LoadJobStates(Database& db);

// Makes the rows that are missing; those of other daemons' jobs stay.
Task<Result<void>> RegisterJobs(Database& db, const std::vector<JobPolicy>& jobs);

// Stores what a decision changed, unless somebody else has changed the row since `before` was read:
// then false.
Task<Result<bool>> StoreDecision(Database& db, const JobPolicy& policy, const JobState& before,
                                 const Decision& decision);

// In an open transaction, with the job's lease taken in it: makes the row of the run and notes it
// as the job's last one. With a `decision` it also claims the due time, and is false when somebody
// else has claimed it or paused the job; then roll back.
Task<Result<bool>> ClaimRun(JobSession& db, const JobPolicy& policy, const RunRecord& record,
                            const JobState* before, const Decision* decision);

// The end of a run, in one transaction; telling it twice changes nothing the second time.
Task<Result<void>> FinishRun(JobSession& db, const RunRecord& record);

// Runs without an end whose lease is gone: each becomes "aborted" when its lease could be taken, so
// that it really is over. `retry` says which jobs may try the same due time again. Returns the
// runs.
Task<Result<std::vector<std::string>>> AbortLostRuns(JobSession& db, const std::string& holder,
                                                     const std::vector<JobPolicy>& jobs);

// Deletes ended runs that are older than `age` ("90 days"), each job's last one excepted, and the
// reaper's log of the same age. How many runs.
Task<Result<long long>> PruneHistory(Database& db, const std::string& age);

// `until` empty: until it is resumed. False: no such job.
Task<Result<bool>> PauseJob(Database& db, const std::string& job, std::optional<WallTime> until,
                            const std::string& by, const std::string& reason);
Task<Result<bool>> ResumeJob(Database& db, const std::string& job);

// Newest first.
Task<Result<std::vector<RunRecord>>> ReadHistory(Database& db, const std::string& job, int most);

}  // namespace pgsteward
