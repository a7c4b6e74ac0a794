// Moments of jobs as people and programs read them: pure.
#pragma once

#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/error.h"
#include "core/time_zone.h"

namespace pgsteward {

// A pause without an end; also what the journal makes of it.
bool IsForEver(WallTime time);

// "2026-03-29 03:00:00 CEST"; "for ever".
std::string LocalTime(const TimeZone& zone, WallTime time);
// "in 3h05m", "3h05m ago", "now".
std::string Relative(WallTime time, WallTime now);
// "2026-03-29T01:00:00.250Z"; "infinity".
std::string IsoTime(WallTime time);

// "2026-12-01 08:00", with seconds or without a time of day: the clock on the wall of `zone`. In a
// fold the later one, in a gap its end. kBadConfig for others.
Result<WallTime> ParseLocalTime(std::string_view text, const TimeZone& zone);

}  // namespace pgsteward
