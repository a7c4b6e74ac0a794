#include "core/duration.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

TEST(DurationTest, ReadsAndPrints) {
  const struct {
    std::string text;
    long seconds;
    std::string printed;
  } kCases[] = {
      {"15s", 15, "15s"},   {"5m", 300, "5m"},       {"1h30m", 5400, "1h30m"},
      {"2d", 172800, "2d"}, {"90s", 90, "1m30s"},    {"1d2h3m4s", 93784, "1d2h3m4s"},
      {"0s", 0, "0s"},      {"0m", 0, "0s"},         {"60m", 3600, "1h"},
      {"007s", 7, "7s"},    {"1d1s", 86401, "1d1s"}, {"999999999s", 999999999, "11574d1h46m39s"},
  };
  for (const auto& [text, seconds, printed] : kCases) {
    const auto duration = ParseDuration(text);
    ASSERT_TRUE(duration) << text;
    EXPECT_EQ(duration->count(), seconds) << text;
    EXPECT_EQ(FormatDuration(*duration), printed);
  }
}

TEST(DurationTest, RefusesOtherForms) {
  const std::string kForms = "; hint: Write it like 15s, 5m, 1h30m or 2d.";
  const struct {
    std::string text;
    std::string error;
  } kCases[] = {
      {"15", "\"15\" has no unit; hint: Write 15s."},
      {"500ms", "\"500ms\" is finer than a second; hint: Write whole seconds such as 1s."},
      {"", "this value is not a duration" + kForms},
      {"s", "\"s\" is not a duration" + kForms},
      {"1.5s", "\"1.5s\" is not a duration" + kForms},
      {"-5s", "\"-5s\" is not a duration" + kForms},
      {"5 s", "\"5 s\" is not a duration" + kForms},
      {"5S", "\"5S\" is not a duration" + kForms},
      {"1m1h", "\"1m1h\" is not a duration" + kForms},
      {"1m1m", "\"1m1m\" is not a duration" + kForms},
      {"1h30", "\"1h30\" is not a duration" + kForms},
      {"1w", "\"1w\" is not a duration" + kForms},
      {"1000000000s", "\"1000000000s\" is not a duration" + kForms},
      {"99999999999999999999999d", "\"99999999999999999999999d\" is not a duration" + kForms},
  };
  for (const auto& [text, error] : kCases) {
    const auto duration = ParseDuration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(ToText(duration.error()), error);
  }
}

}  // namespace
}  // namespace pgsteward
