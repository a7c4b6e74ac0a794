#include "daemon/backup_output.h"

#include <gtest/gtest.h>

#include "core/json.h"
#include "tests/jobs/backup/place_model.h"

namespace pgsteward {
namespace {

class BackupOutputTest : public testing::Test {
 protected:
  BackupOutputTest() {
    place_.AddUnreadable("2026-10-31 03:00");
    place_.Add("2026-11-01 03:00", "failed").manifest->proofs[0].reason = "index\nmissing";
    place_.Add("2026-11-02 03:00", "proven").pin = "mine";
    place_.content.backups.back().offsite = OffsiteMark{"s3:pg", At("2026-11-02 03:05")};
    place_.Add("2026-11-03 03:00").manifest->anomaly = "rows fell";
  }
  const WallTime now_ = At("2026-11-03 04:00");
  PlaceModel place_;
};

TEST_F(BackupOutputTest, Table) {
  place_.content.foreign = {"notes\x1b[31m.txt"};
  place_.content.partial = {"20261103T040000Z-0000"};
  place_.content.trash = {"20261001T030000Z-0000"};
  EXPECT_EQ(
      BackupsTable(place_.content, now_),
      "BACKUP                 STATE       AGE    SIZE      DATABASES  OFF-SITE  REMARK\n"
      "20261103T030000Z-0000  unproven    1h00m  405.0 kB  hub                  anomaly: rows "
      "fell\n"
      "20261102T030000Z-0000  proven      1d01h  405.0 kB  hub        s3:pg     kept: mine\n"
      "20261101T030000Z-0000  failed      2d01h  405.0 kB  hub                  index missing\n"
      "20261031T030000Z-0000  unreadable                                        no good manifest: "
      "it "
      "has no database\n"
      "not ours: notes\\x1b[31m.txt\n"
      "unfinished: 20261103T040000Z-0000\n"
      "in .trash: 20261001T030000Z-0000\n");
}

TEST_F(BackupOutputTest, Sheet) {
  EXPECT_EQ(
      BackupSheet(place_.content.backups[2], now_),
      "backup         20261102T030000Z-0000\n"
      "state          proven\n"
      "folder         /target/hub/20261102T030000Z-0000\n"
      "remark         kept: mine\n"
      "covers         2026-11-02 03:00:00 UTC, 1d01h ago\n"
      "taken          2026-11-02 03:00:00 UTC to 2026-11-02 03:01:00 UTC by nightly_backup on db1\n"
      "server         hub, version 150018, system identifier 7450000000000000001, timeline 1\n"
      "stored         405.0 kB, zstd:3, age\n"
      "recipient      age1one\n"
      "recipient      age1two\n"
      "off-site       s3:pg, verified 2026-11-02 03:05:00 UTC\n"
      "globals        globals.sql.zst.age\n"
      "database hub   2 tables, 101000 rows, dump 1.0 MB custom in hub-16384.dump.zst.age\n"
      "  snapshot     2026-11-02 03:00:00 UTC, LSN 0/1949F80\n"
      "  lacks index  public.half_built, which is invalid on the server\n"
      "drill          proven 2026-11-02 04:00:00 UTC on drill1 in 12s\n");
}

TEST_F(BackupOutputTest, Json) {
  const auto list = ParseJson(BackupsJson(place_.content, now_));
  ASSERT_TRUE(list);
  const Json::Array& backups = *list->object()->front().value.array();
  ASSERT_EQ(backups.size(), 4U);
  EXPECT_EQ(JsonText(backups[3]),
            "{\"id\": \"20261031T030000Z-0000\", \"state\": \"unreadable\", \"folder\": "
            "\"/target/hub/20261031T030000Z-0000\", \"kept_by_hand\": null, \"offsite\": null, "
            "\"problem\": \"no good manifest: it has no database\"}");
  EXPECT_EQ(JsonText(backups[1].object()->at(4).value),
            "{\"remote\": \"s3:pg\", \"verified\": \"2026-11-02T03:05:00.000000Z\"}");
  const auto one = ParseJson(BackupJson(place_.content.backups[2], now_));
  ASSERT_TRUE(one);
  EXPECT_EQ(one->object()->back().name, "manifest");
  EXPECT_TRUE(one->object()->back().value.object());
}

TEST_F(BackupOutputTest, Expire) {
  ExpireOutcome outcome;
  outcome.content = place_.content;
  const RetentionFacts facts{outcome.content, now_, std::nullopt, 0};
  outcome.plan = PlanRetention(RetentionPolicy(), facts);
  EXPECT_EQ(ExpireText(outcome, true),
            "keep 20261103T030000Z-0000 unproven: the newest\n"
            "keep 20261102T030000Z-0000 proven: the newest that is proven\n"
            "keep 20261101T030000Z-0000 failed: fewer than 3 good ones are there\n"
            "keep 20261031T030000Z-0000 unreadable: left alone: no good manifest: it has no "
            "database\n"
            "frozen, nothing goes: unreadable: backup 20261031T030000Z-0000 cannot be judged: no "
            "good manifest: it has no database\n"
            "dry run: nothing was moved or deleted\n");
  outcome.quarantined = {"20261101T030000Z-0000"};
  outcome.removed = {"20261001T030000Z-0000"};
  outcome.freed_bytes = 1'500'000;
  const std::string done = ExpireText(outcome, false);
  EXPECT_EQ(done.substr(done.find("delete ")),
            "delete 20261001T030000Z-0000 from .trash\n"
            "1 moved to .trash, 1 deleted, 1.5 MB freed\n");
  EXPECT_TRUE(ParseJson(ExpireJson(outcome, false)));
}

}  // namespace
}  // namespace pgsteward
