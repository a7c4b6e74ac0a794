// What the reaper reads of the server: may it, and whom does it see.
#pragma once

#include <string>
#include <vector>

#include "jobs/job_session.h"
#include "jobs/reaper/reaper_policy.h"

namespace pgsteward {

// What decides whether a run can do its work.
struct ReaperAbility {
  std::string role;  // quoted as an identifier
  bool in_recovery = false;
  bool sees_everybody = false;  // pg_read_all_stats
  bool may_signal = false;      // pg_signal_backend
  bool tracks_activities = false;
  bool has_log = false;                     // pgsteward.remediation_log is there
  bool may_log = false;                     // SELECT, INSERT and UPDATE of it
  std::vector<std::string> unset_timeouts;  // settings of the server that are 0
};

Task<Result<ReaperAbility>> ReadReaperAbility(JobSession& db);
// The first reason why a run in `mode` cannot do its work. Pure.
Result<void> CheckReaperAbility(const ReaperAbility& ability, ReaperMode mode);

// One look at all sessions, in a transaction of its own: within one transaction the server shows
// the same pg_stat_activity again and again. `exclude_roles`: patterns, see MatchesPattern().
Task<Result<ReaperFacts>> LookAtSessions(JobSession& db,
                                         const std::vector<std::string>& exclude_roles);

// ReaperIdentity() of those of `pids` that are there, each followed by "pid|backend_start".
Task<Result<std::vector<std::string>>> ReadReaperIdentities(JobSession& db,
                                                            const std::vector<long long>& pids);

// Seconds since each statement that was signalled within the last hour. In the open transaction, or
// in one of its own.
Task<Result<std::vector<double>>> ReadRecentSignals(JobSession& db);

}  // namespace pgsteward
