// Runs in the database: pgsteward.job_run, and what they leave in pgsteward.job_state.
#pragma once

#include <string>
#include <vector>

#include "jobs/job_session.h"
#include "jobs/runner/decision.h"
#include "jobs/runner/run_record.h"

namespace pgsteward {

enum class Claim {
  kTaken,
  kChanged,  // somebody else has claimed the due time, or has paused the job: roll back
  // The history has a run of it although the job's row says that it is still to come (the row was
  // lost by a failover, or a clock was set back): commit, so that the schedule goes on.
  kRanBefore,
};

// In an open transaction, with the job's lease taken in it: makes the row of the run and notes it
// as the job's last one. With a `decision` it also claims the due time.
Task<Result<Claim>> ClaimRun(JobSession& db, const JobPolicy& policy, const RunRecord& record,
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

// Newest first.
Task<Result<std::vector<RunRecord>>> ReadHistory(Database& db, const std::string& job, int most);

}  // namespace pgsteward
