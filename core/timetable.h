// When a job is due: what its `schedule:` means in its time zone. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/cron.h"
#include "core/error.h"
#include "core/time_zone.h"

namespace pgsteward {

// A time of day that the clock jumps over.
enum class GapRule {
  kRunAtEnd,  // once at the first valid instant after the gap, however many times lay in it
  kSkip,
};

// A time of day that comes twice.
enum class FoldRule { kFirst, kBoth };

// As the configuration writes them: "run_at_end", "skip"; "first", "both".
std::string_view GapRuleName(GapRule rule);
std::string_view FoldRuleName(FoldRule rule);

struct TimetableOptions {
  TimeZone zone;
  GapRule gap = GapRule::kRunAtEnd;
  FoldRule fold = FoldRule::kFirst;
  // All due times are shifted by one offset in [0, jitter), whole seconds, that follows from `seed`
  // alone (e.g. job and server): the same in every process and for every firing. At most a day.
  std::chrono::seconds jitter{0};
  std::string seed;
};

struct DueTimes {
  std::vector<WallTime> latest;  // ascending
  std::uint64_t total = 0;       // including those before `latest`
};

// Due times are whole seconds between the years 1900 and 2200.
//
// The rules for gap and fold are for cron with fixed hours. Cron whose hour field begins with "*",
// and "every", run on elapsed time: they fire in both passes of a fold, and nothing of a gap is
// made up for.
class Timetable {
 public:
  Timetable() = default;  // manual

  // Never by itself.
  bool manual() const { return kind_ == Kind::kManual; }

  // The first due time after `after`, strictly. Empty: manual, or beyond the year 2200.
  std::optional<WallTime> Next(WallTime after) const;

  // The due times in (after, until]: the latest `most` of them, and how many there are. Takes time
  // for `most` and the days in between, not for what is only counted.
  DueTimes Between(WallTime after, WallTime until, std::size_t most) const;

  // The typical distance of two due times: the median of cron's, the period of "every". Zero:
  // manual.
  std::chrono::seconds period() const { return period_; }

  // The same text exactly when the due times are the same (up to exotic spellings, such as 31 jan
  // and L jan): for noticing that a schedule was changed. One line.
  std::string fingerprint() const;

  GapRule gap() const { return gap_; }
  FoldRule fold() const { return fold_; }
  // The same schedule under other rules: what a rule changes is the difference.
  Timetable WithRules(GapRule gap, FoldRule fold) const;

  // For people, one line: "0 2 * * *, Europe/Berlin, gap run_at_end, fold first, 3m5s late by
  // jitter".
  std::string Describe() const;

 private:
  friend Result<Timetable> ParseTimetable(std::string_view text, const TimetableOptions& options);

  enum class Kind { kManual, kEvery, kCron };

  Kind kind_ = Kind::kManual;
  std::string text_ = "manual";
  CronExpression cron_;
  TimeZone zone_;
  GapRule gap_ = GapRule::kRunAtEnd;
  FoldRule fold_ = FoldRule::kFirst;
  std::chrono::sys_seconds anchor_{};  // of "every": due at anchor_ + n * period_
  std::chrono::seconds period_{0};
  std::chrono::seconds shift_{0};  // by jitter
};

// `text` is one of
//   cron             see core/cron.h
//   every 1h30m      elapsed time, on a grid through 2001-01-01 (a Monday) 00:00 in the zone: does
//                    not depend on when the program started. 1s to 366d.
//   every 2d from 00:05   the same through 2001-01-01 00:05
//   manual           never by itself
// kBadConfig with a one-line message for others.
Result<Timetable> ParseTimetable(std::string_view text, const TimetableOptions& options);

}  // namespace pgsteward
