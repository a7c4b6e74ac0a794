#include "jobs/backup/anomaly.h"

#include <gtest/gtest.h>

#include "tests/jobs/backup/manifest_sample.h"

namespace pgsteward {
namespace {

class AnomalyTest : public testing::Test {
 protected:
  std::string Detect() const { return DetectAnomaly(before_, after_, policy_); }

  Manifest before_ = SampleManifest("20261124T030000Z-7f3a");
  Manifest after_ = SampleManifest();
  AnomalyPolicy policy_;
};

TEST_F(AnomalyTest, TheSameAgainIsNone) { EXPECT_EQ(Detect(), ""); }

TEST_F(AnomalyTest, GrowthIsNone) {
  after_.databases[0].tables[0].rows *= 100;
  EXPECT_EQ(Detect(), "");
}

TEST_F(AnomalyTest, ATableThatLostHalfOfItsRows) {
  after_.databases[0].tables[0].rows = 50'001;
  EXPECT_EQ(Detect(), "");
  after_.databases[0].tables[0].rows = 50'000;
  EXPECT_EQ(Detect(),
            "rows of public.messages in hub: 50000 after 100000 in 20261124T030000Z-7f3a");
}

TEST_F(AnomalyTest, ATableOrADatabaseThatIsGone) {
  after_.databases[0].tables.erase(after_.databases[0].tables.begin());
  EXPECT_EQ(Detect(), "rows of public.messages in hub: 0 after 100000 in 20261124T030000Z-7f3a");
  after_.databases[0].name = "other";
  before_.databases[0].dump_bytes = 2'000'000;
  EXPECT_EQ(Detect(),
            "rows of public.messages in hub: 0 after 100000; rows of public.users in hub: 0 after "
            "1000; bytes of the dump of hub: 0 after 2000000 in 20261124T030000Z-7f3a");
}

TEST_F(AnomalyTest, SmallOnesSayNothing) {
  before_.databases[0].tables[1].rows = 999;
  after_.databases[0].tables[1].rows = 0;
  EXPECT_EQ(Detect(), "");
  before_.databases[0].tables[1].rows = 1'000;
  EXPECT_EQ(Detect(), "rows of public.users in hub: 0 after 1000 in 20261124T030000Z-7f3a");
}

TEST_F(AnomalyTest, TablesCanBeLeftOut) {
  after_.databases[0].tables.clear();
  policy_.ignored = {"public.users", "staging.*"};
  EXPECT_EQ(Detect(), "rows of public.messages in hub: 0 after 100000 in 20261124T030000Z-7f3a");
  policy_.ignored = {"public.*"};
  EXPECT_EQ(Detect(), "");
}

TEST_F(AnomalyTest, CanBeSwitchedOff) {
  after_.databases[0].tables.clear();
  policy_.drop = 0;
  EXPECT_EQ(Detect(), "");
}

TEST_F(AnomalyTest, NamesAreOneLineAndTheListEnds) {
  before_.databases[0].tables.clear();
  for (int i = 0; i < 5; ++i) {
    before_.databases[0].tables.push_back({"a\nb", std::to_string(i), 1'000 + i, 0});
  }
  after_.databases[0].tables.clear();
  EXPECT_EQ(Detect(),
            "rows of a?b.0 in hub: 0 after 1000; rows of a?b.1 in hub: 0 after 1001; rows of "
            "a?b.2 in hub: 0 after 1002; and 2 more in 20261124T030000Z-7f3a");
}

TEST_F(AnomalyTest, AnotherClusterIsOne) {
  after_.system_identifier = "7450000000000000002";
  EXPECT_EQ(Detect(),
            "another cluster: system identifier 7450000000000000002 after 7450000000000000001 in "
            "20261124T030000Z-7f3a");
}

}  // namespace
}  // namespace pgsteward
