// Time zone names. The only home of the date library (time_zone.cc).
#pragma once

#include <string>

namespace pgsteward {

// A name of this machine's tzdata, such as "Europe/Berlin". "UTC" is always one. "localtime" is
// none: PostgreSQL may run on another machine, where it means something else.
bool IsTimeZone(const std::string& name);

}  // namespace pgsteward
