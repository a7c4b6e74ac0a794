// Retention as a run of a job carries it out: the server's clock, failed runs, the lease.
#include <filesystem>
#include <fstream>

#include "core/iso_time.h"
#include "jobs/backup/expire.h"
#include "jobs/backup/retention_options.h"
#include "tests/jobs/backup/manifest_sample.h"
#include "tests/jobs/job_fixture.h"

namespace pgsteward {

namespace {

namespace fs = std::filesystem;

constexpr auto kOptions = std::to_array<JobOption>(
    {{.name = "target", .kind = OptionKind::kText, .fallback = "", .help = "t."},
     {.name = "after_success", .kind = OptionKind::kSwitch, .fallback = "false", .help = "a."},
     kKeepLastOption,
     kKeepWithinOption,
     kKeepDailyOption,
     kKeepWeeklyOption,
     kKeepMonthlyOption,
     kKeepYearlyOption,
     kKeepDroppedOption,
     kMinKeepOption,
     kFreezeAfterOption,
     kFreezeFailuresOption,
     kTrashDelayOption,
     kAnomalyDropOption,
     kAnomalyRowsOption,
     kAnomalyIgnoreOption});

Task<Result<void>> Run(JobContext& context, JobReport& report) {
  BackupPlace place;
  place.target = context.options.Text("target");
  place.server = "hub";
  ExpireMoment moment;
  moment.after_success = context.options.Switch("after_success");
  auto done = co_await ExpireInJob(context, std::move(place), moment, report);
  if (!done) co_return done.error();
  co_return Result<void>();
}

const JobSpec kExpiring = {.name = "expiring", .summary = "e.", .options = kOptions, .run = &Run};

class ExpireJobTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    std::string form = "/tmp/pgsteward-expire-XXXXXX";
    root_ = ::mkdtemp(form.data());
    place_.target = root_ + "/target";
    place_.server = "hub";
    ASSERT_TRUE(MakeSentinel(place_.target));
    for (int days = 4; days > 0; --days) Publish(days);
  }
  void TearDown() override {
    fs::remove_all(root_);
    JobTest::TearDown();
  }

  void Publish(int days) {
    const WallTime at = WallNow() - std::chrono::days(days);
    Manifest manifest = SampleManifest(NewBackupId(at));
    manifest.system_identifier = Value("SELECT system_identifier FROM pg_control_system()");
    manifest.databases[0].name = hub_;
    manifest.databases[0].snapshot_at = at;
    manifest.databases[0].purge_until = at;
    manifest.proofs[0].at = at + std::chrono::hours(1);
    fs::create_directories(place_.Published(manifest.id));
    std::ofstream(place_.Published(manifest.id) + "/manifest.json") << ManifestJson(manifest);
  }
  // "published|in the trash|rows of proven_backup".
  std::string There() const {
    const auto content = ReadPlace(place_);
    return std::to_string(content->backups.size()) + "|" + std::to_string(content->trash.size()) +
           "|" + Value("SELECT count(*) FROM pgsteward.proven_backup");
  }
  std::map<std::string, std::string> KeepTwo() const {
    return {{"target", place_.target}, {"keep_last", "2"},    {"keep_daily", "0"},
            {"keep_weekly", "0"},      {"keep_monthly", "0"}, {"min_keep", "2"}};
  }

  std::string root_;
  BackupPlace place_;
};

TEST_F(ExpireJobTest, MovesWhatGoesAndTellsPurgingOfTheRest) {
  const RunResult run = Run(kExpiring, KeepTwo());
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(There(), "2|2|2");
  EXPECT_EQ(run.report.details, (std::map<std::string, std::string>{
                                    {"deleted", "0"}, {"expired", "2"}, {"freed_bytes", "0"}}));
  EXPECT_EQ(control_.fences, 2);
}

TEST_F(ExpireJobTest, ADryRunOnlyPlans) {
  const RunResult run = DryRun(kExpiring, KeepTwo());
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(There(), "4|0|0");
  ASSERT_EQ(run.report.plan.size(), 4U);
  EXPECT_EQ(run.report.plan[0].substr(0, 5), "keep ");
  EXPECT_EQ(run.report.plan[3].substr(0, 7), "expire ");
  EXPECT_EQ(control_.fences, 0);
}

TEST_F(ExpireJobTest, FailedRunsFreezeItUntilOneSucceeds) {
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, consecutive_failures) VALUES "
      "('expiring', 'backup', '', 3)");
  RunResult run = Run(kExpiring, KeepTwo());
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(There(), "4|0|4");
  EXPECT_EQ(run.report.details["retention_frozen"], "failing: the last 3 runs failed");
  auto options = KeepTwo();
  options["after_success"] = "true";
  run = Run(kExpiring, options);
  EXPECT_EQ(There(), "2|2|2");
}

TEST_F(ExpireJobTest, WhoeverLostTheLeaseMovesNothing) {
  control_.lose_lease_at = 1;
  EXPECT_EQ(Run(kExpiring, KeepTwo()).Text(), "error  the lease is lost");
  EXPECT_EQ(There(), "4|0|0");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Run(kExpiring, KeepTwo()).Text(), "ok");
  EXPECT_EQ(There(), "2|2|2");
}

// Before the schema of an upgrade is applied: backups go on, purging waits.
TEST_F(ExpireJobTest, WithoutTheTableItSaysSoAndGoesOn) {
  Exec("DROP TABLE pgsteward.proven_backup");
  RunResult run = Run(kExpiring, KeepTwo());
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details["proven_backup"],
            "there is no table pgsteward.proven_backup; hint: Make it with: pgsteward schema apply "
            "--component pgsteward.");
  EXPECT_EQ(ReadPlace(place_)->backups.size(), 2U);
}

TEST_F(ExpireJobTest, ATargetThatIsNotMountedIsAnErrorAndRecovers) {
  fs::rename(place_.target, root_ + "/elsewhere");
  const RunResult away = Run(kExpiring, KeepTwo());
  ASSERT_FALSE(away.outcome);
  EXPECT_EQ(away.outcome.error().code, Errc::kUnavailable);
  fs::rename(root_ + "/elsewhere", place_.target);
  EXPECT_EQ(Run(kExpiring, KeepTwo()).Text(), "ok");
  EXPECT_EQ(There(), "2|2|2");
}

}  // namespace

}  // namespace pgsteward
