// The pieces of which schedules and windows are written: for core/cron, core/timetable and
// core/time_window.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pgsteward {

inline constexpr std::array<std::string_view, 7> kWeekdayWords = {"sun", "mon", "tue", "wed",
                                                                  "thu", "fri", "sat"};

// Parts between blanks.
std::vector<std::string_view> SplitWords(std::string_view text);

std::string LowerCase(std::string_view text);

// "00:00" to "24:00"; empty for everything else.
std::optional<std::chrono::minutes> ReadClock(std::string_view text);

// In quotes for messages, see core/shown.h.
std::string ShownSchedule(std::string_view text);

// kBadConfig.
Error BadSchedule(std::string message, std::string hint);

}  // namespace pgsteward
