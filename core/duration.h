// Lengths of time as people write them: pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// "15s", "5m", "1h30m", "2d": whole numbers, each unit once, the greatest first. A bare number is
// refused: it would be read as minutes by one and as milliseconds by the other.
Result<std::chrono::seconds> ParseDuration(std::string_view text);
// The shortest such form: "1m30s", "1d"; "0s".
std::string FormatDuration(std::chrono::seconds duration);

}  // namespace pgsteward
