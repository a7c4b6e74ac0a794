// The two clocks: steady for waiting, system for what is shown.
#pragma once

#include <chrono>

namespace pgsteward {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;
using Duration = std::chrono::steady_clock::duration;
// When a wait gives up.
using Deadline = SteadyTime;

inline SteadyTime SteadyNow() { return std::chrono::steady_clock::now(); }
inline WallTime WallNow() { return std::chrono::system_clock::now(); }

// Seconds with fraction, Prometheus' unit for both durations and unix times.
inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline double UnixSeconds(WallTime t) {
  return std::chrono::duration<double>(t.time_since_epoch()).count();
}

}  // namespace pgsteward
