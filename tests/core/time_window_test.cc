#include "core/time_window.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/core/civil_time.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

WindowSet Windows(const std::string& zone, const std::vector<std::string>& texts) {
  std::vector<TimeWindow> windows;
  for (const std::string& text : texts) {
    const auto window = ParseTimeWindow(text);
    EXPECT_TRUE(window) << text << ": " << (window ? "" : ToText(window.error()));
    if (window) windows.push_back(*window);
  }
  return WindowSet(Zone(zone), std::move(windows));
}

TEST(TimeWindowTest, ReadsAndPrints) {
  const struct {
    std::string text;
    std::string printed;
  } kCases[] = {
      {"22:00-05:00", "22:00-05:00"},
      {" Sat,Sun  01:00-06:00 ", "Sat,Sun 01:00-06:00"},
      {"mon-FRI 22:00-24:00", "Mon,Tue,Wed,Thu,Fri 22:00-24:00"},
      {"fri-mon 00:00-24:00", "Mon,Fri,Sat,Sun 00:00-24:00"},
      {"Sun 23:59-00:00", "Sun 23:59-00:00"},
      {"Tue-Tue,Thu 01:00-02:00", "Tue,Thu 01:00-02:00"},
      {"mon-sun 01:00-02:00", "01:00-02:00"},
      {"2026-12-24 00:00 - 2027-01-02 00:00", "2026-12-24 00:00 - 2027-01-02 00:00"},
      {"2026-12-24 22:30 - 2026-12-31 24:00", "2026-12-24 22:30 - 2027-01-01 00:00"},
  };
  for (const auto& [text, printed] : kCases) {
    const auto window = ParseTimeWindow(text);
    ASSERT_TRUE(window) << text << ": " << ToText(window.error());
    EXPECT_EQ(window->ToText(), printed);
    const auto again = ParseTimeWindow(printed);
    ASSERT_TRUE(again) << printed;
    EXPECT_EQ(again->ToText(), printed);
  }
}

TEST(TimeWindowTest, RefusesOtherTexts) {
  const std::string kForms =
      "; hint: Write it like 22:00-05:00, Sat,Sun 01:00-06:00 or 2026-12-24 00:00 - 2027-01-02 "
      "00:00.";
  const struct {
    std::string text;
    std::string error;
  } kCases[] = {
      {"", "this value is not a time window"},
      {"night", "\"night\" is not a time window"},
      {"22:00", "\"22:00\" is not a time window"},
      {"22:00 - 05:00", "\"22:00 - 05:00\" is not a time window"},
      {"22-05", "\"22-05\" has no such time of day"},
      {"22:00-05:60", "\"22:00-05:60\" has no such time of day"},
      {"22:00-24:01", "\"22:00-24:01\" has no such time of day"},
      {"24:00-05:00", "\"24:00-05:00\" has no such time of day"},
      {"22:00-05:00-06:00", "\"22:00-05:00-06:00\" has no such time of day"},
      {"22:00-22:00", "\"22:00-22:00\" ends when it begins"},
      {"Sat,Sub 01:00-06:00", "\"Sat,Sub 01:00-06:00\" has no such day of the week"},
      {"Sat, 01:00-06:00", "\"Sat, 01:00-06:00\" has no such day of the week"},
      {"Saturday 01:00-06:00", "\"Saturday 01:00-06:00\" has no such day of the week"},
      {"2026-02-30 00:00 - 2026-03-02 00:00",
       "\"2026-02-30 00:00 - 2026-03-02 00:00\" has no such date (1970 to 2199)"},
      {"0026-02-01 00:00 - 2026-03-02 00:00",
       "\"0026-02-01 00:00 - 2026-03-02 00:00\" has no such date (1970 to 2199)"},
      {"2026-2-1 00:00 - 2026-03-02 00:00",
       "\"2026-2-1 00:00 - 2026-03-02 00:00\" has no such date (1970 to 2199)"},
      {"2026-12-24 00:00 - 2026-12-24 00:00",
       "\"2026-12-24 00:00 - 2026-12-24 00:00\" ends before it begins"},
      {"2026-12-24 25:00 - 2026-12-25 00:00",
       "\"2026-12-24 25:00 - 2026-12-25 00:00\" has no such time of day"},
      {"2026-12-24 - 2026-12-25", "\"2026-12-24 - 2026-12-25\" is not a time window"},
      {"postgresql://u:secret@h/d", "this value is not a time window"},
  };
  for (const auto& [text, error] : kCases) {
    const auto window = ParseTimeWindow(text);
    ASSERT_FALSE(window) << text;
    EXPECT_EQ(ToText(window.error()), error + kForms);
    EXPECT_EQ(window.error().code, Errc::kBadConfig);
  }
}

TEST(TimeWindowTest, ChangesWhenTheClockOnTheWallSaysSo) {
  const struct {
    std::vector<std::string> windows;
    std::string zone;
    std::string from;  // UTC
    bool inside;       // at first
    std::vector<std::string> changes;
  } kCases[] = {
      {{"22:00-05:00"},
       "UTC",
       "2026-01-01 12:00",
       false,
       {"01-01 22:00:00 UTC", "01-02 05:00:00 UTC", "01-02 22:00:00 UTC"}},
      {{"22:00-05:00"}, "UTC", "2026-01-01 00:00", true, {"01-01 05:00:00 UTC"}},
      // A Saturday; the night belongs to the day on which it began.
      {{"Sat 22:00-05:00"},
       "UTC",
       "2026-01-03 12:00",
       false,
       {"01-03 22:00:00 UTC", "01-04 05:00:00 UTC", "01-10 22:00:00 UTC"}},
      {{"Sat 22:00-05:00"}, "UTC", "2026-01-03 02:00", false, {"01-03 22:00:00 UTC"}},
      {{"Sat,Sun 01:00-06:00"},
       "UTC",
       "2026-01-02 12:00",
       false,
       {"01-03 01:00:00 UTC", "01-03 06:00:00 UTC", "01-04 01:00:00 UTC", "01-04 06:00:00 UTC",
        "01-10 01:00:00 UTC"}},
      {{"Mon-Fri 22:00-24:00"},
       "UTC",
       "2026-01-02 12:00",
       false,
       {"01-02 22:00:00 UTC", "01-03 00:00:00 UTC", "01-05 22:00:00 UTC"}},
      // Neighbours are one; so are those that overlap.
      {{"22:00-24:00", "00:00-05:00"},
       "UTC",
       "2026-01-01 12:00",
       false,
       {"01-01 22:00:00 UTC", "01-02 05:00:00 UTC"}},
      {{"22:00-02:00", "01:00-05:00"},
       "UTC",
       "2026-01-01 12:00",
       false,
       {"01-01 22:00:00 UTC", "01-02 05:00:00 UTC"}},
      {{"Sat 00:00-24:00", "Sun 00:00-24:00"},
       "UTC",
       "2026-01-01 12:00",
       false,
       {"01-03 00:00:00 UTC", "01-05 00:00:00 UTC"}},
      // Never changes.
      {{}, "UTC", "2026-01-01 12:00", true, {"never"}},
      {{"00:00-24:00"}, "Europe/Berlin", "2026-01-01 12:00", true, {"never"}},
      {{"00:00-12:00", "12:00-00:00"}, "Europe/Berlin", "2026-01-01 12:00", true, {"never"}},
      // Once.
      {{"2026-12-24 00:00 - 2027-01-02 00:00"},
       "Europe/Berlin",
       "2026-01-01 12:00",
       false,
       {"12-24 00:00:00 CET", "01-02 00:00:00 CET", "never"}},
      {{"2026-12-24 00:00 - 2027-01-02 00:00"},
       "Europe/Berlin",
       "2026-12-30 12:00",
       true,
       {"01-02 00:00:00 CET", "never"}},
      {{"2026-12-24 00:00 - 2027-01-02 00:00"},
       "Europe/Berlin",
       "2027-01-02 12:00",
       false,
       {"never"}},
      {{"2190-01-01 00:00 - 2190-01-02 00:00", "2030-01-01 00:00 - 2030-01-02 00:00"},
       "UTC",
       "2026-01-01 12:00",
       false,
       {"01-01 00:00:00 UTC", "01-02 00:00:00 UTC", "01-01 00:00:00 UTC", "01-02 00:00:00 UTC"}},
      {{"00:00-24:00", "2190-01-01 00:00 - 2190-01-02 00:00"},
       "UTC",
       "2026-01-01 12:00",
       true,
       {"never"}},
      // Long, and after it a week of waiting.
      {{"2026-01-05 00:00 - 2026-03-02 12:00", "Mon 00:00-24:00"},
       "UTC",
       "2026-01-04 12:00",
       false,
       {"01-05 00:00:00 UTC", "03-03 00:00:00 UTC", "03-09 00:00:00 UTC"}},
      // The gap 02:00 to 03:00.
      {{"01:00-04:00"},
       "Europe/Berlin",
       "2026-03-28 12:00",
       false,
       {"03-29 01:00:00 CET", "03-29 04:00:00 CEST"}},
      {{"02:30-04:00"},
       "Europe/Berlin",
       "2026-03-28 12:00",
       false,
       {"03-29 03:00:00 CEST", "03-29 04:00:00 CEST"}},
      {{"22:00-02:30"},
       "Europe/Berlin",
       "2026-03-28 12:00",
       false,
       {"03-28 22:00:00 CET", "03-29 03:00:00 CEST"}},
      {{"02:15-02:45"}, "Europe/Berlin", "2026-03-28 12:00", false, {"03-30 02:15:00 CEST"}},
      {{"Sun 02:15-02:45"}, "Europe/Berlin", "2026-03-22 12:00", false, {"04-05 02:15:00 CEST"}},
      // The fold 03:00 to 02:00.
      {{"01:00-04:00"},
       "Europe/Berlin",
       "2026-10-24 12:00",
       false,
       {"10-25 01:00:00 CEST", "10-25 04:00:00 CET"}},
      {{"02:00-03:00"},
       "Europe/Berlin",
       "2026-10-24 12:00",
       false,
       {"10-25 02:00:00 CEST", "10-25 03:00:00 CET"}},
      {{"22:00-02:30"},
       "Europe/Berlin",
       "2026-10-24 12:00",
       false,
       {"10-24 22:00:00 CEST", "10-25 02:30:00 CEST", "10-25 02:00:00 CET", "10-25 02:30:00 CET"}},
      {{"2026-10-25 02:00 - 2026-10-25 02:30"},
       "Europe/Berlin",
       "2026-10-25 00:45",
       false,
       {"10-25 02:00:00 CET", "10-25 02:30:00 CET"}},
      // Midnight in the gap: the day begins at one.
      {{"Sun 00:00-02:00"},
       "America/Santiago",
       "2026-09-05 12:00",
       false,
       {"09-06 01:00:00 -03", "09-06 02:00:00 -03"}},
      {{"Sat 23:00-00:30"},
       "America/Santiago",
       "2026-09-05 12:00",
       false,
       {"09-05 23:00:00 -04", "09-06 01:00:00 -03"}},
      // The Friday that never was, and what is left of its night.
      {{"Fri 22:00-05:00"},
       "Pacific/Apia",
       "2011-12-29 12:00",
       false,
       {"12-31 00:00:00 +14", "12-31 05:00:00 +14"}},
  };
  for (const auto& [texts, zone, from, inside, changes] : kCases) {
    const WindowSet windows = Windows(zone, texts);
    const std::string what = windows.Describe() + " from " + from;
    WallTime time = Utc(from);
    bool now = inside;
    EXPECT_EQ(windows.Contains(time), now) << what;
    for (const std::string& change : changes) {
      const auto next = windows.NextChange(time);
      if (change == "never") {
        EXPECT_EQ(next, std::nullopt) << what;
        continue;
      }
      ASSERT_TRUE(next) << what;
      EXPECT_EQ(Zone(zone).Format(*next).substr(5), change) << what;
      EXPECT_EQ(windows.Contains(*next - 1ns), now) << what;
      now = !now;
      EXPECT_EQ(windows.Contains(*next), now) << what;
      time = *next;
    }
  }
}

TEST(TimeWindowTest, HasNoEnds) {
  const WindowSet windows = Windows("America/Santiago", {"22:00-05:00"});
  EXPECT_EQ(windows.NextChange(WallTime::max()), std::nullopt);
  EXPECT_TRUE(windows.NextChange(WallTime::min()));
  EXPECT_TRUE(WindowSet().Contains(WallTime::min()));
  EXPECT_TRUE(WindowSet().empty());
  EXPECT_FALSE(windows.empty());
}

TEST(TimeWindowTest, Describes) {
  EXPECT_EQ(WindowSet().Describe(), "always");
  EXPECT_EQ(Windows("Europe/Berlin", {"22:00-05:00", "sat 00:00-24:00"}).Describe(),
            "22:00-05:00 or Sat 00:00-24:00, Europe/Berlin");
}

}  // namespace
}  // namespace pgsteward
