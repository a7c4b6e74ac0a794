// Signals a session and writes pgsteward.remediation_log: each call is one fenced transaction.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "jobs/job.h"
#include "jobs/reaper/reaper_policy.h"

namespace pgsteward {

struct ReaperSignal {
  long long id = 0;  // in the log
  ReaperAction action = ReaperAction::kRefused;
  // "sent"; of kRefused: "changed" (it is not what was looked at any more), "gone", "rate_limit",
  // "not_permitted".
  std::string result;
};

// Cancels or terminates as decision.action says, if the session still is what was looked at, which
// the statement that signals finds out, and if the rate allows it. `escalation`: the statement was
// cancelled before, which has been counted.
Task<Result<ReaperSignal>> SignalSession(JobContext& context, const ReaperPolicy& policy,
                                         const ReaperDecision& decision, bool escalation);

// What was decided and is not done. What the log says of the same statement since less than an hour
// is not written again.
Task<Result<void>> LogDecisions(JobContext& context, const std::vector<ReaperDecision>& decisions);

// What became of signals: id and "ended" or "survived".
Task<Result<void>> LogResults(JobContext& context,
                              const std::vector<std::pair<long long, std::string>>& results);

}  // namespace pgsteward
