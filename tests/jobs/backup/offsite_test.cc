#include "jobs/backup/offsite.h"

#include <gtest/gtest.h>

#include "jobs/backup/backup_metrics.h"
#include "jobs/backup/offsite_state.h"
#include "tests/jobs/backup/place_model.h"

namespace pgsteward {
namespace {

// "copied 1 missing 1103 1101 newest 0": days by their order.
std::string Text(const OffsiteState& state) {
  std::string text = "copied " + std::to_string(state.copied) + " missing";
  for (const std::string& id : state.missing) text += " " + id.substr(4, 4);
  return text + (state.newest_copied ? " newest" : "");
}

class OffsiteStateTest : public testing::Test {
 protected:
  OffsiteState State(const std::string& remote = "s3:pg") const {
    return OffsiteStateOf(policy_, place_.content, remote, At("2026-11-04 04:00"));
  }
  static void Copy(FoundBackup& backup, std::string_view at) {
    backup.offsite = OffsiteMark{"s3:pg", At(at)};
  }

  RetentionPolicy policy_;
  PlaceModel place_;
};

TEST_F(OffsiteStateTest, OfAnEmptyPlace) {
  EXPECT_EQ(Text(State()), "copied 0 missing");
  EXPECT_FALSE(State().verified);
}

TEST_F(OffsiteStateTest, TheNewestIsCopiedFirstThenTheOldest) {
  for (const char* day : {"1", "2", "3", "4"}) {
    place_.Add("2026-11-0" + std::string(day) + " 03:00");
  }
  EXPECT_EQ(Text(State()), "copied 0 missing 1104 1101 1102 1103");
  Copy(place_.content.backups[3], "2026-11-04 03:05");
  Copy(place_.content.backups[1], "2026-11-04 03:10");
  EXPECT_EQ(Text(State()), "copied 2 missing 1101 1103 newest");
  EXPECT_EQ(State().verified, At("2026-11-04 03:10"));
  EXPECT_EQ(Text(State("s3:other")), "copied 0 missing 1104 1101 1102 1103");
  EXPECT_FALSE(State("s3:other").verified);
}

TEST_F(OffsiteStateTest, OnlyWhatIsGoodAndStays) {
  place_.AddUnreadable("2026-10-30 03:00");
  place_.Add("2026-10-31 03:00");
  place_.Add("2026-11-01 03:00", "failed");
  place_.Add("2026-11-02 03:00", "proven");
  place_.Add("2026-11-03 03:00");
  EXPECT_EQ(Text(State()), "copied 0 missing 1103 1031 1102");
  place_.content.backups.erase(place_.content.backups.begin());
  policy_ = {.keep_last = 1, .daily = 0, .weekly = 0, .monthly = 0, .min_keep = 1};
  EXPECT_EQ(Text(State()), "copied 0 missing 1103 1102");
  // What was copied and goes does not count any more.
  Copy(place_.content.backups[0], "2026-10-31 03:05");
  EXPECT_EQ(Text(State()), "copied 0 missing 1103 1102");
}

TEST_F(OffsiteStateTest, Metrics) {
  place_.Add("2026-11-03 03:00");
  place_.Add("2026-11-04 03:00");
  const auto page = [&] {
    std::string text;
    for (const auto& family : OffsiteFamilies(State())) text += RenderSamples(family, {}).text;
    return text;
  };
  EXPECT_EQ(page(),
            "pgsteward_backup_offsite_last_verified_timestamp_seconds 0\n"
            "pgsteward_backup_offsite_success 0\n"
            "pgsteward_backup_offsite_backups{state=\"copied\"} 0\n"
            "pgsteward_backup_offsite_backups{state=\"missing\"} 2\n");
  Copy(place_.content.backups[1], "2026-11-04 03:01");
  EXPECT_EQ(page(),
            "pgsteward_backup_offsite_last_verified_timestamp_seconds 1793761260\n"
            "pgsteward_backup_offsite_success 1\n"
            "pgsteward_backup_offsite_backups{state=\"copied\"} 1\n"
            "pgsteward_backup_offsite_backups{state=\"missing\"} 1\n");
}

TEST(RcloneMessage, IsWhatWasWrong) {
  struct {
    const char* said;
    const char* message;
  } const kCases[] = {
      {"", "it says nothing"},
      {"Usage:\n", "it says nothing"},
      {"2026/11/25 08:06:18 NOTICE: Config file \"/x\" not found - using defaults\n"
       "2026/11/25 08:06:18 Failed to cat: didn't find section in config file\n",
       "Failed to cat: didn't find section in config file"},
      {"2026/11/25 08:06:18 Failed to cat: SignatureDoesNotMatch: The request signature.\n"
       "\tstatus code: 403, request id: tx8f81, host id: tx8f81\n",
       "Failed to cat: SignatureDoesNotMatch: The request signature."},
      {"2026/11/25 08:09:20 Failed to cat: RequestError: send request failed\n"
       "caused by: Get \"http://127.0.0.1:1/b\": connect: connection refused\n",
       "Failed to cat: RequestError: send request failed, caused by: Get "
       "\"http://127.0.0.1:1/b\": connect: connection refused"},
      {"2026/11/25 08:02:24 ERROR : Attempt 1/3 failed with 1 errors and: Forbidden\n"
       "2026/11/25 08:02:24 ERROR : hub-1.dump: md5 differ\n"
       "2026/11/25 08:02:24 Failed to check: 1 differences found\n",
       "hub-1.dump: md5 differ"},
  };
  for (const auto& each : kCases) EXPECT_EQ(RcloneMessage(each.said), each.message);
}

}  // namespace
}  // namespace pgsteward
