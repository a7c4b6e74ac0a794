// Pause between attempts: exponential with full jitter, pure.
#pragma once

#include <algorithm>
#include <chrono>

#include "core/clock.h"

namespace pgsteward {

struct BackoffPolicy {
  Duration first = std::chrono::milliseconds(500);
  Duration longest = std::chrono::seconds(15);
};

// The pause after `failures` failed attempts in a row (1, 2, ...). `random` is uniform in [0, 1):
// the pause lies between half of the doubled base and all of it, so that many clients of a server
// that comes back do not arrive together.
inline Duration BackoffPause(const BackoffPolicy& policy, int failures, double random) {
  const int doublings = std::min(std::max(failures, 1) - 1, 20);
  const double full = std::min(Seconds(policy.first) * static_cast<double>(1U << doublings),
                               Seconds(policy.longest));
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(full * (0.5 + random / 2)));
}

}  // namespace pgsteward
