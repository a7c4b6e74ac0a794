// What the scheduler does next with a job: pure. Facts and the time in, an action out.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "jobs/runner/job_policy.h"

namespace pgsteward {

// Why a run began: column `trigger` of pgsteward.job_run.
enum class Trigger { kSchedule, kCatchup, kRetry, kManual };
std::string_view TriggerName(Trigger trigger);  // "schedule"
std::optional<Trigger> FindTrigger(std::string_view name);

// A row of pgsteward.job_state.
struct JobState {
  std::string job;
  std::string type;
  std::string timetable;  // Timetable::fingerprint() that next_due was computed with
  WallTime registered_at{};
  std::optional<WallTime> next_due;
  std::optional<WallTime> retry_at;
  int attempt = 0;  // of last_due
  int queued = 0;
  std::optional<WallTime> last_due;
  std::string last_run;
  std::string last_status;
  std::optional<WallTime> last_started_at;
  std::optional<WallTime> last_finished_at;
  double last_duration_s = 0;
  long long last_rows = 0;
  std::optional<WallTime> last_success_at;
  int consecutive_failures = 0;
  std::optional<WallTime> paused_until;  // WallTime::max(): until resumed
  std::string paused_by;
  std::string pause_reason;
  std::map<std::string, double> counters;
  std::map<std::string, std::string> memory;
};

inline constexpr std::array<std::string_view, 8> kMissedReasons = {
    "misfire", "overlap", "paused", "window", "blackout", "superseded", "busy", "unavailable"};

struct Decision {
  // Start a run of this due time now. The claim stores next_due, queued and attempt with it.
  struct Start {
    WallTime due;
    Trigger trigger = Trigger::kSchedule;
    int attempt = 1;
  };
  std::optional<Start> start;
  // Due times that will not be run, and why: one of kMissedReasons.
  int missed = 0;
  std::string missed_reason;
  // A running one must end: overlap cancel_previous.
  bool cancel_running = false;
  // What these columns have to be from now on.
  std::string timetable;
  std::optional<WallTime> next_due;
  int queued = 0;
  // They, or missed, have to be stored although nothing is started.
  bool store = false;
  // A run is due and cannot begin: "window", "blackout", or what `held_up` said.
  std::string held_up;
  // Decide again at this time at the latest; empty: when something changes.
  std::optional<WallTime> wake;
};

// `running`: a run of the job is under way here. `held_up`: why the last attempt to start the due
// run found no place ("busy: ..."), empty when there was none; it stays due until the grace is
// over.
Decision Decide(const JobPolicy& policy, const JobState& state, bool running,
                const std::string& held_up, WallTime now);

}  // namespace pgsteward
