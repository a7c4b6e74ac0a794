#include "jobs/backup/expire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "jobs/backup/pins.h"
#include "tests/jobs/backup/manifest_sample.h"
#include "tests/jobs/backup/place_model.h"

namespace pgsteward {
namespace {

namespace fs = std::filesystem;

using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;

class ExpireTest : public testing::Test {
 protected:
  ExpireTest() {
    std::string form = "/tmp/pgsteward-expire-XXXXXX";
    root_ = ::mkdtemp(form.data());
    request_.place.target = root_ + "/target";
    request_.place.server = "hub";
    request_.policy = RetentionPolicy();
    request_.policy.keep_last = 2;
    request_.policy.daily = 0;
    request_.policy.weekly = 0;
    request_.policy.monthly = 0;
    request_.policy.min_keep = 1;
    request_.trash_delay = hours(48);
    request_.now = At("2026-11-04 04:00");
    EXPECT_TRUE(MakeSentinel(request_.place.target));
    for (int day = 1; day <= 4; ++day) Publish(day);
  }
  ~ExpireTest() override { fs::remove_all(root_); }

  static std::string Id(int day) { return "2026110" + std::to_string(day) + "T030000Z-0000"; }
  void Publish(int day) {
    Manifest manifest = SampleManifest(Id(day));
    manifest.databases[0].snapshot_at = At("2026-11-0" + std::to_string(day) + " 03:00");
    Write(place().Published(Id(day)) + "/hub-16384.dump.zst.age", std::string(1'000, 'x'));
    Write(place().Published(Id(day)) + "/manifest.json", ManifestJson(manifest));
  }
  static void Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
  }
  const BackupPlace& place() const { return request_.place; }

  // "moved 1 2; deleted" by day, or the error.
  std::string Expire() {
    const auto outcome = ExpireBackups(request_);
    if (!outcome) return ToText(outcome.error());
    std::string text = "moved";
    for (const std::string& id : outcome->quarantined) text += " " + id.substr(7, 1);
    text += "; deleted";
    for (const std::string& id : outcome->removed) text += " " + id.substr(7, 1);
    return text;
  }
  // The days of those published, then of those in .trash.
  std::string There() const {
    const auto content = ReadPlace(place());
    std::string text;
    for (const FoundBackup& each : content->backups) {
      text += each.id.substr(7, 1) + (each.manifest ? "" : "!");
    }
    text += "|";
    for (const std::string& id : content->trash) text += id.substr(7, 1);
    return text;
  }

  std::string root_;
  ExpireRequest request_;
};

TEST_F(ExpireTest, MovesToTheTrashAndDeletesAfterADelay) {
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
  EXPECT_EQ(There(), "34|12");
  request_.now += hours(47);
  EXPECT_EQ(Expire(), "moved; deleted");
  request_.now += hours(1);
  const auto outcome = ExpireBackups(request_);
  ASSERT_TRUE(outcome);
  EXPECT_THAT(outcome->removed, ElementsAre(Id(1), Id(2)));
  EXPECT_GT(outcome->freed_bytes, 2'000U);
  EXPECT_EQ(There(), "34|");
  EXPECT_TRUE(fs::is_empty(place().Root() + "/.trash"));
}

TEST_F(ExpireTest, ADryRunChangesNothingAndSaysTheSame) {
  request_.dry_run = true;
  const auto outcome = ExpireBackups(request_);
  ASSERT_TRUE(outcome);
  EXPECT_THAT(ExpireLines(*outcome),
              ElementsAre("keep " + Id(4) + " proven: the newest",
                          "keep " + Id(3) + " proven: number 2 of the newest 2",
                          "expire " + Id(2) + " proven: no rule keeps it",
                          "expire " + Id(1) + " proven: no rule keeps it"));
  EXPECT_EQ(There(), "1234|");
  EXPECT_FALSE(fs::exists(place().Root() + "/.lock"));
  request_.dry_run = false;
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
  request_.dry_run = true;
  request_.now += hours(48);
  EXPECT_EQ(Expire(), "moved; deleted 1 2");
  EXPECT_EQ(There(), "34|12");
}

TEST_F(ExpireTest, WithoutDelayBothAtOnce) {
  request_.trash_delay = hours(0);
  request_.dry_run = true;
  EXPECT_EQ(Expire(), "moved 1 2; deleted 1 2");
  request_.dry_run = false;
  EXPECT_EQ(Expire(), "moved 1 2; deleted 1 2");
  EXPECT_EQ(There(), "34|");
}

TEST_F(ExpireTest, SpaceThatIsNeededComesOutOfTheTrash) {
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
  request_.empty_trash = true;
  EXPECT_EQ(Expire(), "moved; deleted 1 2");
}

TEST_F(ExpireTest, WhileFrozenNothingMovesAlsoOutOfTheTrash) {
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
  request_.now += hours(100);
  request_.policy.freeze_after = hours(48);
  const auto outcome = ExpireBackups(request_);
  ASSERT_TRUE(outcome);
  EXPECT_THAT(ExpireLines(*outcome),
              ElementsAre("keep " + Id(4) + " proven: the newest",
                          "keep " + Id(3) + " proven: number 2 of the newest 2",
                          "frozen, nothing goes: failing: the newest backup is 4d5h old, more than "
                          "2d"));
  EXPECT_EQ(There(), "34|12");
  Write(place().Root() + "/foreign", "");
  request_.policy.freeze_after = hours(0);
  EXPECT_EQ(Expire(), "moved; deleted");
  fs::remove(place().Root() + "/foreign");
  EXPECT_EQ(Expire(), "moved; deleted 1 2");
}

TEST_F(ExpireTest, GoesOnAfterACrash) {
  // Between the note and the rename.
  Write(place().Trash(Id(1)) + ".since", "2026-11-01T00:00:00.000000Z\n");
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
  EXPECT_EQ(There(), "34|12");
  // In the middle of deleting.
  fs::remove(place().Trash(Id(1)) + "/manifest.json");
  request_.now += hours(48);
  EXPECT_EQ(Expire(), "moved; deleted 1 2");
  EXPECT_EQ(There(), "34|");
}

TEST_F(ExpireTest, WhatSomebodyMovedThereWaitsFromNowOn) {
  fs::create_directories(place().Root() + "/.trash");
  fs::rename(place().Published(Id(1)), place().Trash(Id(1)));
  request_.policy.keep_last = 9;
  EXPECT_EQ(Expire(), "moved; deleted");
  request_.now += hours(47);
  EXPECT_EQ(Expire(), "moved; deleted");
  request_.now += hours(1);
  EXPECT_EQ(Expire(), "moved; deleted 1");
  EXPECT_EQ(There(), "234|");
}

TEST_F(ExpireTest, OverwritesNothingInTheTrash) {
  Write(place().Trash(Id(1)) + "/mine", "");
  EXPECT_EQ(Expire(), "cannot move to .trash " + place().Published(Id(1)) + ": File exists");
  EXPECT_EQ(There(), "1234|1");
  fs::remove_all(place().Trash(Id(1)));
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
}

TEST_F(ExpireTest, FollowsNoLinks) {
  Write(root_ + "/elsewhere/file", "precious");
  fs::create_directory_symlink(root_ + "/elsewhere", place().Published(Id(1)) + "/link");
  request_.trash_delay = hours(0);
  EXPECT_EQ(Expire(), "moved 1 2; deleted 1 2");
  EXPECT_TRUE(fs::exists(root_ + "/elsewhere/file"));
}

TEST_F(ExpireTest, NeedsTheSentinelAndTheLock) {
  {
    const auto lock = PlaceLock::Take(place());
    ASSERT_TRUE(lock);
    EXPECT_EQ(Expire(), "somebody else is changing the backups in " + place().Root() +
                            "; hint: Try again in a moment.");
  }
  fs::rename(place().target + "/PGSTEWARD-BACKUPS", root_ + "/aside");
  EXPECT_EQ(Expire(), "the target of backups has no file " + place().target +
                          "/PGSTEWARD-BACKUPS; hint: Is the target mounted? Make a new one with: "
                          "pgsteward backup init.");
  EXPECT_EQ(There(), "1234|");
  fs::rename(root_ + "/aside", place().target + "/PGSTEWARD-BACKUPS");
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
}

TEST_F(ExpireTest, KeptByHandUntilItIsNot) {
  ASSERT_TRUE(KeepBackup(place(), Id(1), "before\nthe migration"));
  EXPECT_EQ(ReadPlace(place())->backups[0].pin, "before the migration");
  EXPECT_EQ(Expire(), "moved 2; deleted");
  EXPECT_TRUE(*UnkeepBackup(place(), Id(1)));
  EXPECT_FALSE(*UnkeepBackup(place(), Id(1)));
  EXPECT_EQ(Expire(), "moved 1; deleted");
  const auto unknown = KeepBackup(place(), Id(1), "");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(ToText(unknown.error()), "there is no backup " + Id(1) + " in " + place().Root() +
                                         "; hint: See the list with: pgsteward backup list.");
  EXPECT_FALSE(KeepBackup(place(), "../../etc", ""));
}

TEST_F(ExpireTest, TheMarkOfACopyElsewhereStaysAsLongAsTheBackup) {
  const auto mark_of = [&](int day) -> std::string {
    const auto content = ReadPlace(place());
    for (const FoundBackup& each : content->backups) {
      if (each.id == Id(day) && each.offsite) return OffsiteMarkText(*each.offsite);
    }
    return "none";
  };
  ASSERT_TRUE(MarkOffsite(place(), Id(1), {"s3:old", At("2026-11-01 03:05")}));
  ASSERT_TRUE(MarkOffsite(place(), Id(1), {"s3:a folder\nof ours", At("2026-11-02 03:05")}));
  EXPECT_EQ(mark_of(1), "2026-11-02T03:05:00.000000Z s3:a folder of ours");
  EXPECT_EQ(mark_of(2), "none");
  Write(place().Offsite(Id(2)), "yesterday");  // as good as none
  EXPECT_EQ(mark_of(2), "none");
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
  EXPECT_TRUE(fs::exists(place().Offsite(Id(1))));
  request_.now += hours(48);
  EXPECT_EQ(Expire(), "moved; deleted 1 2");
  EXPECT_TRUE(fs::is_empty(place().Root() + "/.pins"));
  EXPECT_FALSE(MarkOffsite(place(), Id(1), {"s3:old", At("2026-11-01 03:05")}));
}

TEST_F(ExpireTest, AnAnomalyThatWasAcceptedKeepsNothing) {
  Manifest manifest = *ReadPlace(place())->backups[1].manifest;
  manifest.anomaly = "rows of public.messages in hub: 0 after 5000";
  Write(place().Published(Id(2)) + "/manifest.json", ManifestJson(manifest));
  EXPECT_EQ(Expire(), "moved; deleted");
  ASSERT_TRUE(AcceptAnomaly(place(), Id(2)));
  EXPECT_EQ(Expire(), "moved 1 2; deleted");
}

}  // namespace
}  // namespace pgsteward
