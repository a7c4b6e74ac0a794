#include "daemon/config_values.h"

#include <gtest/gtest.h>

#include <array>

namespace pgsteward {
namespace {

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

}  // namespace
}  // namespace pgsteward
