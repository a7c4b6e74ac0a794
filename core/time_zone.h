// Civil time of a place. The only home of the date library (time_zone.cc).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/error.h"

namespace date {
class time_zone;
}

namespace pgsteward {

// A name of this machine's tzdata, such as "Europe/Berlin". "UTC" is always one. "localtime" is
// none: PostgreSQL may run on another machine, where it means something else.
bool IsTimeZone(const std::string& name);

// What the clock on the wall says, without a zone.
using LocalSeconds = std::chrono::local_seconds;
using LocalDays = std::chrono::local_days;

// When a clock on the wall says a given time.
struct LocalInstants {
  enum class Kind {
    kUnique,  // once
    kGap,     // never: the clock jumps over it; `first` is the first valid instant after the gap
    kFold,    // twice: at `first` and again at `second`
  };
  Kind kind = Kind::kUnique;
  WallTime first;
  WallTime second;  // equals `first` unless in a fold

  bool operator==(const LocalInstants&) const = default;
};

// A stretch of time in which the offset does not change: [begin, end). The ends are seconds, as
// the first and the last stretch reach further than WallTime does.
struct ZonePeriod {
  std::chrono::sys_seconds begin;
  std::chrono::sys_seconds end;
  std::chrono::seconds offset;  // local minus UTC
  std::string abbreviation;     // "CEST"; "-03" where people have no word for it
};

// A zone of this machine's tzdata: a value, cheap to copy. The rules are those of the program's
// start. tzdata says nothing of the years after 2037 for most zones: the last offset then stays.
class TimeZone {
 public:
  TimeZone() = default;  // UTC, also without tzdata
  // Any name that IsTimeZone knows; kBadConfig for others and for an unreadable file.
  static Result<TimeZone> Find(const std::string& name);

  const std::string& name() const { return name_; }

  // Fractions of a second are dropped (towards the past).
  LocalSeconds ToLocal(WallTime time) const;
  LocalInstants Resolve(LocalSeconds local) const;
  ZonePeriod PeriodOf(std::chrono::sys_seconds time) const;

  LocalDays LocalDay(WallTime time) const;
  // The first instant of the day: midnight, the end of the gap where midnight is skipped, the first
  // midnight where there are two. Of a day that never was (Pacific/Apia 2011-12-30), the next
  // day's.
  WallTime StartOfDay(LocalDays day) const;

  // For people: "2026-03-29 03:00:00 CEST".
  std::string Format(WallTime time) const;
  // "2026-03-29 03:00:00+02:00", with seconds of the offset where it has some, "+00:00" for UTC.
  std::string FormatWithOffset(WallTime time) const;

  bool operator==(const TimeZone& other) const { return name_ == other.name_; }

 private:
  const date::time_zone* zone_ =
      nullptr;  // of the library, lives as long as the program; UTC: null
  std::string name_ = "UTC";
};

}  // namespace pgsteward
