// Moments as text that sorts by time: "2026-11-25T03:00:00.123456Z".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"

namespace pgsteward {

// UTC with microseconds, the resolution of PostgreSQL's clock; what is finer is cut off (towards
// the past).
std::string IsoMicros(WallTime time);
// The same for people, to the second: "2026-11-25 03:00:00 UTC".
std::string UtcText(WallTime time);
// Exactly that form, of a date that exists in the years 1970 to 2261.
std::optional<WallTime> ParseIsoMicros(std::string_view text);

}  // namespace pgsteward
