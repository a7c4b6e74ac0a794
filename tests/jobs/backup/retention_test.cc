#include "jobs/backup/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/backup/retention_periods.h"
#include "tests/jobs/backup/place_model.h"

namespace pgsteward {
namespace {

using std::chrono::hours;
using testing::ElementsAre;

// No rule keeps anything but the least.
RetentionPolicy Nothing() {
  RetentionPolicy policy;
  policy.keep_last = 0;
  policy.daily = 0;
  policy.weekly = 0;
  policy.monthly = 0;
  policy.yearly = 0;
  policy.min_keep = 1;
  policy.freeze_failures = 0;
  return policy;
}

class RetentionTest : public testing::Test {
 protected:
  // 03:00 of the first days of November.
  void AddDays(int last, std::string_view drill = "") {
    for (int day = 1; day <= last; ++day) place_.Add(Day(day), drill);
  }
  static std::string Day(int day) {
    return std::string("2026-11-") + (day < 10 ? "0" : "") + std::to_string(day) + " 03:00";
  }
  RetentionPlan Plan(std::string_view now = "2026-11-05 04:00") {
    RetentionFacts facts{place_.content, At(now), server_now_, failures_};
    return PlanRetention(policy_, facts);
  }

  PlaceModel place_;
  RetentionPolicy policy_ = Nothing();
  std::optional<WallTime> server_now_;
  int failures_ = 0;
};

TEST(RetentionPeriods, AreThoseOfUtc) {
  EXPECT_EQ(DayName(At("2026-11-25 23:59")), "2026-11-25");
  EXPECT_EQ(MonthName(At("2026-11-25 23:59")), "2026-11");
  EXPECT_EQ(YearName(At("2026-11-25 23:59")), "2026");
  // From the ISO 8601 calendar.
  EXPECT_EQ(WeekName(At("2026-11-25 03:00")), "2026-W48");
  EXPECT_EQ(WeekName(At("2026-11-22 23:59")), "2026-W47");
  EXPECT_EQ(WeekName(At("2026-11-23 00:00")), "2026-W48");
  EXPECT_EQ(WeekName(At("2026-01-01 03:00")), "2026-W01");
  EXPECT_EQ(WeekName(At("2027-01-01 03:00")), "2026-W53");
  EXPECT_EQ(WeekName(At("2024-12-30 03:00")), "2025-W01");
  EXPECT_EQ(WeekName(At("2023-01-01 03:00")), "2022-W52");
}

TEST_F(RetentionTest, OfNothingNothingGoes) { EXPECT_EQ(Text(Plan()), ""); }

TEST_F(RetentionTest, TheNewestStays) {
  AddDays(3);
  EXPECT_EQ(Text(Plan()),
            "keep 1103T0300 the newest\n"
            "expire 1102T0300 no rule keeps it\n"
            "expire 1101T0300 no rule keeps it\n");
  EXPECT_THAT(Plan().Expiring(), ElementsAre("20261101T030000Z-0000", "20261102T030000Z-0000"));
}

// Two daemons with one target, by mistake or not.
TEST_F(RetentionTest, OfEachJobTheNewestStays) {
  AddDays(4, "proven");
  for (const int i : {0, 1}) place_.content.backups[i].manifest->job = "other";
  place_.content.backups[1].manifest->proofs.clear();
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "expire 1103T0300 no rule keeps it\n"
            "keep 1102T0300 the newest of job other\n"
            "keep 1101T0300 the newest of job other that is proven\n");
}

TEST_F(RetentionTest, OfEachDatabaseTheNewestStaysForAWhile) {
  AddDays(4, "proven");
  for (const int i : {0, 1}) place_.content.backups[i].manifest->databases[0].name = "dropped";
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "expire 1103T0300 no rule keeps it\n"
            "keep 1102T0300 the newest with database dropped\n"
            "expire 1101T0300 no rule keeps it\n");
  policy_.keep_dropped = hours(72);
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "expire 1103T0300 no rule keeps it\n"
            "expire 1102T0300 no rule keeps it\n"
            "expire 1101T0300 no rule keeps it\n");
}

TEST_F(RetentionTest, TheNewestProvenStays) {
  place_.Add(Day(1), "proven");
  place_.Add(Day(2), "proven");
  place_.Add(Day(3));
  place_.Add(Day(4));
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "expire 1103T0300 no rule keeps it\n"
            "keep 1102T0300 the newest that is proven\n"
            "expire 1101T0300 no rule keeps it\n");
  EXPECT_EQ(Plan().kept, 2);
  EXPECT_EQ(Plan().proven, 1);
}

TEST_F(RetentionTest, SoManyOfTheNewestStay) {
  AddDays(4);
  policy_.keep_last = 2;
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "keep 1103T0300 number 2 of the newest 2\n"
            "expire 1102T0300 no rule keeps it\n"
            "expire 1101T0300 no rule keeps it\n");
}

TEST_F(RetentionTest, TheYoungStay) {
  AddDays(4);
  policy_.keep_within = hours(49);
  EXPECT_EQ(Text(Plan("2026-11-05 04:00")),
            "keep 1104T0300 the newest\n"
            "keep 1103T0300 2d1h old, younger than 2d1h\n"
            "expire 1102T0300 no rule keeps it\n"
            "expire 1101T0300 no rule keeps it\n");
}

TEST_F(RetentionTest, GrandfathersStay) {
  for (const char* minute :
       {"2024-12-31 03:00", "2025-06-30 03:00", "2025-12-31 03:00", "2026-09-30 03:00",
        "2026-10-15 03:00", "2026-10-31 03:00", "2026-11-15 03:00", "2026-11-16 03:00",
        "2026-11-22 03:00", "2026-11-23 03:00", "2026-11-24 03:00", "2026-11-24 15:00",
        "2026-11-25 03:00"}) {
    place_.Add(minute);
  }
  policy_.daily = 2;
  policy_.weekly = 3;
  policy_.monthly = 3;
  policy_.yearly = 5;
  EXPECT_EQ(Text(Plan("2026-11-25 04:00")),
            "keep 1125T0300 the newest\n"
            "keep 1124T1500 daily 2026-11-24\n"
            "expire 1124T0300 no rule keeps it\n"
            "expire 1123T0300 no rule keeps it\n"
            "keep 1122T0300 weekly 2026-W47\n"
            "expire 1116T0300 no rule keeps it\n"
            "keep 1115T0300 weekly 2026-W46\n"
            "keep 1031T0300 monthly 2026-10\n"
            "expire 1015T0300 no rule keeps it\n"
            "keep 0930T0300 monthly 2026-09\n"
            "keep 1231T0300 yearly 2025\n"
            "expire 0630T0300 no rule keeps it\n"
            "keep 1231T0300 yearly 2024\n");
}

TEST_F(RetentionTest, OfAPeriodTheProvenOneStays) {
  place_.Add("2026-11-02 03:00", "proven");
  place_.Add("2026-11-02 15:00");
  place_.Add("2026-11-03 03:00", "proven");
  policy_.daily = 2;
  EXPECT_EQ(Text(Plan()),
            "keep 1103T0300 the newest\n"
            "expire 1102T1500 no rule keeps it\n"
            "keep 1102T0300 daily 2026-11-02\n");
}

TEST_F(RetentionTest, NeverFewerThanTheLeast) {
  AddDays(4);
  policy_.min_keep = 3;
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "keep 1103T0300 one of the least 3\n"
            "keep 1102T0300 one of the least 3\n"
            "expire 1101T0300 no rule keeps it\n");
}

TEST_F(RetentionTest, WhatFailedItsDrillCountsForNothing) {
  place_.Add(Day(1));
  place_.Add(Day(2), "failed");
  place_.Add(Day(3));
  place_.Add(Day(4), "proven");
  policy_.keep_last = 2;
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "keep 1103T0300 number 2 of the newest 2\n"
            "expire 1102T0300 its drill failed, and later ones are good\n"
            "expire 1101T0300 no rule keeps it\n");
  policy_.min_keep = 4;
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "keep 1103T0300 number 2 of the newest 2\n"
            "keep 1102T0300 fewer than 4 good ones are there\n"
            "keep 1101T0300 one of the least 4\n");
}

TEST_F(RetentionTest, KeptByHand) {
  AddDays(3);
  place_.content.backups[0].pin = "before the migration";
  EXPECT_EQ(Text(Plan()),
            "keep 1103T0300 the newest\n"
            "expire 1102T0300 no rule keeps it\n"
            "keep 1101T0300 kept by hand: before the migration\n");
}

TEST_F(RetentionTest, BothSidesOfAnAnomalyStayUntilItIsAccepted) {
  AddDays(4);
  FoundBackup& small = place_.content.backups[1];
  small.manifest->anomaly = "rows of public.messages in hub: 0 after 5000";
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "expire 1103T0300 no rule keeps it\n"
            "keep 1102T0300 somebody must look at it: rows of public.messages in hub: 0 after "
            "5000\n"
            "keep 1101T0300 the last before the anomaly of 20261102T030000Z-0000\n");
  EXPECT_THAT(Plan().anomalies, ElementsAre("20261102T030000Z-0000"));
  place_.content.backups[1].anomaly_accepted = true;
  EXPECT_EQ(Text(Plan()),
            "keep 1104T0300 the newest\n"
            "expire 1103T0300 no rule keeps it\n"
            "expire 1102T0300 no rule keeps it\n"
            "expire 1101T0300 no rule keeps it\n");
  EXPECT_THAT(Plan().anomalies, ElementsAre());
}

// ---- freezes ----

constexpr char kFrozenPair[] =
    "keep 1102T0300 the newest\n"
    "keep 1101T0300 frozen (WORD); else it would go: no rule keeps it\n";

std::string Frozen(const std::string& word, const std::string& because) {
  std::string text = kFrozenPair;
  return text.replace(text.find("WORD"), 4, word) + "frozen " + word + ": " + because + "\n";
}

TEST_F(RetentionTest, AClockThatWentBackStopsIt) {
  AddDays(2);
  EXPECT_EQ(Plan("2026-11-02 02:50").freeze, Freeze::kNone);
  EXPECT_EQ(Text(Plan("2026-11-02 02:49")),
            Frozen("clock",
                   "backup 20261102T030000Z-0000 is 11m in the future: the clock is or was wrong"));
}

TEST_F(RetentionTest, ClocksThatDisagreeStopIt) {
  AddDays(2);
  server_now_ = At("2026-11-02 04:10");
  EXPECT_EQ(Plan("2026-11-02 04:00").freeze, Freeze::kNone);
  EXPECT_EQ(Plan("2026-11-02 04:20").freeze, Freeze::kNone);
  EXPECT_EQ(Text(Plan("2036-11-02 04:10")),
            Frozen("clock", "the clocks of this machine and of the server are 3653d apart"));
  EXPECT_EQ(Text(Plan("2026-11-02 03:59")),
            Frozen("clock", "the clocks of this machine and of the server are 11m apart"));
}

TEST_F(RetentionTest, WhatIsNotOursStopsIt) {
  AddDays(2);
  place_.content.foreign = {"notes\n.txt"};
  EXPECT_EQ(Text(Plan()), Frozen("foreign", "\"notes%0A.txt\" among the backups is none of ours"));
  place_.content.foreign.emplace_back("b");
  EXPECT_EQ(Text(Plan()),
            Frozen("foreign", "\"notes%0A.txt\" and 1 more among the backups is none of ours"));
}

TEST_F(RetentionTest, ABackupThatCannotBeJudgedStopsIt) {
  AddDays(2);
  place_.AddUnreadable("2026-10-31 03:00");
  EXPECT_EQ(Text(Plan()),
            "keep 1102T0300 the newest\n"
            "keep 1101T0300 frozen (unreadable); else it would go: no rule keeps it\n"
            "keep 1031T0300 left alone: no good manifest: it has no database\n"
            "frozen unreadable: backup 20261031T030000Z-0000 cannot be judged: no good manifest: "
            "it has no database\n");
}

TEST_F(RetentionTest, FailedRunsStopIt) {
  AddDays(2);
  policy_.freeze_failures = 2;
  failures_ = 1;
  EXPECT_EQ(Plan().freeze, Freeze::kNone);
  failures_ = 2;
  EXPECT_EQ(Text(Plan()), Frozen("failing", "the last 2 runs failed"));
}

TEST_F(RetentionTest, BackupsThatAreNotTakenStopIt) {
  AddDays(2);
  policy_.freeze_after = hours(48);
  EXPECT_EQ(Plan("2026-11-04 03:00").freeze, Freeze::kNone);
  EXPECT_EQ(Text(Plan("2026-11-04 03:01")),
            Frozen("failing", "the newest backup is 2d1m old, more than 2d"));
}

TEST_F(RetentionTest, AFailedDrillStopsIt) {
  place_.Add(Day(1));
  place_.Add(Day(2), "failed");
  place_.Add(Day(3));
  EXPECT_EQ(Text(Plan()),
            "keep 1103T0300 the newest\n"
            "keep 1102T0300 frozen (drill); else it would go: its drill failed, and later ones are "
            "good\n"
            "keep 1101T0300 frozen (drill); else it would go: no rule keeps it\n"
            "frozen drill: the last drill failed, of backup 20261102T030000Z-0000\n");
}

TEST_F(RetentionTest, AfterATimeWithoutBackupsTheNewOnesMustBeEnough) {
  AddDays(2);
  place_.Add(Day(10));
  policy_.freeze_after = hours(48);
  policy_.min_keep = 2;
  EXPECT_EQ(Text(Plan("2026-11-10 04:00")),
            "keep 1110T0300 the newest\n"
            "keep 1102T0300 one of the least 2\n"
            "keep 1101T0300 frozen (gap); else it would go: no rule keeps it\n"
            "frozen gap: only 1 of 2 backups since 8d without any\n");
  place_.Add(Day(11));
  EXPECT_EQ(Text(Plan("2026-11-11 04:00")),
            "keep 1111T0300 the newest\n"
            "keep 1110T0300 one of the least 2\n"
            "expire 1102T0300 no rule keeps it\n"
            "expire 1101T0300 no rule keeps it\n");
}

}  // namespace
}  // namespace pgsteward
