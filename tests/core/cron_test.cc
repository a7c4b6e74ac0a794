#include "core/cron.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/core/civil_time.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

CronExpression Cron(const std::string& text) {
  auto cron = ParseCron(text);
  EXPECT_TRUE(cron) << text << ": " << (cron ? "" : ToText(cron.error()));
  return cron ? *cron : *ParseCron("@yearly");
}

TEST(CronTest, FindsTheNextMatches) {
  const struct {
    std::string text;
    std::string after;
    std::vector<std::string> next;
  } kCases[] = {
      {"* * * * *", "2026-01-01 00:00:00", {"2026-01-01 00:01:00", "2026-01-01 00:02:00"}},
      {"* * * * *", "2026-01-01 00:00:59", {"2026-01-01 00:01:00"}},
      {"* * * * * *", "2026-12-31 23:59:58", {"2026-12-31 23:59:59", "2027-01-01 00:00:00"}},
      {"0 2 * * *", "2026-01-01 02:00:00", {"2026-01-02 02:00:00", "2026-01-03 02:00:00"}},
      {"0 2 * * *", "2026-01-01 01:59:59", {"2026-01-01 02:00:00"}},
      {"  0\t2 *  * * ", "2026-01-01 01:59:59", {"2026-01-01 02:00:00"}},
      {"*/15 * * * *", "2026-01-01 00:31:00", {"2026-01-01 00:45:00", "2026-01-01 01:00:00"}},
      {"1-30/5 7 * * *", "2026-01-01 07:21:00", {"2026-01-01 07:26:00", "2026-01-02 07:01:00"}},
      {"5,1,3-4 0 * * *",
       "2026-01-01 00:00:00",
       {"2026-01-01 00:01:00", "2026-01-01 00:03:00", "2026-01-01 00:04:00", "2026-01-01 00:05:00",
        "2026-01-02 00:01:00"}},
      {"30 15 10 * * *", "2026-01-01 00:00:00", {"2026-01-01 10:15:30", "2026-01-02 10:15:30"}},
      {"*/20 59 23 31 dec *",
       "2026-01-01 00:00:00",
       {"2026-12-31 23:59:00", "2026-12-31 23:59:20", "2026-12-31 23:59:40",
        "2027-12-31 23:59:00"}},
      // Months and days by name.
      {"0 0 1 JAN,jul *", "2026-01-01 00:00:00", {"2026-07-01 00:00:00", "2027-01-01 00:00:00"}},
      {"0 0 1 oct-dec/2 *", "2026-01-01 00:00:00", {"2026-10-01 00:00:00", "2026-12-01 00:00:00"}},
      {"0 9 * * Mon-Fri", "2026-01-02 09:00:00", {"2026-01-05 09:00:00", "2026-01-06 09:00:00"}},
      {"0 9 * * fri-sun",
       "2026-01-01 09:00:00",
       {"2026-01-02 09:00:00", "2026-01-03 09:00:00", "2026-01-04 09:00:00",
        "2026-01-09 09:00:00"}},
      {"0 9 * * 0", "2026-01-01 00:00:00", {"2026-01-04 09:00:00", "2026-01-11 09:00:00"}},
      {"0 9 * * 7", "2026-01-01 00:00:00", {"2026-01-04 09:00:00", "2026-01-11 09:00:00"}},
      {"0 9 * * 5-7", "2026-01-04 09:00:00", {"2026-01-09 09:00:00"}},
      {"0 9 * * 0-7", "2026-01-04 09:00:00", {"2026-01-05 09:00:00"}},
      // The last day.
      {"0 0 L * *",
       "2026-01-01 00:00:00",
       {"2026-01-31 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00"}},
      {"0 0 L 2 *", "2027-01-01 00:00:00", {"2027-02-28 00:00:00", "2028-02-29 00:00:00"}},
      {"0 0 15,l * *", "2026-02-01 00:00:00", {"2026-02-15 00:00:00", "2026-02-28 00:00:00"}},
      {"0 0 * * 5L", "2026-01-01 00:00:00", {"2026-01-30 00:00:00", "2026-02-27 00:00:00"}},
      {"0 0 * * friL", "2026-01-01 00:00:00", {"2026-01-30 00:00:00", "2026-02-27 00:00:00"}},
      {"0 0 * * 7L", "2026-01-01 00:00:00", {"2026-01-25 00:00:00", "2026-02-22 00:00:00"}},
      {"0 0 * * monl,tue",
       "2026-01-20 00:00:00",
       {"2026-01-26 00:00:00", "2026-01-27 00:00:00", "2026-02-03 00:00:00"}},
      // One of the two day fields is enough when both are restricted.
      {"0 0 13 * 5",
       "2026-01-08 00:00:00",
       {"2026-01-09 00:00:00", "2026-01-13 00:00:00", "2026-01-16 00:00:00"}},
      {"0 0 L * 1", "2026-01-27 00:00:00", {"2026-01-31 00:00:00", "2026-02-02 00:00:00"}},
      // A field that begins with a star is not restricted: both have to match.
      {"0 0 */2 * 1", "2026-01-01 00:00:00", {"2026-01-05 00:00:00", "2026-01-19 00:00:00"}},
      {"0 0 13 * */5", "2026-01-01 00:00:00", {"2026-02-13 00:00:00", "2026-03-13 00:00:00"}},
      {"0 0 1 * *,1", "2026-01-01 00:00:00", {"2026-02-01 00:00:00"}},
      {"0 0 31 * *", "2026-01-31 00:00:00", {"2026-03-31 00:00:00", "2026-05-31 00:00:00"}},
      {"0 0 29 2 *", "2026-01-01 00:00:00", {"2028-02-29 00:00:00", "2032-02-29 00:00:00"}},
      {"0 0 29 feb */6", "2026-01-01 00:00:00", {"2032-02-29 00:00:00", "2048-02-29 00:00:00"}},
      {"0 0 29 2 *", "2096-03-01 00:00:00", {"2104-02-29 00:00:00"}},
      // Only the day of the week can come.
      {"0 0 31 2 1", "2026-01-01 00:00:00", {"2026-02-02 00:00:00"}},
      {"@yearly", "2026-01-01 00:00:00", {"2027-01-01 00:00:00"}},
      {"@annually", "2026-01-01 00:00:00", {"2027-01-01 00:00:00"}},
      {"@monthly", "2026-01-01 00:00:00", {"2026-02-01 00:00:00"}},
      {"@weekly", "2026-01-01 00:00:00", {"2026-01-04 00:00:00"}},
      {"@daily", "2026-01-01 00:00:00", {"2026-01-02 00:00:00"}},
      {"@Midnight", "2026-01-01 00:00:00", {"2026-01-02 00:00:00"}},
      {"@hourly", "2026-01-01 00:00:00", {"2026-01-01 01:00:00"}},
      {"0 0 * * *", "1969-12-31 12:00:00", {"1970-01-01 00:00:00"}},
      {"0 0 1 3 *", "1899-12-31 12:00:00", {"1900-03-01 00:00:00"}},
  };
  for (const auto& [text, after, next] : kCases) {
    const CronExpression cron = Cron(text);
    LocalSeconds time = Local(after);
    for (const std::string& expected : next) {
      const LocalSeconds match = cron.NextMatch(time);
      EXPECT_EQ(LocalText(match), expected) << text;
      EXPECT_TRUE(cron.Matches(match)) << text;
      EXPECT_EQ(cron.CountMatches(time + 1s, match), 0U) << text;
      EXPECT_EQ(cron.CountMatches(time + 1s, match + 1s), 1U) << text;
      if (cron.Matches(time)) {
        EXPECT_EQ(LocalText(cron.PreviousMatch(match)), LocalText(time)) << text;
      }
      time = match;
    }
  }
}

TEST(CronTest, RefusesWithTheFieldAndWhatIsAllowed) {
  const std::string kMinute =
      "; hint: This field takes 0 to 59, *, lists (1,3), ranges (1-5) and steps (*/2, 1-5/2).";
  const std::string kFields =
      "; hint: Write minute, hour, day-of-month, month and day-of-week, such as 0 2 * * 1-5; "
      "seconds may stand before them.";
  const std::string kMacros =
      "; hint: Write @yearly, @monthly, @weekly, @daily or @hourly, or five fields.";
  const struct {
    std::string text;
    std::string error;
  } kCases[] = {
      {"60 * * * *", "\"60\" in the minute field is out of range" + kMinute},
      {"0-60 * * * *", "\"0-60\" in the minute field is out of range" + kMinute},
      {"5,61,7 * * * *", "\"61\" in the minute field is out of range" + kMinute},
      {"x * * * *", "\"x\" in the minute field is not understood" + kMinute},
      {"-1 * * * *", "\"-1\" in the minute field is not understood" + kMinute},
      {"+1 * * * *", "\"+1\" in the minute field is not understood" + kMinute},
      {"1.5 * * * *", "\"1.5\" in the minute field is not understood" + kMinute},
      {"99999999999 * * * *", "\"99999999999\" in the minute field is not understood" + kMinute},
      {"** * * * *", "\"**\" in the minute field is not understood" + kMinute},
      {"1- * * * *", "\"1-\" in the minute field is not understood" + kMinute},
      {"1-2-3 * * * *", "\"1-2-3\" in the minute field is not understood" + kMinute},
      {"*-5 * * * *", "\"*-5\" in the minute field is not understood" + kMinute},
      {"30-10 * * * *", "\"30-10\" in the minute field ends before it begins" + kMinute},
      {"1,,2 * * * *", "\"1,,2\" in the minute field has an empty place in its list" + kMinute},
      {", * * * *", "\",\" in the minute field has an empty place in its list" + kMinute},
      {"*/0 * * * *",
       "\"*/0\" in the minute field has a step that does not fit into its range" + kMinute},
      {"*/90 * * * *",
       "\"*/90\" in the minute field has a step that does not fit into its range" + kMinute},
      {"1-5/7 * * * *",
       "\"1-5/7\" in the minute field has a step that does not fit into its range" + kMinute},
      {"*/ * * * *", "\"*/\" in the minute field is not understood" + kMinute},
      {"*/2/3 * * * *", "\"*/2/3\" in the minute field is not understood" + kMinute},
      {"5/15 * * * *", "\"5/15\" in the minute field has a step without a range" + kMinute},
      {"jan * * * *", "\"jan\" in the minute field is not understood" + kMinute},
      {"L * * * *", "\"L\" in the minute field is not understood" + kMinute},
      {"? * * * *", "\"?\" in the minute field is not understood" + kMinute},
      {"user=postgres;password=x * * * *",
       "this value in the minute field is not understood" + kMinute},
      {"60 * * * * *",
       "\"60\" in the second field is out of range; hint: This field takes 0 to 59, *, lists "
       "(1,3), ranges (1-5) and steps (*/2, 1-5/2)."},
      {"0 24 * * *",
       "\"24\" in the hour field is out of range; hint: This field takes 0 to 23, *, lists (1,3), "
       "ranges (1-5) and steps (*/2, 1-5/2)."},
      {"0 0 0 * *",
       "\"0\" in the day-of-month field is out of range; hint: This field takes 1 to 31, L (the "
       "last day), *, lists (1,3), ranges (1-5) and steps (*/2, 1-5/2)."},
      {"0 0 * 13 *",
       "\"13\" in the month field is out of range; hint: This field takes 1 to 12, jan to dec, *, "
       "lists (1,3), ranges (1-5) and steps (*/2, 1-5/2)."},
      {"0 0 * * 8",
       "\"8\" in the day-of-week field is out of range; hint: This field takes 0 to 7, sun to sat, "
       "5L or friL (the last Friday), *, lists (1,3), ranges (1-5) and steps (*/2, 1-5/2)."},
      {"", "this value has 0 fields, not 5 or 6" + kFields},
      {"5", "\"5\" has 1 field, not 5 or 6" + kFields},
      {"0 2 * *", "\"0 2 * *\" has 4 fields, not 5 or 6" + kFields},
      {"0 0 2 * * * *", "\"0 0 2 * * * *\" has 7 fields, not 5 or 6" + kFields},
      {"0 2 * * *\n",
       "this value in the day-of-week field is not understood; hint: This field takes "
       "0 to 7, sun to sat, 5L or friL (the last Friday), *, lists (1,3), ranges "
       "(1-5) and steps (*/2, 1-5/2)."},
      {"@reboot", "\"@reboot\" is not a known schedule" + kMacros},
      {"@", "this value is not a known schedule" + kMacros},
      {"@daily 5", "\"@daily 5\" has 2 fields, not 5 or 6" + kFields},
  };
  for (const auto& [text, error] : kCases) {
    const auto cron = ParseCron(text);
    ASSERT_FALSE(cron) << text;
    EXPECT_EQ(ToText(cron.error()), error) << text;
    EXPECT_EQ(cron.error().code, Errc::kBadConfig);
  }
}

TEST(CronTest, RefusesOtherFormsOfL) {
  for (const char* text : {"0 0 L-3 * *", "0 0 LW * *", "0 0 1L * *", "0 0 * * L", "0 0 * * 8L",
                           "0 0 * * 1-5L", "0 0 * * fri#2", "0 0 * L *"}) {
    EXPECT_FALSE(ParseCron(text)) << text;
  }
}

TEST(CronTest, RefusesDatesThatNeverCome) {
  const auto cron = ParseCron("0 0 31 Feb *");
  ASSERT_FALSE(cron);
  EXPECT_EQ(ToText(cron.error()),
            "\"31 Feb *\" as day-of-month, month and day-of-week never fires: there is no such "
            "date; hint: Write a day that the month has, or L for its last one.");
  for (const char* text :
       {"0 0 30 2 *", "0 0 30,31 feb *", "0 0 31 4,6,9,11 *", "0 0 31 feb */2"}) {
    EXPECT_FALSE(ParseCron(text)) << text;
  }
}

TEST(CronTest, NormalisesSpellings) {
  const std::vector<std::vector<std::string>> kSame = {
      {"*/15 * * * *", "0,15,30,45 * * * *", "0 0-59/15 * * * *", "45,30,15,0 */1 * * *"},
      {"0 2 * * *", "00 02 * * *", "0 2 */1 * *", "0 2 1-31 * 1", "0 2 13 * 0-6", "0 2 * 1-12 *"},
      {"0 2 * * 0", "0 2 * * 7", "0 2 * * sun", "0 2 * * SUN,7", "0 2 * * sun,sunL"},
      {"@daily", "@midnight", "0 0 * * *", "0 0 0 * * *"},
      {"0 0 1 * 1"},
      {"0 0 */5 * 1"},  // 1, 6, ... and Monday
      {"0 0 1,6,11,16,21,26,31 * 1"},
      {"0 0-23 * * *"},  // times of day, not through the day
      {"0 * * * *", "@hourly"},
      {"0 0 L * *"},
      {"0 0 * * 5L"},
      {"0 0 * * 5"},
      {"* * * * * *"},
      {"* * * * *"},
  };
  for (std::size_t i = 0; i < kSame.size(); ++i) {
    for (const std::string& text : kSame[i]) {
      EXPECT_EQ(Cron(text).Normalised(), Cron(kSame[i].front()).Normalised()) << text;
    }
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(Cron(kSame[i].front()).Normalised(), Cron(kSame[j].front()).Normalised())
          << kSame[i].front() << " and " << kSame[j].front();
    }
  }
}

TEST(CronTest, KnowsTheWildcardHour) {
  for (const char* text : {"0 * * * *", "0 */2 * * *", "5 *,3 * * *", "@hourly", "* * * * * *"}) {
    EXPECT_TRUE(Cron(text).wildcard_hour()) << text;
  }
  for (const char* text : {"0 0-23 * * *", "* 2 * * *", "0 3,* * * *", "@daily", "* * 0 * * *"}) {
    EXPECT_FALSE(Cron(text).wildcard_hour()) << text;
  }
}

// Against the plain definition, second by second.
TEST(CronTest, RandomExpressionsAgreeWithCounting) {
  std::mt19937 random(7);
  const auto pick = [&](int least, int most) {
    return std::to_string(std::uniform_int_distribution<int>(least, most)(random));
  };
  for (int round = 0; round < 40; ++round) {
    const std::string text = pick(0, 29) + "-" + pick(30, 59) + "," + pick(0, 59) + " " +
                             (round % 3 == 0 ? "*/7" : pick(0, 59)) + " " +
                             (round % 4 == 0 ? "*" : pick(0, 11) + "," + pick(12, 23)) + " " +
                             (round % 5 == 0 ? "*" : pick(1, 28) + ",L") + " * " +
                             (round % 2 == 0 ? "*" : pick(0, 7) + ",2L");
    const CronExpression cron = Cron(text);
    const LocalSeconds begin = Local("2028-02-26 12:34:56") + std::chrono::hours(random() % 30);
    const LocalSeconds end = begin + std::chrono::days(4);
    std::vector<LocalSeconds> matches;
    for (LocalSeconds time = begin; time < end; time += 1s) {
      if (cron.Matches(time)) matches.push_back(time);
    }
    ASSERT_EQ(cron.CountMatches(begin, end), matches.size()) << text;
    LocalSeconds time = begin - 1s;
    for (const LocalSeconds match : matches) {
      time = cron.NextMatch(time);
      ASSERT_EQ(LocalText(time), LocalText(match)) << text;
    }
    ASSERT_GE(cron.NextMatch(time), end) << text;
    time = end;
    for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
      time = cron.PreviousMatch(time);
      ASSERT_EQ(LocalText(time), LocalText(*match)) << text;
    }
    ASSERT_LT(cron.PreviousMatch(time), begin) << text;
    for (int i = 0; i < 20 && !matches.empty(); ++i) {
      const LocalSeconds from = begin + std::chrono::seconds(random() % 300000);
      const LocalSeconds to = begin + std::chrono::seconds(random() % 300000);
      const auto low = std::lower_bound(matches.begin(), matches.end(), from);
      const auto high = std::lower_bound(matches.begin(), matches.end(), to);
      ASSERT_EQ(cron.CountMatches(from, to),
                high > low ? static_cast<std::uint64_t>(high - low) : 0)
          << text;
    }
  }
}

}  // namespace
}  // namespace pgsteward
