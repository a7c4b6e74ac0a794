#include "daemon/job_times.h"

#include "tests/daemon/job_facts_fixture.h"

namespace pgsteward {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class JobTimesTest : public JobFactsTest {
 protected:
  // In UTC, or the error.
  std::string Parsed(const std::string& text) const {
    const auto time = ParseLocalTime(text, policy_.zone);
    return time ? TimeZone().Format(*time) : time.error().message;
  }
};

TEST_F(JobTimesTest, ReadsTheClockOnTheWall) {
  EXPECT_EQ(Parsed("2026-12-01 08:00"), "2026-12-01 07:00:00 UTC");
  EXPECT_EQ(Parsed("2026-07-01 08:00:30"), "2026-07-01 06:00:30 UTC");
  EXPECT_EQ(Parsed("2026-12-01"), "2026-11-30 23:00:00 UTC");
  EXPECT_EQ(Parsed("2028-02-29"), "2028-02-28 23:00:00 UTC");
  // In the gap its end, in the fold the later one.
  EXPECT_EQ(Parsed("2026-03-29 02:30"), "2026-03-29 01:00:00 UTC");
  EXPECT_EQ(Parsed("2026-10-25 02:30"), "2026-10-25 01:30:00 UTC");
}

TEST_F(JobTimesTest, RefusesEverythingElse) {
  for (const char* text : {"2026-02-29", "2026-13-01", "2026-12-01 24:00", "2026-12-01 08:60",
                           "2026-12-01T08:00", "1960-01-01", "2200-01-01", "2026-12-1 08:00"}) {
    EXPECT_EQ(Parsed(text), "\"" + std::string(text) + "\" is not a time");
  }
  EXPECT_EQ(Parsed(""), "this value is not a time");
  EXPECT_EQ(Parsed("tomorrow\x1b[31m"), "this value is not a time");
}

TEST_F(JobTimesTest, TellsThem) {
  EXPECT_EQ(Relative(now_ + seconds(11'100), now_), "in 3h05m");
  EXPECT_EQ(Relative(now_ - seconds(12), now_), "12s ago");
  EXPECT_EQ(Relative(now_ + milliseconds(900), now_), "now");
  EXPECT_EQ(IsoTime(now_ + milliseconds(250)), "2026-11-25T11:00:00.250Z");
  EXPECT_EQ(IsoTime(WallTime() - milliseconds(1)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(IsoTime(WallTime::max()), "infinity");
  EXPECT_EQ(LocalTime(policy_.zone, WallTime::max()), "for ever");
  // As the journal gives it back.
  EXPECT_TRUE(IsForEver(WallTime(
      std::chrono::duration_cast<std::chrono::microseconds>(WallTime::max().time_since_epoch()))));
}

}  // namespace
}  // namespace pgsteward
