// Times written briefly, for the tests of schedules.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "core/time_zone.h"

namespace pgsteward {

// "2026-03-29 02:00" or "2026-03-29 02:00:30".
inline LocalSeconds Local(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  const int read =
      std::sscanf(text.c_str(), "%d-%u-%u %d:%d:%d", &year, &month, &day, &hour, &minute, &second);
  EXPECT_GE(read, 5) << text;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  EXPECT_TRUE(date.ok()) << text;
  return LocalDays(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

// The same of UTC.
inline WallTime Utc(const std::string& text) {
  return std::chrono::sys_seconds(Local(text).time_since_epoch());
}

inline std::string UtcText(WallTime time) { return TimeZone().Format(time); }

inline std::string LocalText(LocalSeconds local) {
  return TimeZone().Format(std::chrono::sys_seconds(local.time_since_epoch())).substr(0, 19);
}

inline TimeZone Zone(const std::string& name) {
  const auto zone = TimeZone::Find(name);
  EXPECT_TRUE(zone) << name;
  return zone ? *zone : TimeZone();
}

}  // namespace pgsteward
