// How large a batch is and how long to rest after it: pure.
#pragma once

#include <algorithm>

#include "core/clock.h"

namespace pgsteward {

struct PacingPolicy {
  int first = 200;
  int least = 50;
  int most = 20'000;
  // What a batch should take: locks are held that long.
  Duration target = std::chrono::milliseconds(50);
  // Rest after a batch, as a multiple of its duration: 1 is half of the time.
  double nice = 1.0;
};

class Pacing {
 public:
  explicit Pacing(PacingPolicy policy)
      : policy_(policy), size_(std::clamp(policy.first, 1, policy.most)) {}

  // Rows of the next batch.
  int size() const { return size_; }
  // After a batch that was committed. Grows by a quarter at most, shrinks to half at most; a batch
  // that was not full (`rows` below the size that was asked for) says nothing about larger ones.
  void Took(Duration duration, long long rows);
  // After a batch of `size` rows that failed (a lock timeout, a statement timeout, an unstorable
  // row): half of it. Goes below policy.least down to 1, so that a single bad row is found, and
  // comes back from there as slowly as from anywhere.
  void Halve(int size);
  Duration Rest(Duration duration) const;

 private:
  PacingPolicy policy_;
  int size_;
};

}  // namespace pgsteward
