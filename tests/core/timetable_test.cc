#include "core/timetable.h"

#include <gtest/gtest.h>

#include <ctime>
#include <set>
#include <vector>

#include "tests/core/civil_time.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

Timetable Table(const std::string& text, const TimetableOptions& options) {
  auto table = ParseTimetable(text, options);
  EXPECT_TRUE(table) << text << ": " << (table ? "" : ToText(table.error()));
  return table ? *table : Timetable();
}

TimetableOptions In(const std::string& zone, GapRule gap = GapRule::kRunAtEnd,
                    FoldRule fold = FoldRule::kFirst) {
  return {Zone(zone), gap, fold, 0s, ""};
}

// "03-29 03:00:00 CEST" of the next firings; the same must come of Between.
std::vector<std::string> Firings(const Timetable& table, const TimeZone& zone, WallTime after,
                                 std::size_t count) {
  std::vector<std::string> texts;
  std::vector<WallTime> times;
  WallTime time = after;
  while (texts.size() < count) {
    const auto next = table.Next(time);
    if (!next) break;
    time = *next;
    times.push_back(time);
    texts.push_back(zone.Format(time).substr(5));
  }
  if (!times.empty()) {
    const DueTimes due = table.Between(after, times.back(), times.size() + 1);
    EXPECT_EQ(due.latest, times);
    EXPECT_EQ(due.total, times.size());
    EXPECT_EQ(table.Between(after, times.back() - 1s, 0).total, times.size() - 1);
  }
  return texts;
}

TEST(TimetableTest, FollowsTheRulesForGapsAndFolds) {
  constexpr auto kEnd = GapRule::kRunAtEnd;
  constexpr auto kSkip = GapRule::kSkip;
  constexpr auto kFirst = FoldRule::kFirst;
  constexpr auto kBoth = FoldRule::kBoth;
  const std::string kSpring = "2026-03-28 12:00";  // the night before Berlin's gap 02:00 to 03:00
  const std::string kAutumn = "2026-10-24 12:00";  // and before its fold 03:00 to 02:00
  const struct {
    std::string text;
    std::string zone;
    GapRule gap;
    FoldRule fold;
    std::string after;  // UTC
    std::vector<std::string> firings;
  } kCases[] = {
      // A time of day in the gap.
      {"30 2 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kSpring,
       {"03-29 03:00:00 CEST", "03-30 02:30:00 CEST"}},
      {"30 2 * * *", "Europe/Berlin", kSkip, kFirst, kSpring, {"03-30 02:30:00 CEST"}},
      // Several of one gap are one.
      {"*/10 2 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kSpring,
       {"03-29 03:00:00 CEST", "03-30 02:00:00 CEST"}},
      {"0 0,2,3 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kSpring,
       {"03-29 00:00:00 CET", "03-29 03:00:00 CEST", "03-30 00:00:00 CEST"}},
      {"30 2,3 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kSpring,
       {"03-29 03:00:00 CEST", "03-29 03:30:00 CEST", "03-30 02:30:00 CEST"}},
      {"30 2,3 * * *",
       "Europe/Berlin",
       kSkip,
       kFirst,
       kSpring,
       {"03-29 03:30:00 CEST", "03-30 02:30:00 CEST"}},
      // The gap's end is no time of the gap.
      {"0 3 * * *",
       "Europe/Berlin",
       kSkip,
       kFirst,
       kSpring,
       {"03-29 03:00:00 CEST", "03-30 03:00:00 CEST"}},
      {"0 2 29 3 *", "Europe/Berlin", kEnd, kFirst, kSpring, {"03-29 03:00:00 CEST"}},
      {"15 30 2 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kSpring,
       {"03-29 03:00:00 CEST", "03-30 02:30:15 CEST"}},
      // A time of day in the fold.
      {"30 2 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kAutumn,
       {"10-25 02:30:00 CEST", "10-26 02:30:00 CET"}},
      {"30 2 * * *",
       "Europe/Berlin",
       kEnd,
       kBoth,
       kAutumn,
       {"10-25 02:30:00 CEST", "10-25 02:30:00 CET", "10-26 02:30:00 CET"}},
      {"0,30 2,3 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       kAutumn,
       {"10-25 02:00:00 CEST", "10-25 02:30:00 CEST", "10-25 03:00:00 CET", "10-25 03:30:00 CET"}},
      {"0,30 2,3 * * *",
       "Europe/Berlin",
       kEnd,
       kBoth,
       kAutumn,
       {"10-25 02:00:00 CEST", "10-25 02:30:00 CEST", "10-25 02:00:00 CET", "10-25 02:30:00 CET",
        "10-25 03:00:00 CET"}},
      // After the first pass the second does not fire.
      {"30 2 * * *", "Europe/Berlin", kEnd, kFirst, "2026-10-25 00:30", {"10-26 02:30:00 CET"}},
      {"30 2 * * *", "Europe/Berlin", kEnd, kBoth, "2026-10-25 00:30", {"10-25 02:30:00 CET"}},
      // Through the day: in both passes, whatever the rules; nothing of a gap.
      {"*/30 * * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       "2026-10-24 23:59",
       {"10-25 02:00:00 CEST", "10-25 02:30:00 CEST", "10-25 02:00:00 CET", "10-25 02:30:00 CET",
        "10-25 03:00:00 CET"}},
      {"15 * * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       "2026-03-29 00:00",
       {"03-29 01:15:00 CET", "03-29 03:15:00 CEST", "03-29 04:15:00 CEST"}},
      {"0 */2 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       "2026-03-28 22:00",
       {"03-29 00:00:00 CET", "03-29 04:00:00 CEST", "03-29 06:00:00 CEST"}},
      // The hours as a list are times of day.
      {"15 0-23 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       "2026-03-29 00:00",
       {"03-29 01:15:00 CET", "03-29 03:00:00 CEST", "03-29 03:15:00 CEST"}},
      {"15 0-23 * * *",
       "Europe/Berlin",
       kEnd,
       kFirst,
       "2026-10-24 23:00",
       {"10-25 01:15:00 CEST", "10-25 02:15:00 CEST", "10-25 03:15:00 CET"}},
      // Midnight in a gap, and days that begin late.
      {"@daily",
       "America/Santiago",
       kEnd,
       kFirst,
       "2026-09-05 12:00",
       {"09-06 01:00:00 -03", "09-07 00:00:00 -03"}},
      {"30 0 * * sun",
       "America/Santiago",
       kEnd,
       kFirst,
       "2026-09-05 12:00",
       {"09-06 01:00:00 -03", "09-13 00:30:00 -03"}},
      {"@daily",
       "America/Sao_Paulo",
       kEnd,
       kFirst,
       "2018-11-03 12:00",
       {"11-04 01:00:00 -02", "11-05 00:00:00 -02"}},
      {"@daily",
       "Asia/Beirut",
       kEnd,
       kFirst,
       "2026-03-28 12:00",
       {"03-29 01:00:00 EEST", "03-30 00:00:00 EEST"}},
      {"@daily", "Africa/Cairo", kSkip, kFirst, "2026-04-23 12:00", {"04-25 00:00:00 EEST"}},
      // A gap that ends at midnight: the day that was meant is over.
      {"30 23 * * *",
       "America/Nuuk",
       kEnd,
       kFirst,
       "2026-03-28 12:00",
       {"03-29 00:00:00 -01", "03-29 23:30:00 -01"}},
      // The last hour of the day comes twice.
      {"30 23 * * *",
       "America/Santiago",
       kEnd,
       kFirst,
       "2026-04-04 12:00",
       {"04-04 23:30:00 -03", "04-05 23:30:00 -04"}},
      // Midnight comes twice.
      {"@daily",
       "America/Havana",
       kEnd,
       kFirst,
       "2026-10-31 12:00",
       {"11-01 00:00:00 CDT", "11-02 00:00:00 CST"}},
      // Half an hour of daylight saving.
      {"15 2 * * *",
       "Australia/Lord_Howe",
       kEnd,
       kFirst,
       "2026-10-03 00:00",
       {"10-04 02:30:00 +11", "10-05 02:15:00 +11"}},
      {"45 1 * * *",
       "Australia/Lord_Howe",
       kEnd,
       kFirst,
       "2026-04-04 00:00",
       {"04-05 01:45:00 +11", "04-06 01:45:00 +1030"}},
      // A whole day that never was.
      {"0 12 * * *",
       "Pacific/Apia",
       kEnd,
       kFirst,
       "2011-12-29 00:00",
       {"12-29 12:00:00 -10", "12-31 00:00:00 +14", "12-31 12:00:00 +14"}},
      {"0 12 * * *",
       "Pacific/Apia",
       kSkip,
       kFirst,
       "2011-12-29 00:00",
       {"12-29 12:00:00 -10", "12-31 12:00:00 +14"}},
      {"0 12 30 12 *", "Pacific/Apia", kSkip, kFirst, "2011-12-29 00:00", {"12-30 12:00:00 +14"}},
  };
  for (const auto& [text, zone, gap, fold, after, firings] : kCases) {
    const Timetable table = Table(text, In(zone, gap, fold));
    EXPECT_EQ(Firings(table, Zone(zone), Utc(after), firings.size()), firings)
        << table.Describe() << " after " << after;
  }
}

TEST(TimetableTest, EveryRunsOnElapsedTime) {
  const struct {
    std::string text;
    std::string zone;
    std::string after;  // UTC
    std::vector<std::string> firings;
  } kCases[] = {
      {"every 15m", "UTC", "2026-01-01 00:00", {"01-01 00:15:00 UTC", "01-01 00:30:00 UTC"}},
      {"every 15m", "UTC", "2026-01-01 00:14:59", {"01-01 00:15:00 UTC"}},
      {"every 15m from 00:05",
       "UTC",
       "2026-01-01 00:00",
       {"01-01 00:05:00 UTC", "01-01 00:20:00 UTC"}},
      {"every 15m from 23:50", "UTC", "2026-01-01 00:00", {"01-01 00:05:00 UTC"}},
      {"every 1h",
       "Asia/Kathmandu",
       "2026-01-01 00:00",
       {"01-01 06:00:00 +0545", "01-01 07:00:00 +0545"}},
      {"every 30m",
       "Europe/Berlin",
       "2026-10-24 23:59",
       {"10-25 02:00:00 CEST", "10-25 02:30:00 CEST", "10-25 02:00:00 CET", "10-25 02:30:00 CET"}},
      {"every 30m",
       "Europe/Berlin",
       "2026-03-29 00:00",
       {"03-29 01:30:00 CET", "03-29 03:00:00 CEST"}},
      // Days have 24 hours: in summer an hour later by the clock on the wall.
      {"every 1d from 02:00",
       "Europe/Berlin",
       "2026-03-27 12:00",
       {"03-28 02:00:00 CET", "03-29 03:00:00 CEST", "03-30 03:00:00 CEST"}},
      // Mondays.
      {"every 7d", "UTC", "2026-01-01 00:00", {"01-05 00:00:00 UTC", "01-12 00:00:00 UTC"}},
      {"every 7h", "UTC", "2026-01-01 00:00", {"01-01 05:00:00 UTC", "01-01 12:00:00 UTC"}},
      {"every 1s", "UTC", "2026-01-01 00:00", {"01-01 00:00:01 UTC", "01-01 00:00:02 UTC"}},
      {"every 15m", "UTC", "1969-12-31 23:50", {"01-01 00:00:00 UTC", "01-01 00:15:00 UTC"}},
      {"every 1d1h", "UTC", "1950-01-01 00:00", {"01-01 22:00:00 UTC", "01-02 23:00:00 UTC"}},
  };
  for (const auto& [text, zone, after, firings] : kCases) {
    const Timetable table = Table(text, In(zone));
    EXPECT_EQ(Firings(table, Zone(zone), Utc(after), firings.size()), firings)
        << table.Describe() << " after " << after;
  }
}

TEST(TimetableTest, ManualIsNeverDue) {
  for (const Timetable& table : {Timetable(), Table(" manual ", In("Europe/Berlin"))}) {
    EXPECT_TRUE(table.manual());
    EXPECT_EQ(table.Next(Utc("2026-01-01 00:00")), std::nullopt);
    EXPECT_EQ(table.Between(WallTime::min(), WallTime::max(), 5).total, 0U);
    EXPECT_EQ(table.period(), 0s);
    EXPECT_EQ(table.fingerprint(), "manual");
    EXPECT_EQ(table.Describe(), "manual");
  }
  EXPECT_FALSE(Table("every 1d", In("UTC")).manual());
}

TEST(TimetableTest, RefusesOtherTexts) {
  const std::string kForms =
      "; hint: Write five cron fields (0 2 * * *), @daily, every 15m or manual.";
  const std::string kEvery = "; hint: Write it like every 15m or every 1d from 00:05.";
  const struct {
    std::string text;
    std::string error;
  } kCases[] = {
      {"", "the schedule is empty" + kForms},
      {" \t ", "the schedule is empty" + kForms},
      {"nightly", "\"nightly\" is not a schedule" + kForms},
      {"Manual", "\"Manual\" is not a schedule" + kForms},
      {"every", "\"every\" is not a schedule" + kEvery},
      {"every 1h 30m", "\"every 1h 30m\" is not a schedule" + kEvery},
      {"every 1h at 00:05", "\"every 1h at 00:05\" is not a schedule" + kEvery},
      {"every 1h from 24:00", "\"24:00\" is not a time of day; hint: Write 00:00 to 23:59."},
      {"every 1h from 0:05", "\"0:05\" is not a time of day; hint: Write 00:00 to 23:59."},
      {"every 1h from 00:60", "\"00:60\" is not a time of day; hint: Write 00:00 to 23:59."},
      {"every 15", "\"15\" has no unit; hint: Write 15s."},
      {"every 0s", "\"0s\" is out of range; hint: Write 1s to 366d."},
      {"every 367d", "\"367d\" is out of range; hint: Write 1s to 366d."},
      {"every 500ms", "\"500ms\" is finer than a second; hint: Write whole seconds such as 1s."},
      {"@reboot",
       "\"@reboot\" is not a known schedule; hint: Write @yearly, @monthly, @weekly, @daily or "
       "@hourly, or five fields."},
  };
  for (const auto& [text, error] : kCases) {
    const auto table = ParseTimetable(text, In("UTC"));
    ASSERT_FALSE(table) << text;
    EXPECT_EQ(ToText(table.error()), error) << text;
    EXPECT_EQ(table.error().code, Errc::kBadConfig);
  }
  TimetableOptions options;
  for (const auto jitter : {-1s, 86401s}) {
    options.jitter = jitter;
    const auto table = ParseTimetable("@daily", options);
    ASSERT_FALSE(table);
    EXPECT_EQ(ToText(table.error()), "the jitter is out of range; hint: Write 0s to 1d.");
  }
}

TEST(TimetableTest, JitterIsOneOffsetPerSeed) {
  TimetableOptions options = In("Europe/Berlin");
  options.jitter = 10min;
  std::set<WallTime> offsets;
  for (int i = 0; i < 100; ++i) {
    options.seed = "job" + std::to_string(i);
    const Timetable cron = Table("30 2 * * *", options);
    const Timetable every = Table("every 1h", options);
    const WallTime spring = *cron.Next(Utc("2026-03-28 12:00"));
    const auto offset = spring - Utc("2026-03-29 01:00");
    EXPECT_GE(offset, 0s);
    EXPECT_LT(offset, 10min);
    offsets.insert(spring);
    EXPECT_EQ(*cron.Next(spring) - Utc("2026-03-30 00:30"), offset);
    EXPECT_EQ(*cron.Next(spring - 1s), spring);
    EXPECT_EQ(*every.Next(Utc("2026-01-01 00:00") - 1s) - Utc("2026-01-01 00:00"), offset);
    EXPECT_EQ(cron.Between(spring - 1s, spring, 1).latest, std::vector<WallTime>{spring});
    EXPECT_EQ(cron.Between(spring, spring + 23h, 1).total, 0U);
  }
  EXPECT_GT(offsets.size(), 80U) << "the offsets are not spread";
  // The same in every process and version.
  options.seed = "hub/session_cleanup";
  options.jitter = 1h;
  EXPECT_EQ(UtcText(*Table("@daily", options).Next(Utc("2026-01-01 12:00"))),
            "2026-01-01 23:17:20 UTC");
  options.jitter = 1s;
  EXPECT_EQ(UtcText(*Table("@daily", options).Next(Utc("2026-01-01 12:00"))),
            "2026-01-01 23:00:00 UTC");
}

TEST(TimetableTest, TellsTheLatestAndTheNumber) {
  const Timetable daily = Table("0 2 * * *", In("Europe/Berlin"));
  const DueTimes due = daily.Between(Utc("2026-01-01 01:00"), Utc("2027-01-01 01:00"), 2);
  EXPECT_EQ(due.total, 365U);
  EXPECT_EQ(due.latest, (std::vector<WallTime>{Utc("2026-12-31 01:00"), Utc("2027-01-01 01:00")}));
  EXPECT_EQ(daily.Between(Utc("2027-01-01 01:00"), Utc("2026-01-01 01:00"), 2).total, 0U);
  EXPECT_EQ(daily.Between(Utc("2026-01-01 01:00"), Utc("2026-01-01 01:00"), 2).total, 0U);
  // Fractions of a second: due times are whole seconds.
  EXPECT_EQ(daily.Between(Utc("2026-01-01 01:00") - 1ns, Utc("2026-01-01 01:00"), 2).total, 1U);
  EXPECT_EQ(daily.Between(Utc("2026-01-01 01:00") + 1ns, Utc("2026-01-02 01:00") - 1ns, 2).total,
            0U);
  EXPECT_EQ(*daily.Next(Utc("2026-01-01 01:00") - 1ns), Utc("2026-01-01 01:00"));
  EXPECT_EQ(*daily.Next(Utc("2026-01-01 01:00") + 1ns), Utc("2026-01-02 01:00"));
}

TEST(TimetableTest, CountsWithoutWalking) {
  const WallTime after = Utc("2026-01-01 00:00");
  const WallTime until = Utc("2036-01-01 00:00");  // 3652 days
  const std::clock_t started = std::clock();
  for (const char* text : {"every 1s", "* * * * * *", "* * 0-23 * * *"}) {
    const DueTimes due = Table(text, In("UTC")).Between(after, until, 3);
    EXPECT_EQ(due.total, 3652U * 86400U) << text;
    EXPECT_EQ(due.latest, (std::vector<WallTime>{until - 2s, until - 1s, until})) << text;
  }
  // Of computing, however busy the machine is. Walking takes a hundred times as long.
  EXPECT_LT(std::clock() - started, CLOCKS_PER_SEC);
}

TEST(TimetableTest, HasNoEnds) {
  for (const char* text : {"* * * * * *", "0 2 * * *", "0 0 29 2 *", "every 1s", "every 366d"}) {
    TimetableOptions options = In("America/Santiago");
    options.jitter = 24h;
    options.seed = "x";
    const Timetable table = Table(text, options);
    const auto first = table.Next(WallTime::min());
    ASSERT_TRUE(first) << text;
    EXPECT_GE(*first, Utc("1900-01-01 00:00")) << text;
    EXPECT_LT(*first, Utc("1905-01-01 00:00")) << text;
    EXPECT_EQ(table.Next(WallTime::max()), std::nullopt) << text;
    const DueTimes due = table.Between(WallTime::min(), WallTime::max(), 1);
    ASSERT_EQ(due.latest.size(), 1U) << text;
    EXPECT_LT(due.latest.front(), Utc("2200-01-01 00:00")) << text;
    EXPECT_EQ(table.Next(due.latest.front()), std::nullopt) << text;
    EXPECT_EQ(table.Next(due.latest.front() - 1s), due.latest.front()) << text;
    EXPECT_GT(due.total, 70U) << text;
  }
}

TEST(TimetableTest, KnowsItsPeriod) {
  const struct {
    std::string text;
    std::chrono::seconds period;
  } kCases[] = {
      {"0 2 * * *", 24h},     {"@hourly", 1h},         {"*/5 9-17 * * 1-5", 5min},
      {"@weekly", 168h},      {"@monthly", 744h},      {"0 9-17 * * *", 1h},
      {"* * * * * *", 1s},    {"every 90m", 90min},    {"every 2d from 00:05", 48h},
      {"@yearly", 365 * 24h}, {"0 9,15,21 * * *", 6h},
  };
  for (const auto& [text, period] : kCases) {
    EXPECT_EQ(Table(text, In("Europe/Berlin")).period(), period) << text;
  }
}

TEST(TimetableTest, FingerprintFollowsTheMeaning) {
  TimetableOptions jitter = In("Europe/Berlin");
  jitter.jitter = 10min;
  jitter.seed = "a";
  TimetableOptions other_seed = jitter;
  other_seed.seed = "b";
  TimetableOptions unused_seed = In("Europe/Berlin");
  unused_seed.seed = "b";
  const TimetableOptions berlin = In("Europe/Berlin");
  const TimetableOptions skip = In("Europe/Berlin", GapRule::kSkip);
  const TimetableOptions both = In("Europe/Berlin", GapRule::kRunAtEnd, FoldRule::kBoth);
  const TimetableOptions utc = In("UTC");
  // Each row means one thing, and no two rows the same.
  const std::vector<std::vector<std::pair<std::string, TimetableOptions>>> kSame = {
      {{"0 2 * * *", berlin}, {" 00  2 * * 0-7", berlin}, {"0 2 * * *", unused_seed}},
      {{"0 2 * * *", utc}},
      {{"0 2 * * *", skip}},
      {{"0 2 * * *", both}},
      {{"0 2 * * *", jitter}},
      {{"0 2 * * *", other_seed}},
      {{"0 3 * * *", berlin}},
      // No rules for what runs through the day.
      {{"0 * * * *", berlin}, {"@hourly", skip}, {"0 */1 * * *", both}},
      {{"0 0-23 * * *", berlin}},
      {{"every 1h", berlin}, {"every 60m", utc}, {"every 1h from 05:00", berlin}},
      {{"every 1h from 05:30", berlin}, {"every 1h from 00:30", utc}},
      {{"every 1d", berlin}},
      {{"every 1d", utc}, {"every 24h", utc}, {"every 1d from 01:00", berlin}},
      {{"every 1d", jitter}},
      {{"manual", berlin}, {"manual", jitter}},
  };
  std::set<std::string> seen;
  for (const auto& row : kSame) {
    const std::string first = Table(row.front().first, row.front().second).fingerprint();
    EXPECT_TRUE(seen.insert(first).second) << first;
    EXPECT_EQ(first.find('\n'), std::string::npos);
    for (const auto& [text, options] : row) {
      EXPECT_EQ(Table(text, options).fingerprint(), first) << text;
    }
  }
}

TEST(TimetableTest, Describes) {
  TimetableOptions options = In("Europe/Berlin", GapRule::kSkip, FoldRule::kBoth);
  EXPECT_EQ(Table("  0 2  * * * ", options).Describe(),
            "0 2 * * *, Europe/Berlin, gap skip, fold both");
  EXPECT_EQ(Table("@hourly", options).Describe(), "@hourly, Europe/Berlin");
  EXPECT_EQ(Table("every 1h30m from 00:05", options).Describe(),
            "every 1h30m from 00:05, Europe/Berlin");
  EXPECT_EQ(Table("@daily", In("UTC")).Describe(), "@daily, UTC, gap run_at_end, fold first");
  options.jitter = 1h;
  options.seed = "hub/session_cleanup";
  EXPECT_EQ(Table("@hourly", options).Describe(), "@hourly, Europe/Berlin, 17m20s late by jitter");
}

}  // namespace
}  // namespace pgsteward
