#include "core/random.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>

namespace pgsteward {
namespace {

TEST(RandomTest, UuidsAreOfVersionFourAndDiffer) {
  const std::regex form("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = RandomUuid();
    EXPECT_TRUE(std::regex_match(uuid, form)) << uuid;
    EXPECT_TRUE(seen.insert(uuid).second) << uuid;
  }
}

TEST(RandomTest, HexHasTheDigitsAskedFor) {
  EXPECT_EQ(RandomHex(0), "");
  EXPECT_TRUE(std::regex_match(RandomHex(7), std::regex("[0-9a-f]{7}")));
}

}  // namespace
}  // namespace pgsteward
