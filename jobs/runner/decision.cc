#include "jobs/runner/decision.h"

#include <algorithm>
#include <array>

namespace pgsteward {

namespace {

using std::chrono::seconds;

// The scheduler looks at least this often; a run that begins within it was not missed.
constexpr seconds kOnTime{60};

// Clocks are set by less than this when seasons change or a machine wakes up.
constexpr std::chrono::hours kClockSteps{25};

constexpr std::array<std::string_view, 4> kTriggerNames = {"schedule", "catchup", "retry",
                                                           "manual"};

void WakeAt(Decision& decision, std::optional<WallTime> time) {
  if (time && (!decision.wake || *time < *decision.wake)) decision.wake = time;
}

std::string_view FirstWord(std::string_view text) { return text.substr(0, text.find(':')); }

void Miss(Decision& decision, std::uint64_t count, std::string_view reason) {
  if (count == 0) return;
  decision.missed += static_cast<int>(std::min<std::uint64_t>(count, 1'000'000));
  decision.missed_reason = reason;
  decision.store = true;
}

// Nothing runs now, and what is due is not made up for.
void PassOver(const JobPolicy& policy, const JobState& state, std::string_view reason, WallTime now,
              Decision& decision) {
  if (!state.next_due || *state.next_due > now) return;
  const DueTimes due = policy.timetable.Between(*state.next_due - seconds(1), now, 1);
  Miss(decision, std::max<std::uint64_t>(due.total, 1), reason);
  decision.next_due = policy.timetable.Next(now);
}

// A due time while the job still runs.
void Overlapping(const JobPolicy& policy, const DueTimes& due, WallTime now, Decision& decision) {
  decision.store = true;
  decision.next_due = policy.timetable.Next(now);
  if (policy.overlap == Overlap::kSkip) {
    Miss(decision, due.total, "overlap");
    return;
  }
  Miss(decision, due.total - (decision.queued == 0 ? 1 : 0), "overlap");
  decision.queued = 1;
  decision.cancel_running = policy.overlap == Overlap::kCancelPrevious;
}

void StartDue(const JobPolicy& policy, const DueTimes& due, const std::string& held_up,
              WallTime now, Decision& decision) {
  const WallTime latest = due.latest.back();
  const std::string_view late_reason = held_up.empty() ? "misfire" : FirstWord(held_up);
  if (policy.misfire == Misfire::kRunAll) {
    const WallTime first = due.latest.front();
    Miss(decision, due.total - due.latest.size(), late_reason);
    decision.start = {first, now - first > kOnTime ? Trigger::kCatchup : Trigger::kSchedule, 1};
    decision.next_due = policy.timetable.Next(first);
    return;
  }
  const seconds grace =
      policy.misfire == Misfire::kSkip && held_up.empty() ? kOnTime : policy.Grace();
  decision.next_due = policy.timetable.Next(now);
  if (now - latest > grace) {
    Miss(decision, due.total, late_reason);
    return;
  }
  Miss(decision, due.total - 1, late_reason);
  const bool late = now - latest > kOnTime && held_up.empty();
  decision.start = {latest, late ? Trigger::kCatchup : Trigger::kSchedule, 1};
}

// next_due has come.
void DueNow(const JobPolicy& policy, const JobState& state, bool running,
            const std::string& held_up, WallTime now, Decision& decision) {
  const auto most = static_cast<std::size_t>(
      policy.misfire == Misfire::kRunAll ? std::max(policy.misfire_max, 1) : 1);
  DueTimes due = policy.timetable.Between(*state.next_due - seconds(1), now, most);
  if (due.latest.empty()) due = {{*state.next_due}, 1};
  // run_all makes up for everything: what comes during a run waits for its end.
  if (running && policy.misfire == Misfire::kRunAll) return;
  if (running) {
    Overlapping(policy, due, now, decision);
    return;
  }
  const std::string_view closed = policy.ClosedAt(now);
  if (!closed.empty()) {
    if (now - due.latest.back() > policy.Grace()) {
      Miss(decision, due.total, closed);
      decision.next_due = policy.timetable.Next(now);
      return;
    }
    decision.held_up = closed;
    WakeAt(decision, policy.NextChange(now));
    WakeAt(decision, due.latest.back() + policy.Grace() + seconds(1));
    return;
  }
  StartDue(policy, due, held_up, now, decision);
}

// The last due time, unless a wrong clock put it into the future.
WallTime LastDue(const JobState& state, WallTime now) {
  const bool believable = state.last_due && *state.last_due < now + kClockSteps;
  return believable ? *state.last_due : now;
}

// A due time that was computed by a wrong clock, far ahead: nothing would run until then.
bool BeyondNext(const JobPolicy& policy, const JobState& state, WallTime now) {
  if (!state.next_due || policy.timetable.manual()) return false;
  const auto next = policy.timetable.Next(std::max(now, LastDue(state, now)));
  return next && *state.next_due > *next;
}

// Another attempt makes sense as long as the due time itself would still be made up for.
bool RetryTooLate(const JobPolicy& policy, const JobState& state, WallTime now) {
  if (policy.misfire == Misfire::kRunAll) return false;
  const seconds most = policy.Grace() + policy.deadline * std::max(state.attempt, 1);
  return now - *state.last_due > most;
}

}  // namespace

std::string_view TriggerName(Trigger trigger) {
  return kTriggerNames[static_cast<std::size_t>(trigger)];
}

std::optional<Trigger> FindTrigger(std::string_view name) {
  const auto found = std::find(kTriggerNames.begin(), kTriggerNames.end(), name);
  if (found == kTriggerNames.end()) return std::nullopt;
  return static_cast<Trigger>(found - kTriggerNames.begin());
}

Decision Decide(const JobPolicy& policy, const JobState& state, bool running,
                const std::string& held_up, WallTime now) {
  Decision decision;
  decision.next_due = state.next_due;
  decision.queued = state.queued;
  decision.timetable = policy.timetable.fingerprint();
  if (!policy.enabled) {
    // Switched on again it begins anew, like a new one.
    decision.timetable.clear();
    decision.next_due.reset();
    decision.queued = 0;
    decision.store = state.next_due || state.queued != 0 || !state.timetable.empty();
    return decision;
  }

  // A new or changed schedule begins with its next due time, never at once.
  if (state.timetable != policy.timetable.fingerprint() ||
      (!state.next_due && !policy.timetable.manual())) {
    decision.next_due = policy.timetable.Next(now);
    decision.queued = 0;
    decision.store =
        decision.next_due != state.next_due || state.timetable != policy.timetable.fingerprint();
    WakeAt(decision, decision.next_due);
    return decision;
  }

  if (BeyondNext(policy, state, now)) {
    decision.next_due = policy.timetable.Next(std::max(now, LastDue(state, now)));
    decision.store = true;
    WakeAt(decision, decision.next_due);
    return decision;
  }

  if (state.paused_until && *state.paused_until > now) {
    decision.queued = 0;
    decision.store = state.queued != 0;
    PassOver(policy, state, "paused", now, decision);
    decision.held_up = "paused";
    if (*state.paused_until != WallTime::max()) WakeAt(decision, *state.paused_until);
    WakeAt(decision, decision.next_due);
    return decision;
  }

  const bool retry = state.retry_at && state.last_due && !RetryTooLate(policy, state, now);
  // run_all makes up for everything in its order: what failed first comes first.
  const bool retry_first = policy.misfire == Misfire::kRunAll && retry;
  if (state.next_due && *state.next_due <= now && !retry_first) {
    DueNow(policy, state, running, held_up, now, decision);
  } else if (!running && policy.ClosedAt(now).empty()) {
    if (state.queued > 0) {
      // Its due time has passed into queued; it runs under the time at which it begins.
      decision.start = {std::chrono::floor<seconds>(now), Trigger::kCatchup, 1};
      decision.queued = 0;
    } else if (retry && *state.retry_at <= now) {
      decision.start = {*state.last_due, Trigger::kRetry, state.attempt + 1};
    }
  } else if (!running && (state.queued > 0 || retry)) {
    WakeAt(decision, policy.NextChange(now));
  }
  // The retry of an earlier due time is not made up for: this run does its work.
  if (decision.start && decision.start->trigger != Trigger::kRetry && retry) {
    Miss(decision, 1, "superseded");
  }
  WakeAt(decision,
         decision.next_due && *decision.next_due > now ? decision.next_due : std::nullopt);
  if (retry && *state.retry_at > now) WakeAt(decision, state.retry_at);
  return decision;
}

}  // namespace pgsteward
