#include "daemon/job_due.h"

#include <algorithm>
#include <cmath>

#include "core/duration.h"
#include "core/terminal_text.h"
#include "daemon/job_times.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::seconds;

constexpr days kLookBack{365};
constexpr days kLookAhead{400};
// A run that begins this late is on time.
constexpr seconds kOnTime{60};

void Add(std::string& remark, const std::string& more) {
  remark += (remark.empty() ? "" : "; ") + more;
}

// What the rules for daylight saving do at a due time and between it and the one before.
void AddClockChanges(const Timetable& timetable, WallTime before, WallTime due,
                     const TimeZone& zone, std::string& remark) {
  const Timetable made_up = timetable.WithRules(GapRule::kRunAtEnd, timetable.fold());
  const Timetable left_out = timetable.WithRules(GapRule::kSkip, timetable.fold());
  if (timetable.gap() == GapRule::kRunAtEnd && left_out.Next(due - seconds(1)) != due) {
    Add(remark, "the clock jumps over its time: at the end of the gap (gap: run_at_end)");
  }
  const auto skipped = made_up.Next(before);
  if (skipped && *skipped < due) {
    Add(remark,
        "none before it at " + zone.Format(*skipped) + ", over which the clock jumps (gap: skip)");
  }
  const Timetable once = timetable.WithRules(timetable.gap(), FoldRule::kFirst);
  const Timetable twice = timetable.WithRules(timetable.gap(), FoldRule::kBoth);
  if (once.Next(due - seconds(1)) != due) {
    Add(remark, "the second time that the clock says so (fold: both)");
    return;
  }
  const ZonePeriod period = zone.PeriodOf(std::chrono::floor<seconds>(due));
  const WallTime again = due + (period.offset - zone.PeriodOf(period.end).offset);
  if (again > due && twice.Next(again - seconds(1)) == again &&
      timetable.Next(again - seconds(1)) != again) {
    Add(remark, "the clock says so twice: only the first time (fold: first)");
  }
}

void AddClosed(const JobFacts& facts, WallTime due, std::string& remark) {
  const JobPolicy& policy = *facts.policy;
  if (facts.PausedAt(due)) {
    Add(remark, "paused then: not run");
    return;
  }
  const std::string_view closed = policy.ClosedAt(due);
  if (closed.empty()) return;
  const std::string where = closed == "window" ? "outside the window" : "in a blackout";
  const auto opens = OpensAfter(policy, due);
  if (opens && *opens - due <= policy.Grace()) {
    Add(remark, where + ": runs at " + policy.zone.Format(*opens));
  } else {
    Add(remark,
        where + " for longer than its grace of " + FormatDuration(policy.Grace()) + ": not run");
  }
}

bool SameMoment(WallTime a, WallTime b) {
  return std::abs(std::chrono::duration<double>(a - b).count()) < 0.5;
}

std::string RunText(const RunRecord& run, WallTime due) {
  std::string text(RunStatusName(run.report.status));
  if (run.attempt > 1) text += " at attempt " + std::to_string(run.attempt);
  if (run.report.status == RunStatus::kRunning) return text;
  const double took = std::chrono::duration<double>(run.finished - run.started).count();
  text += ": " + std::to_string(run.report.rows_done) + " rows in " + ShortDuration(took);
  if (run.attempt == 1 && run.started - due > kOnTime) {
    text +=
        ", " + ShortDuration(std::chrono::duration<double>(run.started - due).count()) + " late";
  }
  if (!run.report.reason.empty()) text += ", " + HarmlessLine(run.report.reason);
  if (!run.error_text.empty()) text += ", " + HarmlessLine(run.error_text);
  return text;
}

std::string OutcomeOf(const JobFacts& facts, WallTime due) {
  if (facts.from_journal) {
    // It keeps the last run only.
    const bool last = facts.state->last_due && SameMoment(*facts.state->last_due, due);
    return last ? HarmlessLine(facts.state->last_status) : "unknown: only the database says";
  }
  // Newest first, so that the last attempt speaks for all.
  for (const RunRecord& run : facts.runs) {
    if (run.due && SameMoment(*run.due, due)) return RunText(run, due);
  }
  if (!facts.policy->enabled) return "not run: the job is not enabled";
  if (facts.state && facts.state->next_due && *facts.state->next_due <= due) {
    return facts.PausedAt(due) ? "not run: paused" : "still to be run";
  }
  for (const RunRecord& run : facts.runs) {
    const bool ended = run.report.status != RunStatus::kRunning;
    if (run.started < due && (!ended || run.finished > due)) {
      return "not run: run " + run.run_id +
             " was under way (overlap: " + std::string(OverlapName(facts.policy->overlap)) + ")";
    }
  }
  const std::string_view closed = facts.policy->ClosedAt(due);
  if (closed == "window") return "not run: outside the window";
  if (closed == "blackout") return "not run: in a blackout";
  return "not run: no daemon led, it was paused, or the schedule was another one";
}

}  // namespace

const LeaseRow* JobFacts::Lease(const std::string& name) const {
  for (const LeaseRow& lease : leases) {
    if (lease.name == name) return &lease;
  }
  return nullptr;
}

const RunRecord* JobFacts::Running() const {
  for (const RunRecord& run : runs) {
    if (run.report.status == RunStatus::kRunning) return &run;
  }
  return nullptr;
}

bool JobFacts::PausedAt(WallTime now) const {
  return state && state->paused_until && *state->paused_until > now;
}

bool JobFacts::NeedsConfirmation() const {
  if (!policy->spec->needs_confirmation || !policy->confirm) return false;
  if (!state) return true;
  const auto accepted = state->memory.find("accepted_plan");
  return accepted == state->memory.end() || accepted->second != policy->PlanHash();
}

std::optional<WallTime> JobFacts::NextDue(WallTime now) const {
  if (!policy->enabled || policy->timetable.manual()) return std::nullopt;
  const bool scheduled =
      state && state->next_due && state->timetable == policy->timetable.fingerprint();
  return scheduled ? state->next_due : policy->timetable.Next(now);
}

std::optional<WallTime> OpensAfter(const JobPolicy& policy, WallTime now) {
  WallTime at = now;
  while (!policy.ClosedAt(at).empty()) {
    const auto change = policy.NextChange(at);
    if (!change || *change - now > kLookAhead) return std::nullopt;
    at = *change;
  }
  return at;
}

std::vector<DueTime> ComingDueTimes(const JobFacts& facts, int count, WallTime now) {
  const JobPolicy& policy = *facts.policy;
  std::vector<DueTime> times;
  const auto pending = facts.NextDue(now);
  if (pending && *pending <= now && count > 0) {
    DueTime due{*pending, "has come and was not run yet"};
    AddClosed(facts, now, due.remark);
    times.push_back(std::move(due));
  }
  WallTime before = now;
  while (static_cast<int>(times.size()) < count) {
    const auto at = policy.timetable.Next(before);
    if (!at) break;
    DueTime due{*at, ""};
    AddClockChanges(policy.timetable, before, *at, policy.zone, due.remark);
    AddClosed(facts, *at, due.remark);
    before = *at;
    times.push_back(std::move(due));
  }
  return times;
}

std::vector<DueTime> PassedDueTimes(const JobFacts& facts, int count, WallTime now) {
  std::vector<DueTime> times;
  if (!facts.state) return times;
  const WallTime since = std::max<WallTime>(facts.state->registered_at, now - kLookBack);
  const DueTimes due =
      facts.policy->timetable.Between(since, now, static_cast<std::size_t>(std::max(count, 0)));
  for (auto at = due.latest.rbegin(); at != due.latest.rend(); ++at) {
    times.push_back({*at, OutcomeOf(facts, *at)});
  }
  return times;
}

std::string MissedText(const JobState& state) {
  constexpr std::string_view kMissed = "missed.";
  std::string text;
  for (const auto& [name, count] : state.counters) {
    if (name.rfind(kMissed, 0) != 0 || count < 1) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(std::llround(count)) + " " +
            HarmlessLine(name.substr(kMissed.size()));
  }
  return text;
}

}  // namespace pgsteward
