// Days, weeks, months and years in UTC, by name: pure.
#pragma once

#include <string>

#include "core/clock.h"

namespace pgsteward {

using PeriodName = std::string (*)(WallTime);

std::string DayName(WallTime time);    // "2026-11-25"
std::string WeekName(WallTime time);   // "2026-W48", of ISO 8601: from Monday, by its Thursday
std::string MonthName(WallTime time);  // "2026-11"
std::string YearName(WallTime time);   // "2026"

}  // namespace pgsteward
