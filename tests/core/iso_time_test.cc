#include "core/iso_time.h"

#include <gtest/gtest.h>

#include <random>

namespace pgsteward {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST(IsoTime, WritesMicrosecondsOfUtc) {
  EXPECT_EQ(IsoMicros(WallTime()), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(IsoMicros(WallTime(microseconds(1'795'575'600'123'456))),
            "2026-11-25T03:00:00.123456Z");
  EXPECT_EQ(IsoMicros(WallTime(nanoseconds(-1))), "1969-12-31T23:59:59.999999Z");
}

TEST(IsoTime, ReadsOnlyThatForm) {
  for (const char* text :
       {"", "2026-11-25", "2026-11-25T03:00:00Z", "2026-11-25T03:00:00.12345Z",
        "2026-11-25T03:00:00.123456", "2026-11-25 03:00:00.123456Z", "2026-02-29T00:00:00.000000Z",
        "2026-11-25T24:00:00.000000Z", "2026-11-25T00:60:00.000000Z", "2026-11-25T00:00:60.000000Z",
        "1969-12-31T00:00:00.000000Z", "2262-01-01T00:00:00.000000Z", "+026-11-25T03:00:00.000000Z",
        "2026-00-25T03:00:00.000000Z", "2026-13-25T03:00:00.000000Z"}) {
    EXPECT_FALSE(ParseIsoMicros(text)) << text;
  }
}

TEST(IsoTime, RandomMomentsComeBack) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const WallTime time(microseconds(random() % 9'200'000'000'000'000));
    const auto parsed = ParseIsoMicros(IsoMicros(time));
    ASSERT_TRUE(parsed) << IsoMicros(time);
    ASSERT_EQ(*parsed, time);
  }
}

}  // namespace
}  // namespace pgsteward
