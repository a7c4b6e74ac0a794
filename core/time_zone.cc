#include "core/time_zone.h"

#include <date/tz.h>

#include <stdexcept>

namespace pgsteward {

bool IsTimeZone(const std::string& name) {
  if (name == "UTC") return true;
  if (name == "localtime") return false;
  // The library says "no such zone", "no tzdata here" and "unreadable" only by exception.
  try {
    date::locate_zone(name);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

}  // namespace pgsteward
