// Maintenance windows and blackouts: stretches of time by the clock on the wall. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/time_zone.h"

namespace pgsteward {

// One window, [begin, end) of local time: weekly or once.
class TimeWindow {
 public:
  bool Contains(LocalSeconds local) const;
  // The first local time after `local` at which Contains() may change; empty when none.
  std::optional<LocalSeconds> NextEdge(LocalSeconds local) const;
  bool once() const { return weekdays_ == 0; }
  // As one would write it: "Mon,Tue 22:00-05:00".
  std::string ToText() const;

 private:
  friend Result<TimeWindow> ParseTimeWindow(std::string_view text);

  unsigned weekdays_ = 0;  // bit 0 is Sunday: the day on which the window begins; none: once
  std::chrono::minutes begin_{0};  // of the day
  std::chrono::minutes end_{0};    // of the day; not after begin_: of the next day
  LocalSeconds first_;             // when once
  LocalSeconds last_;
};

// "22:00-05:00", "Sat,Sun 01:00-06:00", "Mon-Fri 22:00-24:00", "Fri-Mon 00:00-24:00" or, once,
// "2026-12-24 00:00 - 2027-01-02 00:00". A window that crosses midnight belongs to the day on which
// it began. Days by three letters, any case. kBadConfig with a one-line message for others.
Result<TimeWindow> ParseTimeWindow(std::string_view text);

// Any of some windows in a zone; no windows: always. An instant lies in a window when the clock on
// the wall says so: what lies in a fold comes twice, what lies in a gap does not come.
class WindowSet {
 public:
  WindowSet() = default;  // always
  WindowSet(TimeZone zone, std::vector<TimeWindow> windows);

  bool empty() const { return windows_.empty(); }
  bool Contains(WallTime time) const;
  // The first instant after `time` at which Contains() differs from Contains(time); empty: never,
  // or beyond the year 2200.
  std::optional<WallTime> NextChange(WallTime time) const;
  // "22:00-05:00 or Sat 00:00-24:00, Europe/Berlin"; "always".
  std::string Describe() const;

 private:
  bool ContainsLocal(LocalSeconds local) const;

  TimeZone zone_;
  std::vector<TimeWindow> windows_;
};

}  // namespace pgsteward
