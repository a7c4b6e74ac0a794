// Whether a run is held, for which reason, and for how long it was: pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "jobs/throttle/throttle.h"

namespace pgsteward {

class ThrottleWatch {
 public:
  // A gate that was closed opens again only when it has been found open for `reopen`: a load that
  // comes from us comes back at once. A wait for our own locks ends with the batch: that gate opens
  // with the first look that finds it open.
  explicit ThrottleWatch(Duration reopen = std::chrono::seconds(10)) : reopen_(reopen) {}

  // What was found at `now`. A look that failed is not told here: everything stays as it was.
  void Look(SteadyTime now, const std::vector<ClosedGate>& closed);

  bool closed() const { return !reason_.empty(); }
  // The first gate that is closed, in the order of ClosedGates(); empty while all are open.
  const std::string& reason() const { return reason_; }
  const std::string& text() const { return text_; }

  // The run waits, and goes on. In between, time is counted for the reason of each moment.
  void HoldBegins(SteadyTime now);
  void HoldEnds(SteadyTime now);
  // By reason, up to `now` where a hold is under way.
  std::map<std::string, double> HeldSeconds(SteadyTime now) const;

 private:
  struct Gate {
    std::string text;
    std::optional<SteadyTime> open_since;  // empty: closed at the last look
  };
  void Count(SteadyTime now);

  Duration reopen_;
  std::map<std::string, Gate> gates_;  // closed, or not open for long enough
  std::string reason_;
  std::string text_;
  std::optional<SteadyTime> counted_until_;  // while the run is held
  std::map<std::string, double> held_s_;
};

}  // namespace pgsteward
