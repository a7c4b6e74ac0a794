#include "core/backoff.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

struct Case {
  int failures;
  double random;
  Duration pause;
};

class Backoff : public testing::TestWithParam<Case> {};

TEST_P(Backoff, Pause) {
  const BackoffPolicy policy{.first = 400ms, .longest = 10s};
  const Case& c = GetParam();
  EXPECT_EQ(BackoffPause(policy, c.failures, c.random), c.pause);
}

// Between half of the doubled base and all of it; never above `longest`.
INSTANTIATE_TEST_SUITE_P(Table, Backoff,
                         testing::Values(Case{0, 0, 200ms},  // as after the first
                                         Case{-3, 0, 200ms}, Case{1, 0, 200ms}, Case{1, 0.5, 300ms},
                                         Case{1, 0.75, 350ms}, Case{2, 0, 400ms},
                                         Case{2, 0.5, 600ms}, Case{3, 0, 800ms}, Case{5, 0, 3200ms},
                                         Case{5, 0.5, 4800ms},
                                         Case{6, 0, 5s},  // 12.8 s, cut to 10 s
                                         Case{6, 0.5, 7500ms}, Case{21, 0, 5s}, Case{22, 0, 5s},
                                         Case{1000000, 0.5, 7500ms}));

TEST(Backoff, DefaultPolicyStaysWithinItsLimits) {
  const BackoffPolicy policy;
  EXPECT_EQ(BackoffPause(policy, 1, 0), 250ms);
  for (int failures = 1; failures < 100; ++failures) {
    const Duration longest = BackoffPause(policy, failures, 0.999999);
    EXPECT_LT(longest, 15s);
    EXPECT_GE(BackoffPause(policy, failures + 1, 0), BackoffPause(policy, failures, 0));
  }
}

}  // namespace
}  // namespace pgsteward
