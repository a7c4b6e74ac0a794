#include "jobs/backup/retention_periods.h"

#include <array>
#include <cstdio>

#include "core/iso_time.h"

namespace pgsteward {

std::string DayName(WallTime time) { return IsoMicros(time).substr(0, 10); }
std::string MonthName(WallTime time) { return IsoMicros(time).substr(0, 7); }
std::string YearName(WallTime time) { return IsoMicros(time).substr(0, 4); }

std::string WeekName(WallTime time) {
  using std::chrono::days;
  const auto day = std::chrono::floor<days>(time);
  const std::chrono::weekday weekday(day);
  // The week is of the year that has its Thursday.
  const auto thursday = day - days(weekday.iso_encoding() - 1) + days(3);
  const std::chrono::year_month_day date(thursday);
  const auto new_year = std::chrono::sys_days(date.year() / std::chrono::January / 1);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04d-W%02d", static_cast<int>(date.year()),
                static_cast<int>((thursday - new_year).count() / 7 + 1));
  return text.data();
}

}  // namespace pgsteward
