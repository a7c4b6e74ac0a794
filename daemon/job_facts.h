// What commands know of one job of the configuration.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/runner/decision.h"
#include "jobs/runner/lease.h"
#include "jobs/runner/run_record.h"

namespace pgsteward {

struct JobFacts {
  explicit JobFacts(const JobPolicy& job) : policy(&job) {}

  const JobPolicy* policy;
  std::string server;
  // Why no job of the server can run, as an error's message; empty: nothing.
  std::string problem = {};
  // Empty: the database does not know the job (no daemon has seen it), or could not be asked.
  std::optional<JobState> state = {};
  bool from_journal = false;  // `state`
  // Of the scheduler, of the job and of its groups, those that were ever taken.
  std::vector<LeaseRow> leases = {};
  std::vector<RunRecord> runs = {};  // newest first, not all of them

  const LeaseRow* Lease(const std::string& name) const;
  // The run that the database believes to be under way.
  const RunRecord* Running() const;
  // A paused job's pause, while it lasts.
  bool PausedAt(WallTime now) const;
  bool NeedsConfirmation() const;  // before a run, and has none
  // Whether the database has been asked for the confirmation.
  bool KnowsConfirmation() const { return state ? !from_journal : problem.empty(); }
  // As the daemon's scheduler sees it; empty: never by itself.
  std::optional<WallTime> NextDue(WallTime now) const;
};

}  // namespace pgsteward
