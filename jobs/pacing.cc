#include "jobs/pacing.h"

namespace pgsteward {

void Pacing::Took(Duration duration, long long rows) {
  if (rows < size_) return;
  const double factor =
      std::clamp(Seconds(policy_.target) / std::max(Seconds(duration), 1e-6), 0.5, 1.25);
  const int next = static_cast<int>(static_cast<double>(size_) * factor);
  if (factor > 1) {
    // From 1 upwards in steps that a factor below 2 can take.
    size_ = std::min(std::max(next, size_ + 1), policy_.most);
  } else {
    // What was halved below the least does not jump back to it by being slow.
    size_ = std::max(next, std::min(size_, policy_.least));
  }
}

void Pacing::Halve(int size) { size_ = std::max(1, std::min(size, size_) / 2); }

Duration Pacing::Rest(Duration duration) const {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(Seconds(duration) * policy_.nice));
}

}  // namespace pgsteward
