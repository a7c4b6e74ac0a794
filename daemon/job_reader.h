// Reads what a database, or else the local journal, knows of jobs.
#pragma once

#include <string>
#include <vector>

#include "core/runtime.h"
#include "daemon/job_facts.h"
#include "jobs/job_session.h"

namespace pgsteward {

enum class FactsDepth {
  kStates,  // for a list of jobs
  kAll,     // leases and runs too
};

// In one snapshot of a read-only transaction, so on a standby too: that is then its `problem`.
// kUnavailable: no session; kUnsupported: the database lacks pgsteward's tables. `db` stays open.
Task<Result<void>> ReadFacts(JobSession& db, std::vector<JobFacts>& jobs, FactsDepth depth);

// The last states that the daemon's journal knows. A daemon that has kept none is no error.
Result<void> StatesFromJournal(Runtime& runtime, const std::string& path,
                               std::vector<JobFacts>& jobs);

// Newest first: ends in it that the database does not know, of `job` or of all when empty.
std::vector<RunRecord> UntoldRuns(Runtime& runtime, const std::string& path,
                                  const std::string& job);

}  // namespace pgsteward
