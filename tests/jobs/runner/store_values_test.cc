#include "jobs/runner/store_values.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using std::chrono::microseconds;

TEST(StoreValuesTest, TimesKeepTheirMicroseconds) {
  const std::pair<long long, const char*> cases[] = {
      {0, "0.000000"},
      {1, "0.000001"},
      {1764041202123456, "1764041202.123456"},
      {7258118399999999, "7258118399.999999"},
  };
  for (const auto& [us, text] : cases) {
    const WallTime time{microseconds(us)};
    EXPECT_EQ(EpochText(time), text);
    EXPECT_EQ(TimeOfEpoch(text), time) << text;
  }
}

TEST(StoreValuesTest, ForEverIsInfinityAndBack) {
  EXPECT_EQ(EpochText(WallTime::max()), "infinity");
  EXPECT_EQ(TimeOfEpoch("infinity"), WallTime::max());
  // As PostgreSQL's extract() says it.
  EXPECT_EQ(TimeOfEpoch("Infinity"), WallTime::max());
  EXPECT_EQ(TimeOfEpoch("253402300799.999999"), WallTime::max());
  EXPECT_EQ(EpochText(std::nullopt), std::nullopt);
}

TEST(StoreValuesTest, WhatIsNoTimeIsNone) {
  for (const char* text :
       {"", ".", ".5", "x", "1.x", "1764041202.12345x", "99999999999999999999"}) {
    EXPECT_EQ(TimeOfEpoch(text), std::nullopt) << text;
  }
  // Fewer and more digits than ours.
  EXPECT_EQ(TimeOfEpoch("12"), WallTime(microseconds(12'000'000)));
  EXPECT_EQ(TimeOfEpoch("12.5"), WallTime(microseconds(12'500'000)));
  EXPECT_EQ(TimeOfEpoch("12.1234569"), WallTime(microseconds(12'123'456)));
}

TEST(StoreValuesTest, Counters) {
  const CounterAmounts none;
  EXPECT_EQ(none.names, "{}");
  const CounterAmounts some({{"a.b", 1}, {"c", 2.5}});
  EXPECT_EQ(some.names, "{\"a.b\",\"c\"}");
  EXPECT_EQ(some.numbers, "{\"1.000000\",\"2.500000\"}");
  EXPECT_EQ(NumbersOf(JsonNumbers({{"a", 1.5}})).at("a"), 1.5);
  EXPECT_TRUE(NumbersOf("[]").empty());
}

}  // namespace
}  // namespace pgsteward
