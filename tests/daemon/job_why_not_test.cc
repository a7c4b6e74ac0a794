#include "daemon/job_why_not.h"

#include "tests/daemon/job_facts_fixture.h"

namespace pgsteward {
namespace {

class JobWhyNotTest : public JobFactsTest {
 protected:
  std::string Reasons() const {
    std::string text;
    for (const std::string& reason : ExplainWhyNot(facts_, now_).reasons) text += reason + "\n";
    return text;
  }
};

constexpr const char* kNotDue = "It is not due until 2026-11-26 03:00:00 CET (in 15h00m).\n";

TEST_F(JobWhyNotTest, NotDue) { EXPECT_EQ(Reasons(), kNotDue); }

TEST_F(JobWhyNotTest, Running) {
  facts_.runs.insert(facts_.runs.begin(), RunOfDue("2026-11-25 10:59:00", RunStatus::kRunning));
  facts_.leases[0] = Lease("job/cleanup", "app1:17:aa", true);
  EXPECT_EQ(Reasons(),
            "It does run: run run of 2026-11-25 10:59:00 of app1:17:aa began at 2026-11-25 "
            "11:59:01 CET (59s ago), by schedule; whether a gate throttles it says the metric "
            "pgsteward_job_throttled.\n");
  facts_.leases[0].held = false;
  EXPECT_EQ(Reasons(),
            "Run run of 2026-11-25 10:59:00 of app1:17:aa began at 2026-11-25 11:59:01 CET (59s "
            "ago) and went away without a word; the daemon that leads will call it aborted.\n" +
                std::string(kNotDue));
}

TEST_F(JobWhyNotTest, SwitchedOff) {
  policy_.enabled = false;
  EXPECT_EQ(Reasons(),
            "It is not enabled: set enabled: true below jobs: cleanup: in the configuration, or "
            "run it by hand: pgsteward job run cleanup.\n");
  policy_.enabled = true;
  Schedule("manual");
  EXPECT_EQ(Reasons(), "It has no schedule and runs only by hand: pgsteward job run cleanup.\n");
}

TEST_F(JobWhyNotTest, Paused) {
  state().paused_until = WallTime::max();
  EXPECT_EQ(Reasons(),
            "It is paused until somebody resumes it; go on with: pgsteward job resume cleanup.\n" +
                std::string(kNotDue));
  state().paused_until = Utc("2026-11-25 12:00:00");
  state().paused_by = kHostile;
  state().pause_reason = "index\nbuild";
  EXPECT_EQ(Reasons(),
            "It is paused by a\\x1b[31m \"b\"\\ \\u202e\xef\xbf\xbd until 2026-11-25 13:00:00 CET "
            "(in 1h00m), because: index build; go on with: pgsteward job resume cleanup.\n" +
                std::string(kNotDue));
  state().paused_until = now_;
  EXPECT_EQ(Reasons(), kNotDue);
}

TEST_F(JobWhyNotTest, NotConfirmed) {
  JobSpec spec = *policy_.spec;
  spec.needs_confirmation = true;
  policy_.spec = &spec;
  const std::string hash = policy_.PlanHash();
  EXPECT_EQ(Reasons(), "Its plan " + hash +
                           " has no person's word yet; look at it with: pgsteward job run cleanup "
                           "--dry-run, then: pgsteward job run cleanup --confirm " +
                           hash + ".\n" + kNotDue);
  state().memory["accepted_plan"] = hash;
  EXPECT_EQ(Reasons(), kNotDue);
  policy_.options.Set("older_than", "1 day");
  EXPECT_NE(Reasons(), kNotDue);
  policy_.confirm = false;
  EXPECT_EQ(Reasons(), kNotDue);
}

TEST_F(JobWhyNotTest, NobodyLeads) {
  facts_.leases[1].held = false;
  facts_.leases[1].expires_at = Utc("2026-11-25 10:57:00");
  EXPECT_EQ(Reasons(),
            "No daemon leads the jobs of server hub: the lease of app1:17:aa ended at 2026-11-25 "
            "11:57:00 CET (3m00s ago).\n" +
                std::string(kNotDue));
  facts_.leases.clear();
  EXPECT_EQ(Reasons(),
            "No daemon has ever led the jobs of server hub: start pgsteward serve with this "
            "configuration.\n" +
                std::string(kNotDue));
}

TEST_F(JobWhyNotTest, UnknownToTheDaemon) {
  facts_.state.reset();
  facts_.runs.clear();
  EXPECT_EQ(Reasons(),
            "The daemon app1:17:aa, which leads, does not know the job: does it have this "
            "configuration?\n" +
                std::string(kNotDue));
}

TEST_F(JobWhyNotTest, Closed) {
  policy_.window = Windows("22:00-05:00");
  EXPECT_EQ(Reasons(),
            "It is outside its window 22:00-05:00, Europe/Berlin, until 2026-11-25 22:00:00 CET "
            "(in 10h00m).\n" +
                std::string(kNotDue));
  policy_.window = WindowSet();
  policy_.blackout = Windows("2026-11-25 00:00 - 2026-11-26 00:00");
  EXPECT_EQ(Reasons(),
            "It is in the blackout 2026-11-25 00:00 - 2026-11-26 00:00, Europe/Berlin, until "
            "2026-11-26 00:00:00 CET (in 12h00m).\n" +
                std::string(kNotDue));
}

TEST_F(JobWhyNotTest, DueAndHeldUp) {
  state().next_due = Utc("2026-11-25 10:59:50");
  EXPECT_EQ(Reasons(),
            "It is due since 2026-11-25 11:59:50 CET (10s ago); nothing keeps it: the daemon "
            "begins it within seconds.\n");
  policy_.groups = {"heavy_io"};
  facts_.leases.push_back(Lease("group/heavy_io", "app2:4:bb", true));
  EXPECT_EQ(
      Reasons(),
      "The lease group/heavy_io is held by app2:4:bb since 2026-11-25 11:00:00 CET (1h00m "
      "ago): only one may run at a time.\n"
      "It is due since 2026-11-25 11:59:50 CET (10s ago); the above keeps it from running.\n");
}

TEST_F(JobWhyNotTest, Queued) {
  state().queued = 1;
  EXPECT_EQ(Reasons(), "A due time came while it ran; it runs once more for it.\n");
}

TEST_F(JobWhyNotTest, LastRunFailed) {
  state().last_status = "failed";
  state().attempt = 1;
  state().consecutive_failures = 3;
  facts_.runs[0].report.status = RunStatus::kFailed;
  facts_.runs[0].error_sqlstate = "40P01";
  facts_.runs[0].error_text = "deadlock detected";
  EXPECT_EQ(Reasons(),
            "Its last run failed at 2026-11-25 03:00:03 CET (8h59m ago): deadlock detected "
            "(SQLSTATE 40P01); it is not tried again before its next due time; 3 failures in a "
            "row.\n" +
                std::string(kNotDue));
  state().retry_at = Utc("2026-11-25 11:01:00");
  state().consecutive_failures = 1;
  EXPECT_EQ(Reasons(),
            "Its last run failed at 2026-11-25 03:00:03 CET (8h59m ago): deadlock detected "
            "(SQLSTATE 40P01); attempt 2 comes at 2026-11-25 12:01:00 CET (in 1m00s).\n" +
                std::string(kNotDue));
  state().last_status = "aborted";
  state().retry_at.reset();
  facts_.runs.clear();
  EXPECT_EQ(Reasons(),
            "Its last run was aborted at 2026-11-25 03:00:03 CET (8h59m ago); it is not tried "
            "again before its next due time.\n" +
                std::string(kNotDue));
}

TEST_F(JobWhyNotTest, DatabaseAway) {
  facts_.problem = "connection refused";
  facts_.leases.clear();
  facts_.runs.clear();
  facts_.from_journal = true;
  EXPECT_EQ(Reasons(),
            "No job of server hub can run now: connection refused.\n"
            "What follows is what the daemon on this machine knew last.\n" +
                std::string(kNotDue));
}

TEST_F(JobWhyNotTest, AProblemThatIsAQuestion) {
  facts_.problem = "no such file\n\tIs the server running?";
  EXPECT_EQ(Reasons().substr(0, Reasons().find('\n')),
            "No job of server hub can run now: no such file Is the server running?");
}

TEST_F(JobWhyNotTest, ThePassedDueTimesAndWhatWasMissed) {
  state().counters["missed.overlap"] = 2;
  const WhyNot why = ExplainWhyNot(facts_, now_);
  ASSERT_EQ(why.passed.size(), 5U);
  EXPECT_EQ(why.passed[0].remark, "ok: 1200 rows in 2.5s");
  EXPECT_EQ(why.missed, "2 overlap");
  EXPECT_EQ(why.known_since, "2026-11-01 01:00:00 CET");
}

}  // namespace
}  // namespace pgsteward
