#include "daemon/job_why_not.h"

#include "core/terminal_text.h"
#include "daemon/job_times.h"
#include "jobs/runner/execution.h"

namespace pgsteward {

namespace {

constexpr int kPassed = 5;
constexpr std::string_view kLeaderLease = "scheduler";

using Reasons = std::vector<std::string>;

struct Teller {
  const JobFacts& facts;
  WallTime now;

  const JobPolicy& policy() const { return *facts.policy; }
  // "2026-03-29 03:00:00 CEST (in 3h05m)"
  std::string At(WallTime time) const {
    if (IsForEver(time)) return "somebody resumes it";
    return LocalTime(policy().zone, time) + " (" + Relative(time, now) + ")";
  }
  std::string ByHand() const { return "pgsteward job run " + policy().name; }
};

void AddProblem(const Teller& tell, Reasons& reasons) {
  if (tell.facts.problem.empty()) return;
  const std::string problem = HarmlessLine(tell.facts.problem);
  reasons.push_back(
      "No job of server " + tell.facts.server + " can run now: " + problem +
      (std::string_view(".?!").find(problem.back()) == std::string_view::npos ? "." : ""));
  if (tell.facts.from_journal) {
    reasons.push_back("What follows is what the daemon on this machine knew last.");
  }
}

// True: it runs.
bool AddRunning(const Teller& tell, Reasons& reasons) {
  const RunRecord* run = tell.facts.Running();
  if (!run) return false;
  const LeaseRow* lease = tell.facts.Lease("job/" + tell.policy().name);
  const std::string which = run->run_id + " of " + HarmlessLine(run->holder);
  if (lease && lease->held && lease->epoch == run->epoch) {
    reasons.push_back("It does run: run " + which + " began at " + tell.At(run->started) + ", by " +
                      std::string(TriggerName(run->trigger)) +
                      "; whether a gate throttles it says the metric pgsteward_job_throttled.");
    return true;
  }
  reasons.push_back("Run " + which + " began at " + tell.At(run->started) +
                    " and went away without a word; the daemon that leads will call it aborted.");
  return false;
}

void AddSwitches(const Teller& tell, Reasons& reasons) {
  if (!tell.policy().enabled) {
    reasons.push_back("It is not enabled: set enabled: true below jobs: " + tell.policy().name +
                      ": in the configuration, or run it by hand: " + tell.ByHand() + ".");
  }
  if (tell.policy().timetable.manual()) {
    reasons.push_back("It has no schedule and runs only by hand: " + tell.ByHand() + ".");
  }
  if (tell.facts.PausedAt(tell.now)) {
    const JobState& state = *tell.facts.state;
    std::string text = "It is paused";
    if (!state.paused_by.empty()) text += " by " + HarmlessLine(state.paused_by);
    text += " until " + tell.At(*state.paused_until);
    if (!state.pause_reason.empty()) text += ", because: " + HarmlessLine(state.pause_reason);
    reasons.push_back(text + "; go on with: pgsteward job resume " + tell.policy().name + ".");
  }
  if (tell.facts.NeedsConfirmation() && tell.facts.KnowsConfirmation()) {
    const std::string hash = tell.policy().PlanHash();
    reasons.push_back("Its plan " + hash +
                      " has no person's word yet; look at it with: " + tell.ByHand() +
                      " --dry-run, then: " + tell.ByHand() + " --confirm " + hash + ".");
  }
}

void AddLeader(const Teller& tell, Reasons& reasons) {
  if (!tell.facts.problem.empty()) return;
  const LeaseRow* leader = tell.facts.Lease(std::string(kLeaderLease));
  if (!leader) {
    reasons.push_back("No daemon has ever led the jobs of server " + tell.facts.server +
                      ": start pgsteward serve with this configuration.");
  } else if (!leader->held) {
    reasons.push_back("No daemon leads the jobs of server " + tell.facts.server +
                      ": the lease of " + HarmlessLine(leader->holder) + " ended at " +
                      tell.At(leader->expires_at) + ".");
  } else if (!tell.facts.state) {
    reasons.push_back("The daemon " + HarmlessLine(leader->holder) +
                      ", which leads, does not know the job: does it have this configuration?");
  }
}

void AddClosed(const Teller& tell, Reasons& reasons) {
  const std::string_view closed = tell.policy().ClosedAt(tell.now);
  if (closed.empty()) return;
  const bool window = closed == "window";
  std::string text = window ? "It is outside its window " + tell.policy().window.Describe()
                            : "It is in the blackout " + tell.policy().blackout.Describe();
  const auto opens = OpensAfter(tell.policy(), tell.now);
  text += opens ? ", until " + tell.At(*opens) : ", for more than a year to come";
  reasons.push_back(text + ".");
}

void AddLeases(const Teller& tell, Reasons& reasons) {
  for (const std::string& name : LeaseNames(tell.policy())) {
    const LeaseRow* lease = tell.facts.Lease(name);
    if (!lease || !lease->held) continue;
    reasons.push_back("The lease " + name + " is held by " + HarmlessLine(lease->holder) +
                      " since " + tell.At(lease->acquired_at) + ": only one may run at a time.");
  }
}

void AddLastRun(const Teller& tell, Reasons& reasons) {
  if (!tell.facts.state) return;
  const JobState& state = *tell.facts.state;
  if (state.last_status != "failed" && state.last_status != "aborted") return;
  std::string text =
      "Its last run " + std::string(state.last_status == "failed" ? "failed" : "was aborted");
  if (state.last_finished_at) text += " at " + tell.At(*state.last_finished_at);
  for (const RunRecord& run : tell.facts.runs) {
    if (run.run_id != state.last_run) continue;
    const std::string& why = run.error_text.empty() ? run.report.reason : run.error_text;
    if (!why.empty()) text += ": " + HarmlessLine(why);
    if (!run.error_sqlstate.empty()) text += " (SQLSTATE " + HarmlessLine(run.error_sqlstate) + ")";
  }
  if (state.retry_at) {
    text +=
        "; attempt " + std::to_string(state.attempt + 1) + " comes at " + tell.At(*state.retry_at);
  } else {
    text += "; it is not tried again before its next due time";
  }
  if (state.consecutive_failures > 1) {
    text += "; " + std::to_string(state.consecutive_failures) + " failures in a row";
  }
  reasons.push_back(text + ".");
}

void AddDue(const Teller& tell, bool hindered, Reasons& reasons) {
  const auto due = tell.facts.NextDue(tell.now);
  if (!due) return;
  const bool queued = tell.facts.state && tell.facts.state->queued > 0;
  if (queued) reasons.push_back("A due time came while it ran; it runs once more for it.");
  if (*due > tell.now) {
    if (!queued) reasons.push_back("It is not due until " + tell.At(*due) + ".");
  } else if (hindered) {
    reasons.push_back("It is due since " + tell.At(*due) + "; the above keeps it from running.");
  } else {
    reasons.push_back("It is due since " + tell.At(*due) +
                      "; nothing keeps it: the daemon begins it within seconds.");
  }
}

}  // namespace

WhyNot ExplainWhyNot(const JobFacts& facts, WallTime now) {
  const Teller tell{facts, now};
  WhyNot why;
  AddProblem(tell, why.reasons);
  if (!AddRunning(tell, why.reasons)) {
    AddSwitches(tell, why.reasons);
    AddLeader(tell, why.reasons);
    AddClosed(tell, why.reasons);
    AddLeases(tell, why.reasons);
    const bool hindered = !why.reasons.empty();
    AddLastRun(tell, why.reasons);
    AddDue(tell, hindered, why.reasons);
  }
  why.passed = PassedDueTimes(facts, kPassed, now);
  if (facts.state) {
    why.missed = MissedText(*facts.state);
    why.known_since = facts.policy->zone.Format(facts.state->registered_at);
  }
  return why;
}

}  // namespace pgsteward
