#include "core/cron.h"

#include <algorithm>
#include <bit>
#include <charconv>

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::months;
using std::chrono::seconds;
using std::chrono::year_month_day;

constexpr seconds kDay = days(1);

bool Has(std::uint64_t set, std::int64_t value) { return ((set >> value) & 1) != 0; }

// The members of `set` from `value` on.
std::uint64_t From(std::uint64_t set, std::int64_t value) {
  return value > 63 ? 0 : set & (~std::uint64_t{0} << value);
}

// The members of `set` below `value`.
std::uint64_t Below(std::uint64_t set, std::int64_t value) {
  return value > 63 ? set : set & ~(~std::uint64_t{0} << value);
}

std::int64_t Least(std::uint64_t set) { return std::countr_zero(set); }
std::int64_t Greatest(std::uint64_t set) { return std::bit_width(set) - 1; }

LocalDays LastOfMonth(const year_month_day& date) {
  return LocalDays(date.year() / date.month() / std::chrono::last);
}

LocalDays FirstOfNextMonth(const year_month_day& date) {
  return LocalDays(date.year() / date.month() / 1 + months(1));
}

}  // namespace

bool CronExpression::MatchesDay(LocalDays day) const {
  const year_month_day date(day);
  if (!Has(months_, static_cast<unsigned>(date.month()))) return false;
  const LocalDays last = LastOfMonth(date);
  const bool by_day = Has(days_, static_cast<unsigned>(date.day())) || (last_day_ && day == last);
  const unsigned weekday = std::chrono::weekday(day).c_encoding();
  const bool by_weekday =
      Has(weekdays_, weekday) || (Has(last_weekdays_, weekday) && last - day < days(7));
  return either_day_ ? by_day || by_weekday : by_day && by_weekday;
}

bool CronExpression::Matches(LocalSeconds time) const {
  const LocalDays day = std::chrono::floor<days>(time);
  const std::chrono::hh_mm_ss parts(time - day);
  return Has(hours_, parts.hours().count()) && Has(minutes_, parts.minutes().count()) &&
         Has(seconds_, parts.seconds().count()) && MatchesDay(day);
}

std::optional<seconds> CronExpression::FirstTimeOfDay(seconds from) const {
  if (from >= kDay) return std::nullopt;
  const std::chrono::hh_mm_ss parts(from);
  std::int64_t hour = parts.hours().count();
  std::int64_t minute = parts.minutes().count();
  std::uint64_t set = From(seconds_, parts.seconds().count());
  if (Has(hours_, hour) && Has(minutes_, minute) && set != 0) {
    return hours(hour) + minutes(minute) + seconds(Least(set));
  }
  set = From(minutes_, minute + 1);
  if (Has(hours_, hour) && set != 0) {
    return hours(hour) + minutes(Least(set)) + seconds(Least(seconds_));
  }
  set = From(hours_, hour + 1);
  if (set == 0) return std::nullopt;
  return hours(Least(set)) + minutes(Least(minutes_)) + seconds(Least(seconds_));
}

// Of those below `until`.
std::optional<seconds> CronExpression::LastTimeOfDay(seconds until) const {
  if (until <= seconds(0)) return std::nullopt;
  const std::chrono::hh_mm_ss parts(std::min(until, kDay));
  std::int64_t hour = parts.hours().count();  // 24 at the end of the day: no member
  std::int64_t minute = parts.minutes().count();
  std::uint64_t set = Below(seconds_, parts.seconds().count());
  if (Has(hours_, hour) && Has(minutes_, minute) && set != 0) {
    return hours(hour) + minutes(minute) + seconds(Greatest(set));
  }
  set = Below(minutes_, minute);
  if (Has(hours_, hour) && set != 0) {
    return hours(hour) + minutes(Greatest(set)) + seconds(Greatest(seconds_));
  }
  set = Below(hours_, hour);
  if (set == 0) return std::nullopt;
  return hours(Greatest(set)) + minutes(Greatest(minutes_)) + seconds(Greatest(seconds_));
}

std::uint64_t CronExpression::CountTimesOfDay(seconds end) const {
  const auto count = [](std::uint64_t set) {
    return static_cast<std::uint64_t>(std::popcount(set));
  };
  const std::chrono::hh_mm_ss parts(end);
  const std::int64_t hour = parts.hours().count();
  const std::int64_t minute = parts.minutes().count();
  std::uint64_t total = count(Below(hours_, hour)) * count(minutes_) * count(seconds_);
  if (!Has(hours_, hour)) return total;
  total += count(Below(minutes_, minute)) * count(seconds_);
  if (!Has(minutes_, minute)) return total;
  return total + count(Below(seconds_, parts.seconds().count()));
}

LocalSeconds CronExpression::NextMatch(LocalSeconds after) const {
  const LocalSeconds from = after + seconds(1);
  LocalDays day = std::chrono::floor<days>(from);
  if (MatchesDay(day)) {
    if (const auto time = FirstTimeOfDay(from - day)) return day + *time;
  }
  day += days(1);
  while (!MatchesDay(day)) {
    const year_month_day date(day);
    day =
        Has(months_, static_cast<unsigned>(date.month())) ? day + days(1) : FirstOfNextMonth(date);
  }
  return day + *FirstTimeOfDay(seconds(0));
}

LocalSeconds CronExpression::PreviousMatch(LocalSeconds before) const {
  LocalDays day = std::chrono::floor<days>(before);
  if (MatchesDay(day)) {
    if (const auto time = LastTimeOfDay(before - day)) return day + *time;
  }
  day -= days(1);
  while (!MatchesDay(day)) {
    const year_month_day date(day);
    day = Has(months_, static_cast<unsigned>(date.month()))
              ? day - days(1)
              : LocalDays(date.year() / date.month() / 1) - days(1);
  }
  return day + *LastTimeOfDay(kDay);
}

std::uint64_t CronExpression::CountMatches(LocalSeconds begin, LocalSeconds end) const {
  if (end <= begin) return 0;
  const LocalDays first = std::chrono::floor<days>(begin);
  const LocalDays last = std::chrono::floor<days>(end);
  const std::uint64_t whole = CountTimesOfDay(kDay);
  std::uint64_t total = 0;
  LocalDays day = first;
  while (day < last) {
    const year_month_day date(day);
    if (!Has(months_, static_cast<unsigned>(date.month()))) {
      day = FirstOfNextMonth(date);
      continue;
    }
    if (MatchesDay(day)) total += whole;
    day += days(1);
  }
  if (MatchesDay(last)) total += CountTimesOfDay(end - last);
  if (MatchesDay(first)) total -= CountTimesOfDay(begin - first);
  return total;
}

std::string CronExpression::Normalised() const {
  std::string text;
  for (const std::uint64_t set : {seconds_, minutes_, hours_, days_ | (last_day_ ? 1U : 0U),
                                  months_, weekdays_ | (last_weekdays_ << 8)}) {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof digits, set, 16).ptr;
    text.append(digits, end).push_back(' ');
  }
  text += either_day_ ? "or" : "and";
  if (wildcard_hour_) text += " *";
  return text;
}

}  // namespace pgsteward
