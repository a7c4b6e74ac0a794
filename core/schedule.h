// When a collector is next due: pure.
#pragma once

#include "core/clock.h"

namespace pgsteward {

// Beats lie at phase + k * interval. The first one after `now`: beats that were missed while the
// work ran long, or the machine slept, are skipped, and the phase never drifts.
inline SteadyTime NextBeat(SteadyTime phase, Duration interval, SteadyTime now) {
  if (now < phase) return phase;
  return phase + ((now - phase) / interval + 1) * interval;
}

}  // namespace pgsteward
