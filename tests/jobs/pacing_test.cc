#include "jobs/pacing.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

TEST(PacingTest, GrowsByAQuarterWhileBatchesAreQuick) {
  Pacing pacing({.first = 200, .least = 50, .most = 300, .target = 50ms, .nice = 1});
  pacing.Took(1ms, 200);
  EXPECT_EQ(pacing.size(), 250);
  pacing.Took(1ms, 250);
  EXPECT_EQ(pacing.size(), 300);  // 312 is more than the most
}

TEST(PacingTest, ShrinksToHalfAtMost) {
  Pacing pacing({.first = 200, .least = 50, .most = 300, .target = 50ms, .nice = 1});
  pacing.Took(60ms, 200);
  EXPECT_EQ(pacing.size(), 166);
  pacing.Took(10s, 166);
  EXPECT_EQ(pacing.size(), 83);
  pacing.Took(10s, 83);
  EXPECT_EQ(pacing.size(), 50);
}

TEST(PacingTest, ABatchThatWasNotFullSaysNothing) {
  Pacing pacing({.first = 200});
  pacing.Took(1ms, 199);
  EXPECT_EQ(pacing.size(), 200);
}

TEST(PacingTest, HalvesDownToOneAndComesBack) {
  Pacing pacing({.first = 5, .least = 1, .most = 300, .target = 50ms, .nice = 1});
  for (const int size : {2, 1, 1}) {
    pacing.Halve(pacing.size());
    EXPECT_EQ(pacing.size(), size);
  }
  for (const int size : {2, 3, 4, 5, 6, 7, 8, 10}) {
    pacing.Took(1ms, pacing.size());
    EXPECT_EQ(pacing.size(), size);
  }
}

TEST(PacingTest, DoesNotJumpBackToTheLeastFromBelow) {
  Pacing pacing({.first = 100, .least = 50, .most = 300, .target = 50ms, .nice = 1});
  for (const int size : {50, 25, 12}) {
    pacing.Halve(pacing.size());
    EXPECT_EQ(pacing.size(), size);
  }
  pacing.Took(1ms, 12);
  EXPECT_EQ(pacing.size(), 15);
  pacing.Took(10s, 15);
  EXPECT_EQ(pacing.size(), 15);
}

TEST(PacingTest, HalvesWhatWasAskedForWhenALimitMadeItLess) {
  Pacing pacing({.first = 20'000});
  pacing.Halve(6);
  EXPECT_EQ(pacing.size(), 3);
}

TEST(PacingTest, RestsInProportion) {
  EXPECT_EQ(Pacing({.nice = 1.5}).Rest(100ms), Duration(150ms));
  EXPECT_EQ(Pacing({.nice = 0}).Rest(100ms), Duration(0));
}

}  // namespace
}  // namespace pgsteward
