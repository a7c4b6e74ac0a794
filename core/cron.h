// Cron expressions in civil time: pure, knows no zones (core/timetable.h does).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/time_zone.h"

namespace pgsteward {

// The parsed text. Fires at whole seconds, infinitely often in every 400 years.
class CronExpression {
 public:
  // The first match after `after`, strictly.
  LocalSeconds NextMatch(LocalSeconds after) const;
  // The last match before `before`, strictly.
  LocalSeconds PreviousMatch(LocalSeconds before) const;
  // Number of matches in [begin, end): takes time for days, not for matches.
  std::uint64_t CountMatches(LocalSeconds begin, LocalSeconds end) const;
  bool Matches(LocalSeconds time) const;

  // The hour field begins with "*": the job runs through the day and does not mean a time of day.
  bool wildcard_hour() const { return wildcard_hour_; }
  // The sets that the text names, as numbers: equal when the expressions match the same times and
  // have the same wildcard_hour(), however they are spelled. Not made for people.
  std::string Normalised() const;

 private:
  friend class CronParser;

  bool MatchesDay(LocalDays day) const;
  std::optional<std::chrono::seconds> FirstTimeOfDay(std::chrono::seconds from) const;
  std::optional<std::chrono::seconds> LastTimeOfDay(std::chrono::seconds until) const;
  std::uint64_t CountTimesOfDay(std::chrono::seconds end) const;
  bool CanFire() const;

  // Bit n: value n matches.
  std::uint64_t seconds_ = 1;
  std::uint64_t minutes_ = 0;
  std::uint64_t hours_ = 0;
  std::uint64_t days_ = 0;
  std::uint64_t months_ = 0;
  std::uint64_t weekdays_ = 0;       // 0 is Sunday
  std::uint64_t last_weekdays_ = 0;  // the last such weekday of the month
  bool last_day_ = false;            // of the month
  bool either_day_ = false;          // day-of-month or day-of-week; else both
  bool wildcard_hour_ = false;
};

// "minute hour day-of-month month day-of-week", with a field of seconds before it when there are
// six. A field is a list "a,b" of: "*", "a", "a-b", "*/n", "a-b/n". Months and days of the week
// also by name (jan, sun; any case), day-of-week 0 and 7 are Sunday. "L" in day-of-month is the
// month's last day, "5L" or "friL" in day-of-week the month's last Friday. When both day fields are
// restricted, one of them is enough (Vixie's rule); a field that begins with "*" is not restricted.
// Also @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.
// kBadConfig names the field and the offending text; the hint says what is allowed. What can never
// match (31 feb) is an error too.
Result<CronExpression> ParseCron(std::string_view text);

}  // namespace pgsteward
