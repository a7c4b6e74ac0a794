// The state of jobs in the database: pgsteward.job_state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/pg_session.h"
#include "jobs/runner/decision.h"

namespace pgsteward {

Task<Result<std::vector<JobState>>> LoadJobStates(Database& db);

// Makes the rows that are missing; those of other daemons' jobs stay.
Task<Result<void>> RegisterJobs(Database& db, const std::vector<JobPolicy>& jobs);

// Stores what a decision changed, unless somebody else has changed the row since `before` was read:
// then false.
Task<Result<bool>> StoreDecision(Database& db, const JobPolicy& policy, const JobState& before,
                                 const Decision& decision);

// In an open transaction: takes the due time that `decision` starts, or is false when somebody else
// has claimed it or paused the job.
Task<Result<bool>> ClaimDue(Database& db, const JobPolicy& policy, const JobState& before,
                            const Decision& decision, std::optional<WallTime> due, int attempt);

// `until` empty: until it is resumed. False: no such job.
Task<Result<bool>> PauseJob(Database& db, const std::string& job, std::optional<WallTime> until,
                            const std::string& by, const std::string& reason);
Task<Result<bool>> ResumeJob(Database& db, const std::string& job);

}  // namespace pgsteward
