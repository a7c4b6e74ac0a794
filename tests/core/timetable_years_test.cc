// Ten years of schedules in ten zones, against the plain reading of the rules by a clock that the
// C library drives: it reads tzdata by its own code.

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "core/time_window.h"
#include "core/timetable.h"
#include "tests/core/civil_time.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_seconds;

struct Span {
  const char* zone;
  int first_year;  // ten years from here
  bool changes;    // its offset within them
};

// The offset of every minute of the ten years, in minutes, as the C library knows it.
const std::vector<std::int16_t>& Offsets(const Span& span, sys_seconds begin) {
  static std::map<std::string, std::vector<std::int16_t>> known;
  std::vector<std::int16_t>& offsets = known[span.zone];
  if (!offsets.empty()) return offsets;
  const char* const before = std::getenv("TZ");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TZ", span.zone, 1);
  tzset();
  const sys_seconds end = std::chrono::sys_days(std::chrono::year(span.first_year + 10) / 1 / 1);
  for (sys_seconds time = begin; time < end; time += minutes(1)) {
    const std::time_t seconds_since_epoch = time.time_since_epoch().count();
    std::tm local{};
    localtime_r(&seconds_since_epoch, &local);
    offsets.push_back(static_cast<std::int16_t>(local.tm_gmtoff / 60));
  }
  before == nullptr ? unsetenv("TZ") : setenv("TZ", saved.c_str(), 1);
  tzset();
  return offsets;
}

class TimetableYearsTest : public testing::TestWithParam<Span> {
 protected:
  sys_seconds Instant(std::size_t i) const { return begin_ + i * minutes(1); }

  // Minutes of local time since 1970.
  std::int64_t LocalMinute(std::size_t i) const {
    return begin_.time_since_epoch() / minutes(1) + static_cast<std::int64_t>(i) + minutes_[i];
  }

  // What the clock jumped over just before minute i: [first, second).
  std::pair<std::int64_t, std::int64_t> Skipped(std::size_t i) const {
    return {LocalMinute(i - 1) + 1, LocalMinute(i)};
  }

  void Compare(const Timetable& table, const std::vector<WallTime>& expected) const {
    const DueTimes due = table.Between(begin_, Instant(minutes_.size() - 1), minutes_.size());
    ASSERT_EQ(due.total, expected.size()) << table.Describe();
    ASSERT_EQ(due.latest.size(), expected.size()) << table.Describe();
    WallTime time = begin_;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(due.latest[i], expected[i])
          << table.Describe() << ": " << zone_.FormatWithOffset(due.latest[i]) << " instead of "
          << zone_.FormatWithOffset(expected[i]);
      const auto next = table.Next(time);
      ASSERT_TRUE(next) << table.Describe();
      ASSERT_GT(*next, time);
      ASSERT_EQ(*next, expected[i]) << table.Describe() << ": " << zone_.FormatWithOffset(*next)
                                    << " instead of " << zone_.FormatWithOffset(expected[i]);
      time = *next;
    }
  }

  const TimeZone zone_ = Zone(GetParam().zone);
  const sys_seconds begin_ =
      std::chrono::sys_days(std::chrono::year(GetParam().first_year) / 1 / 1);
  const std::vector<std::int16_t>& minutes_ = Offsets(GetParam(), begin_);
};

struct Civil {
  int minute, hour, day, month, weekday;  // as cron counts them
  bool last_day, last_week;               // of the month
};

Civil CivilOf(std::int64_t local_minute) {
  const LocalSeconds local{minutes(local_minute)};
  const LocalDays day = std::chrono::floor<days>(local);
  const std::chrono::year_month_day date(day);
  const LocalDays last(date.year() / date.month() / std::chrono::last);
  const auto time = local - day;
  return {static_cast<int>(time / minutes(1) % 60),
          static_cast<int>(time / minutes(60)),
          static_cast<int>(static_cast<unsigned>(date.day())),
          static_cast<int>(static_cast<unsigned>(date.month())),
          static_cast<int>(std::chrono::weekday(day).c_encoding()),
          day == last,
          last - day < days(7)};
}

struct Schedule {
  const char* text;
  bool through_the_day;
  bool (*matches)(const Civil&);
};

const Schedule kSchedules[] = {
    {"30 2 * * *", false, [](const Civil& c) { return c.hour == 2 && c.minute == 30; }},
    {"@daily", false, [](const Civil& c) { return c.hour == 0 && c.minute == 0; }},
    {"*/10 0-3 * * *", false, [](const Civil& c) { return c.hour <= 3 && c.minute % 10 == 0; }},
    {"45 0-23 * * *", false, [](const Civil& c) { return c.minute == 45; }},
    {"15 23 L * *", false,
     [](const Civil& c) { return c.hour == 23 && c.minute == 15 && c.last_day; }},
    {"5 0 1,15 * sun", false,
     [](const Civil& c) {
       return c.hour == 0 && c.minute == 5 && (c.day == 1 || c.day == 15 || c.weekday == 0);
     }},
    {"10 2 * mar-apr,oct sunL", false,
     [](const Civil& c) {
       return c.hour == 2 && c.minute == 10 && (c.month == 3 || c.month == 4 || c.month == 10) &&
              c.weekday == 0 && c.last_week;
     }},
    {"0 3 29 2 *", false,
     [](const Civil& c) { return c.hour == 3 && c.minute == 0 && c.day == 29 && c.month == 2; }},
    {"*/15 * * * *", true, [](const Civil& c) { return c.minute % 15 == 0; }},
    {"7 * * * *", true, [](const Civil& c) { return c.minute == 7; }},
    {"20 */2 */2 * 1-5", true,
     [](const Civil& c) {
       return c.hour % 2 == 0 && c.minute == 20 && c.day % 2 == 1 && c.weekday >= 1 &&
              c.weekday <= 5;
     }},
};

constexpr std::pair<GapRule, FoldRule> kRules[] = {{GapRule::kRunAtEnd, FoldRule::kFirst},
                                                   {GapRule::kRunAtEnd, FoldRule::kBoth},
                                                   {GapRule::kSkip, FoldRule::kFirst},
                                                   {GapRule::kSkip, FoldRule::kBoth}};

TEST_P(TimetableYearsTest, FiresWhenTheRulesSaySo) {
  std::vector<WallTime> expected[std::size(kSchedules)][std::size(kRules)];
  std::size_t made_up = 0;
  std::size_t second_passes = 0;
  std::int64_t latest = LocalMinute(0);  // that the clock has shown
  for (std::size_t i = 1; i < minutes_.size(); ++i) {
    const auto [gap, now] = Skipped(i);
    const Civil civil = CivilOf(now);
    const bool again = now <= latest;
    latest = std::max(latest, now);
    for (std::size_t s = 0; s < std::size(kSchedules); ++s) {
      const Schedule& schedule = kSchedules[s];
      bool in_gap = false;
      for (std::int64_t skipped = gap; skipped < now; ++skipped) {
        in_gap = in_gap || schedule.matches(CivilOf(skipped));
      }
      const bool match = schedule.matches(civil);
      if (!match && !in_gap) continue;
      const std::size_t rules = schedule.through_the_day ? 1 : std::size(kRules);
      for (std::size_t r = 0; r < rules; ++r) {
        const bool here =
            match && (schedule.through_the_day || !again || kRules[r].second == FoldRule::kBoth);
        const bool late =
            in_gap && !schedule.through_the_day && kRules[r].first == GapRule::kRunAtEnd;
        if (here || late) expected[s][r].push_back(Instant(i));
      }
      if (!schedule.through_the_day) {
        made_up += in_gap ? 1 : 0;
        second_passes += again ? 1 : 0;
      }
    }
  }
  for (std::size_t s = 0; s < std::size(kSchedules); ++s) {
    for (std::size_t r = 0; r < std::size(kRules); ++r) {
      const auto table =
          ParseTimetable(kSchedules[s].text, {zone_, kRules[r].first, kRules[r].second, 0s, ""});
      ASSERT_TRUE(table) << kSchedules[s].text;
      Compare(*table, expected[s][kSchedules[s].through_the_day ? 0 : r]);
    }
  }
  EXPECT_EQ(made_up > 0, GetParam().changes);
  EXPECT_EQ(second_passes > 0, GetParam().changes);
}

// Every local day has one firing, whatever the time of day.
TEST_P(TimetableYearsTest, DailyFiresOncePerDay) {
  std::set<int> times;
  for (int minute = 0; minute < 24 * 60; minute += 15) times.insert(minute);
  std::vector<std::size_t> changes;
  for (std::size_t i = 1; i < minutes_.size(); ++i) {
    if (minutes_[i] != minutes_[i - 1]) changes.push_back(i);
  }
  for (int time = 0; time < 24 * 60; ++time) {
    const std::string text = std::to_string(time % 60) + " " + std::to_string(time / 60) + " * * *";
    const auto table = ParseTimetable(text, {zone_, {}, {}, 0s, ""});
    ASSERT_TRUE(table);
    std::vector<std::pair<WallTime, WallTime>> spans;
    if (times.contains(time)) {
      spans.emplace_back(begin_, Instant(minutes_.size() - 1));  // all years
    } else {
      for (const std::size_t change : changes) {
        spans.emplace_back(Instant(change) - days(2), Instant(change) + days(2));
      }
    }
    for (const auto& [from, to] : spans) {
      std::set<WallTime> expected;
      const LocalDays last = zone_.LocalDay(to);
      for (LocalDays day = zone_.LocalDay(from) + days(1); day <= last; day += days(1)) {
        const WallTime firing = zone_.Resolve(day + minutes(time)).first;
        const bool fresh = expected.insert(firing).second;
        // What was due on the day that never was, is at the beginning of the next.
        const bool never =
            zone_.name() == "Pacific/Apia" && day == LocalDays(std::chrono::year(2011) / 12 / 30);
        const LocalDays fired = zone_.LocalDay(firing);
        ASSERT_TRUE(fired == (never ? day + days(1) : day)) << text << UtcText(firing);
        ASSERT_TRUE(fresh || time == 0) << text << UtcText(firing);
      }
      WallTime now = *expected.begin() - 1s;
      for (const WallTime firing : expected) {
        now = *table->Next(now);
        ASSERT_EQ(now, firing) << text << ": " << zone_.FormatWithOffset(now) << " instead of "
                               << zone_.FormatWithOffset(firing);
      }
    }
  }
}

TEST_P(TimetableYearsTest, NextAgreesWithBetween) {
  std::mt19937 random(42);
  const auto pick = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  const seconds length = Instant(minutes_.size() - 1) - begin_;
  for (int round = 0; round < 150; ++round) {
    std::string text;
    switch (round % 3) {
      case 0:
        text = "every " + std::to_string(pick(30, 9000)) + "s from 0" + std::to_string(pick(0, 9)) +
               ":30";
        break;
      case 1:
        text = std::to_string(pick(0, 59)) + " " + std::to_string(pick(0, 59)) + " " +
               std::to_string(pick(0, 3)) + "-" + std::to_string(pick(4, 23)) + " * * *";
        break;
      default:
        text = std::to_string(pick(0, 59)) + " * * * " + std::to_string(pick(0, 7));
    }
    const auto rules = kRules[static_cast<std::size_t>(pick(0, 3))];
    const auto table =
        ParseTimetable(text, {zone_, rules.first, rules.second, seconds(pick(0, 1) * 3600), text});
    ASSERT_TRUE(table) << text;
    // Half of them near a change of the clocks, where there is one.
    WallTime from = begin_ + seconds(pick(0, length.count()));
    const ZonePeriod period = zone_.PeriodOf(std::chrono::floor<seconds>(from));
    if (round % 2 == 0 && period.end < Instant(minutes_.size() - 1)) {
      from = period.end - seconds(pick(0, 9000));
    }
    const WallTime until = from + seconds(pick(0, 3 * 86400));
    std::vector<WallTime> walked;
    for (auto next = table->Next(from); next && *next <= until; next = table->Next(*next)) {
      walked.push_back(*next);
    }
    ASSERT_TRUE(std::is_sorted(walked.begin(), walked.end(), std::less_equal<WallTime>()));
    const DueTimes all = table->Between(from, until, walked.size() + 10);
    ASSERT_EQ(all.total, walked.size()) << table->Describe() << " from " << UtcText(from);
    ASSERT_EQ(all.latest, walked) << table->Describe() << " from " << UtcText(from);
    const auto most = static_cast<std::size_t>(pick(0, 5));
    const DueTimes some = table->Between(from, until, most);
    ASSERT_EQ(some.total, walked.size());
    const auto skipped = static_cast<std::ptrdiff_t>(walked.size() - std::min(most, walked.size()));
    ASSERT_EQ(some.latest, std::vector<WallTime>(walked.begin() + skipped, walked.end()));
    // In two parts it is the same.
    const WallTime middle = from + (until - from) / 3;
    ASSERT_EQ(table->Between(from, middle, 0).total + table->Between(middle, until, 0).total,
              walked.size());
  }
}

TEST_P(TimetableYearsTest, WindowsFollowTheClockOnTheWall) {
  const struct {
    const char* text;
    bool (*contains)(std::int64_t local_minute);
  } kWindows[] = {
      {"22:00-02:30", [](std::int64_t m) { return m % 1440 >= 22 * 60 || m % 1440 < 2 * 60 + 30; }},
      {"Sat,Sun 00:15-03:00",
       [](std::int64_t m) {
         const std::int64_t weekday = (m / 1440 + 4) % 7;
         return (weekday == 6 || weekday == 0) && m % 1440 >= 15 && m % 1440 < 180;
       }},
      {"Sat 23:30-00:30",
       [](std::int64_t m) {
         const std::int64_t weekday = (m / 1440 + 4) % 7;
         return weekday == 6 ? m % 1440 >= 23 * 60 + 30 : weekday == 0 && m % 1440 < 30;
       }},
  };
  for (const auto& [text, contains] : kWindows) {
    const WindowSet windows(zone_, {*ParseTimeWindow(text)});
    WallTime time = begin_;
    for (std::size_t i = 1; i < minutes_.size(); ++i) {
      const bool now = contains(LocalMinute(i));
      if (now == contains(LocalMinute(i - 1))) continue;
      const auto next = windows.NextChange(time);
      ASSERT_TRUE(next) << text;
      ASSERT_EQ(*next, Instant(i)) << text << ": " << zone_.FormatWithOffset(*next);
      ASSERT_EQ(windows.Contains(*next), now) << text;
      ASSERT_EQ(windows.Contains(*next - 1s), !now) << text;
      time = *next;
    }
  }
}

TEST_P(TimetableYearsTest, LocalTimesResolveToTheirInstants) {
  std::int64_t latest = LocalMinute(0);
  std::map<std::int64_t, WallTime> first_passes;
  std::mt19937 random(1);
  for (std::size_t i = 1; i < minutes_.size(); ++i) {
    const auto [gap, now] = Skipped(i);
    const bool change = minutes_[i] != minutes_[i - 1];
    for (std::int64_t skipped = gap; skipped < now; ++skipped) {
      const LocalInstants instants = zone_.Resolve(LocalSeconds(minutes(skipped)));
      ASSERT_EQ(instants, (LocalInstants{LocalInstants::Kind::kGap, Instant(i), Instant(i)}));
    }
    if (change && now <= LocalMinute(i - 1)) {
      for (std::size_t j = i; LocalMinute(j) <= LocalMinute(i - 1); ++j) {
        const LocalInstants instants = zone_.Resolve(LocalSeconds(minutes(LocalMinute(j))));
        const WallTime first = Instant(j) - minutes(minutes_[i - 1] - minutes_[i]);
        ASSERT_EQ(instants, (LocalInstants{LocalInstants::Kind::kFold, first, Instant(j)}));
      }
    }
    latest = std::max(latest, now);
    if (!change && random() % 100 != 0) continue;
    ASSERT_EQ(zone_.ToLocal(Instant(i)), LocalSeconds(minutes(now)));
    ASSERT_EQ(zone_.PeriodOf(Instant(i)).offset, minutes(minutes_[i]));
    const LocalInstants instants = zone_.Resolve(LocalSeconds(minutes(now)));
    ASSERT_TRUE(instants.first == Instant(i) || instants.second == Instant(i));
    ASSERT_NE(instants.kind, LocalInstants::Kind::kGap);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Zones, TimetableYearsTest,
    testing::Values(Span{"UTC", 2020, false}, Span{"Europe/Berlin", 2020, true},
                    Span{"America/New_York", 2020, true}, Span{"America/Santiago", 2020, true},
                    Span{"Australia/Lord_Howe", 2020, true}, Span{"Asia/Kathmandu", 2020, false},
                    Span{"Pacific/Apia", 2009, true}, Span{"Africa/Casablanca", 2020, true},
                    Span{"America/Sao_Paulo", 2010, true}, Span{"Asia/Beirut", 2020, true}),
    [](const auto& test) {
      std::string name = test.param.zone;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return c == '/' || c == '_'; }, 'X');
      return name;
    });

}  // namespace
}  // namespace pgsteward
