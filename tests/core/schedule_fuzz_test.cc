// Whatever is written as a schedule: an answer, never a crash, and an error of one line that does
// not repeat what it should not.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "core/time_window.h"
#include "core/timetable.h"
#include "tests/core/civil_time.h"

namespace pgsteward {
namespace {

void CheckError(const Error& error, const std::string& text) {
  const std::string shown = ToText(error);
  ASSERT_FALSE(error.message.empty()) << testing::PrintToString(text);
  ASSERT_LT(shown.size(), 400U) << testing::PrintToString(text);
  for (const char c : shown) {
    ASSERT_TRUE(c >= 0x20 && c < 0x7f) << testing::PrintToString(text);
  }
  ASSERT_EQ(shown.find("swordfish"), std::string::npos) << testing::PrintToString(text);
}

// How many of the three understood it.
int Try(const std::string& text) {
  int understood = 0;
  const auto cron = ParseCron(text);
  if (cron) {
    ++understood;
    const LocalSeconds time = Local("2026-03-29 02:30");
    const LocalSeconds next = cron->NextMatch(time);
    EXPECT_TRUE(next > time && cron->Matches(next)) << text;
    const LocalSeconds previous = cron->PreviousMatch(time);
    EXPECT_TRUE(previous < time && cron->Matches(previous)) << text;
    EXPECT_EQ(cron->CountMatches(previous, next), cron->Matches(time) ? 2U : 1U) << text;
  } else {
    CheckError(cron.error(), text);
  }
  const auto table = ParseTimetable(text, {Zone("Europe/Berlin"), {}, {}, {}, ""});
  if (table) {
    ++understood;
    EXPECT_EQ(table->Next(Utc("2026-03-29 00:30")).has_value(), !table->manual()) << text;
    EXPECT_EQ(table->period().count() > 0, !table->manual()) << text;
    const auto again = ParseTimetable(text + " ", {Zone("Europe/Berlin"), {}, {}, {}, ""});
    EXPECT_TRUE(again && again->fingerprint() == table->fingerprint()) << text;
  } else {
    CheckError(table.error(), text);
  }
  const auto window = ParseTimeWindow(text);
  if (window) {
    ++understood;
    const auto again = ParseTimeWindow(window->ToText());
    EXPECT_TRUE(again && again->ToText() == window->ToText()) << text;
    WindowSet(Zone("Europe/Berlin"), {*window}).NextChange(Utc("2026-03-29 00:30"));
  } else {
    CheckError(window.error(), text);
  }
  return understood;
}

TEST(ScheduleFuzzTest, RandomBytes) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random());
    Try(text);
    if (HasFatalFailure()) return;
  }
  Try(std::string(1'000'000, '*'));
  Try(std::string(1'000'000, ' '));
  std::string list = "0";
  for (int i = 0; i < 100'000; ++i) list += ",1";
  EXPECT_EQ(Try(list + " * * * *"), 2);
}

// Letters of the language: many are understood.
TEST(ScheduleFuzzTest, RandomPieces) {
  const std::string pieces[] = {"*",     "*/",   "/",      "-",       ",",      "0",          "5",
                                "15",    "23",   "59",     "60",      "7",      "L",          "fri",
                                "feb",   "31",   "@daily", "every ",  "from ",  "1h",         "30m",
                                "00:05", "Sat ", "24:00",  "2026-12", "manual", " ",          " ",
                                " ",     "* ",   "* * * ", "1-5",     "\n",     "2026-12-24 "};
  std::mt19937 random(2);
  int understood = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string text;
    for (std::size_t i = 0, count = random() % 10; i < count; ++i) {
      text += pieces[random() % std::size(pieces)];
    }
    understood += Try(text);
    if (HasFailure()) return;
  }
  EXPECT_GT(understood, 1000);
}

TEST(ScheduleFuzzTest, ChangedBytes) {
  const std::string sources[] = {"*/15 1-5/2 1,L feb-mar fri",
                                 "30 0 2 * * 5L",
                                 "every 1h30m from 00:05",
                                 "Sat,Sun 01:00-06:00",
                                 "2026-12-24 00:00 - 2027-01-02 00:00",
                                 "postgresql://u:swordfish@h/d",
                                 "0 2 * * password=swordfish"};
  int understood = 0;
  for (const std::string& source : sources) {
    for (std::size_t at = 0; at < source.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        // Without the "=", or with another secret, it is just words.
        const auto secret = std::min(source.find("=swordfish"), source.find("swordfish"));
        if (secret <= at && at < secret + 10) continue;
        std::string text = source;
        text[at] = static_cast<char>(byte);
        understood += Try(text);
        if (HasFatalFailure()) return;
      }
      Try(source.substr(0, at));
    }
  }
  EXPECT_GT(understood, 100);
}

}  // namespace
}  // namespace pgsteward
