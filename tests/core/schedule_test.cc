#include "core/schedule.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

struct Case {
  const char* name;
  Duration now;  // after the phase
  Duration next;
};

class Schedule : public testing::TestWithParam<Case> {};

TEST_P(Schedule, NextBeat) {
  const SteadyTime phase{1000s};
  EXPECT_EQ(NextBeat(phase, 15s, phase + GetParam().now), phase + GetParam().next);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Schedule,
    testing::Values(Case{"LongBefore", -900s, 0s}, Case{"JustBefore", -1ns, 0s},
                    Case{"AtThePhase", 0s, 15s}, Case{"JustAfter", 1ns, 15s},
                    Case{"JustBeforeABeat", 15s - 1ns, 15s}, Case{"AtABeat", 15s, 30s},
                    Case{"AfterOneMissed", 31s, 45s}, Case{"AfterManyMissed", 3607s, 3615s},
                    Case{"AfterADayOfSleep", 86400s, 86415s}),
    [](const auto& test) { return test.param.name; });

TEST(Schedule, BeatsDoNotDrift) {
  const SteadyTime phase{7ms};
  SteadyTime now = phase;
  for (int beat = 1; beat <= 1000; ++beat) {
    // Each run starts a little late.
    now = NextBeat(phase, 250ms, now) + 3ms;
    ASSERT_EQ(now, phase + beat * 250ms + 3ms);
  }
}

}  // namespace
}  // namespace pgsteward
