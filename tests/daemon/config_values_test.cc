#include "daemon/config_values.h"

#include <gtest/gtest.h>

#include <array>

namespace pgsteward {
namespace {

TEST(ConfigDurationTest, ReadsAndPrints) {
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

TEST(ConfigDurationTest, RefusesOtherForms) {
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

TEST(ConfigAddressTest, AcceptsAddresses) {
  for (const char* address : {"127.0.0.1:19187", "[::1]:19187", ":19187", "0.0.0.0:80", "[::]:0",
                              "10.1.2.3:65535", "[2001:db8::1]:9187"}) {
    EXPECT_TRUE(CheckListenAddress(address)) << address;
  }
}

TEST(ConfigAddressTest, RefusesOthers) {
  for (const char* address :
       {"", ":", "19187", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1:1 ", "localhost:19187", "::1:19187", "[::1]",
        "[::1]19187", "[127.0.0.1]:19187", "[]:1", "127.0.0.256:1", "127.0.0.1:000001"}) {
    EXPECT_FALSE(CheckListenAddress(address)) << address;
  }
}

TEST(ConfigNameTest, KnowsNames) {
  EXPECT_TRUE(CheckServerName("hub"));
  EXPECT_TRUE(CheckServerName("Hub-1.example_eu"));
  EXPECT_TRUE(CheckServerName(std::string(63, 'a')));
  for (const std::string& name :
       {std::string(), std::string(64, 'a'), std::string("a b"), std::string("a/b"),
        std::string("\xc3\xa4"), std::string("a\n")}) {
    EXPECT_FALSE(CheckServerName(name)) << name;
  }
  EXPECT_TRUE(CheckDatabaseName("Größe \"x\" y"));
  EXPECT_TRUE(CheckDatabaseName(std::string(63, 'a')));
  for (const std::string& name : {std::string(), std::string(64, 'a'), std::string("host=a"),
                                  std::string("postgresql://h/d"), std::string("a\tb")}) {
    EXPECT_FALSE(CheckDatabaseName(name)) << name;
  }
}

TEST(ConfigWordsTest, Suggests) {
  constexpr std::array<std::string_view, 4> kKeys = {"enabled", "interval", "timeout", "top"};
  EXPECT_EQ(Suggestion("intervall", kKeys), "interval");
  EXPECT_EQ(Suggestion("interavl", kKeys), "interval");
  EXPECT_EQ(Suggestion("time-out", kKeys), "timeout");
  EXPECT_EQ(Suggestion("Enable", kKeys), "enabled");
  EXPECT_EQ(Suggestion("tpo", kKeys), "top");
  EXPECT_EQ(Suggestion("xyz", kKeys), "");
  EXPECT_EQ(Suggestion("", kKeys), "");
  EXPECT_EQ(Suggestion(std::string(100'000, 'x'), kKeys), "");
}

TEST(ConfigWordsTest, ShowsOnlyWhatIsHarmless) {
  EXPECT_EQ(Shown("Europe/Berlin"), "\"Europe/Berlin\"");
  EXPECT_EQ(Shown("12 h"), "\"12 h\"");
  for (const char* text : {"", "password=swordfish", "postgresql://u:swordfish@h", "sw0rdf!sh",
                           "a\nb", "\xff", "11111111112222222222333333333344444444445"}) {
    EXPECT_EQ(Shown(text), "this value") << text;
  }
}

}  // namespace
}  // namespace pgsteward
