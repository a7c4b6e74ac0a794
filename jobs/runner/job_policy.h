// When and under which conditions a job of the configuration runs.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/backoff.h"
#include "core/time_window.h"
#include "core/timetable.h"
#include "jobs/job.h"
#include "jobs/throttle/throttle.h"

namespace pgsteward {

// A due time comes while the job is still running.
enum class Overlap {
  kSkip,            // and count it as missed
  kQueueOne,        // once more when the run has ended
  kCancelPrevious,  // end the run at its next safe point, then run
};
std::string_view OverlapName(Overlap overlap);  // "skip"

// Due times passed while nobody could run them.
enum class Misfire {
  kRunOnce,  // the latest one, if it is not later than the grace
  kSkip,
  // The latest misfire_max of them, one after the other; those that come during a run wait for its
  // end, whatever the overlap says.
  kRunAll,
};
std::string_view MisfireName(Misfire misfire);  // "run_once"

struct JobPolicy {
  explicit JobPolicy(const JobSpec& job_spec)
      : name(job_spec.name),
        spec(&job_spec),
        deadline(job_spec.deadline),
        groups(job_spec.groups.begin(), job_spec.groups.end()),
        options(job_spec.options),
        throttle(kThrottleOptions) {}

  std::string name;    // label job_name
  std::string server;  // its name in the configuration
  const JobSpec* spec;
  bool enabled = false;
  Timetable timetable;
  TimeZone zone;       // of the timetable, windows and calendar days
  WindowSet window;    // runs begin and work only inside; empty: always
  WindowSet blackout;  // and never inside these; empty: none
  Overlap overlap = Overlap::kSkip;
  Misfire misfire = Misfire::kRunOnce;
  std::optional<std::chrono::seconds> misfire_grace;  // default: half a period, 6 h at most
  int misfire_max = 10;
  int retries = 3;  // after a failure worth it; 0: none
  BackoffPolicy retry_pause{std::chrono::seconds(30), std::chrono::minutes(10)};
  std::chrono::seconds deadline;  // of one run
  std::vector<std::string> groups;
  // A success older than this is overdue; empty: when the second due time after it, and a deadline
  // more, have passed.
  std::optional<std::chrono::seconds> max_age;
  bool confirm = true;  // ask for a person's word where the spec says so
  JobOptions options;
  JobOptions throttle;  // of jobs whose spec has a throttle_table

  std::chrono::seconds Grace() const;
  // When the job is overdue if nothing has succeeded since `success`. Empty: never.
  std::optional<WallTime> OverdueAt(WallTime success) const;
  // Why no run may begin or go on at `now`: "window", "blackout"; empty: it may.
  std::string_view ClosedAt(WallTime now) const;
  // The first moment after `now` at which ClosedAt() may say something else.
  std::optional<WallTime> NextChange(WallTime now) const;
  // Names what would be destroyed; the same for the same options. Twelve hexadecimal digits.
  std::string PlanHash() const;
};

}  // namespace pgsteward
