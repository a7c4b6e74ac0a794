#include "jobs/batches.h"

#include <gmock/gmock.h>

#include <deque>

#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

using Events = std::vector<std::string>;

// What the n-th batch does.
struct Step {
  BatchOutcome outcome = {};
  std::string sqlstate = {};  // not empty: raises this error instead
  double sleep_s = 0;
};

Step Seen(long long seen, long long done, long long skipped = 0) {
  return {.outcome = {.seen = seen, .done = done, .skipped = skipped}};
}
Step Mismatch() { return {.outcome = {.seen = 1, .done = 1, .mismatch = true}}; }
Step Raises(std::string sqlstate) { return {.sqlstate = std::move(sqlstate)}; }

std::string Failing(const std::string& sqlstate) {
  if (sqlstate == "57P01") return "SELECT pg_terminate_backend(pg_backend_pid())";
  return "DO $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '" + sqlstate + "'; END$$";
}

// Writes a row for each call, so that the table tells which were committed.
class ScriptedWork : public BatchWork {
 public:
  ScriptedWork(Events& events, std::deque<Step> steps)
      : events_(events), steps_(std::move(steps)) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override {
    const bool limited = allowed() < std::numeric_limits<long long>::max();
    events_.push_back("run " + std::to_string(size) +
                      (limited ? " for " + std::to_string(allowed()) : ""));
    if (steps_.empty()) co_return BatchOutcome();
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    std::string sql =
        "INSERT INTO public.batch_log (what) VALUES ('run " + std::to_string(size) + "')";
    auto done = co_await db.Query(std::move(sql), PgValues(), 5s);
    if (!done) co_return done.error();
    sql = step.sqlstate.empty() ? "SELECT pg_sleep(" + std::to_string(step.sleep_s) + ")"
                                : Failing(step.sqlstate);
    done = co_await db.Query(std::move(sql), PgValues(), 5s);
    if (!done) co_return done.error();
    co_return step.outcome;
  }
  void Committed() override { events_.emplace_back("committed"); }
  Task<Result<void>> Quarantine(JobSession& db) override {
    events_.emplace_back("quarantine");
    std::string sql = "INSERT INTO public.batch_log (what) VALUES ('quarantine')";
    auto done = co_await db.Query(std::move(sql), PgValues(), 5s);
    if (!done) co_return done.error();
    co_return Result<void>();
  }
  void Rewind() override { events_.emplace_back("rewind"); }

 private:
  Events& events_;
  std::deque<Step> steps_;
};

class RecordingControl : public FakeControl {
 public:
  explicit RecordingControl(Events& events) : events_(events) {}
  Task<Result<void>> Fence(JobSession& db) override {
    events_.emplace_back("fence");
    co_return co_await FakeControl::Fence(db);
  }
  Task<void> Throttle() override {
    events_.emplace_back("throttle");
    co_return co_await FakeControl::Throttle();
  }

 private:
  Events& events_;
};

Task<Result<void>> OpenAndRun(JobContext& context, BatchWork& work, BatchPolicy policy,
                              JobReport& report) {
  auto opened = co_await context.db.Open();
  if (!opened) co_return opened;
  co_return co_await RunInBatches(context, work, policy, report);
}

class BatchesTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    Exec("CREATE TABLE public.batch_log (n serial, what text)");
    // Every batch is quick: a full one lets the next grow by a quarter.
    policy_.pacing = {.first = 8, .least = 1, .most = 1000, .target = 10s, .nice = 0};
    policy_.transaction.timeout = 5s;
  }
  // The outcome as text; events_ and report_ have the rest.
  std::string RunSteps(std::deque<Step> steps) {
    ScriptedWork work(events_, std::move(steps));
    const JobOptions options({});
    JobSession db(runtime_, Target());
    JobContext context{runtime_, db, options, control_, "test", "", "UTC"};
    RunResult result;
    result.outcome = RunCoro(runtime_, OpenAndRun(context, work, policy_, report_));
    result.report = report_;
    EXPECT_EQ(Value("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in trans%' AND "
                    "datname = current_database()"),
              "0");
    return result.Text();
  }
  // Only "run N", "committed", "quarantine", "rewind".
  Events WorkEvents() const {
    Events of_work;
    for (const std::string& event : events_) {
      if (event != "throttle" && event != "fence") of_work.push_back(event);
    }
    return of_work;
  }
  std::string Logged() const {
    return Value("SELECT string_agg(what, ',' ORDER BY n) FROM public.batch_log");
  }
  std::string Counts() const {
    return std::to_string(report_.rows_done) + " done, " + std::to_string(report_.rows_skipped) +
           " skipped, " + std::to_string(report_.rows_quarantined) + " quarantined, " +
           std::to_string(report_.batches) + " batches";
  }

  Runtime runtime_;
  Events events_;
  RecordingControl control_{events_};
  BatchPolicy policy_;
  JobReport report_;
};

TEST_F(BatchesTest, ThrottlesFencesAndCommitsEachBatch) {
  EXPECT_EQ(RunSteps({Seen(8, 8), Seen(10, 9), Seen(3, 3)}), "ok");
  EXPECT_THAT(events_, ElementsAre("throttle", "fence", "run 8", "committed",   //
                                   "throttle", "fence", "run 10", "committed",  //
                                   "throttle", "fence", "run 12", "committed",  //
                                   "throttle", "fence", "run 12"));
  EXPECT_EQ(Logged(), "run 8,run 10,run 12");
  EXPECT_EQ(Counts(), "20 done, 0 skipped, 0 quarantined, 3 batches");
  EXPECT_THAT(control_.progress, ElementsAre(8, 17, 20));
}

TEST_F(BatchesTest, NothingToDoIsOk) {
  EXPECT_EQ(RunSteps({}), "ok");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8"));
  EXPECT_EQ(Counts(), "0 done, 0 skipped, 0 quarantined, 0 batches");
}

TEST_F(BatchesTest, SlowBatchesShrinkAndAreFollowedByRest) {
  policy_.pacing = {.first = 8, .least = 1, .most = 1000, .target = 10ms, .nice = 2};
  Step slow = Seen(8, 8);
  slow.sleep_s = 0.05;  // five times the target
  const SteadyTime start = SteadyNow();
  EXPECT_EQ(RunSteps({slow}), "ok");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8", "committed", "run 4"));
  EXPECT_GE(SteadyNow() - start, 150ms) << "50 ms of work, twice that of rest";
}

// ---- rows that are skipped ----

TEST_F(BatchesTest, SkippedRowsAreTriedAgainInALaterPass) {
  EXPECT_EQ(RunSteps({Seen(8, 6, 2), Seen(0, 0), Seen(2, 2)}), "ok");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8", "committed", "run 10",  //
                                        "rewind", "run 10", "committed", "run 10"));
  EXPECT_EQ(Counts(), "8 done, 0 skipped, 0 quarantined, 2 batches");
}

TEST_F(BatchesTest, RowsSkippedInTheLastPassAreReported) {
  policy_.passes = 2;
  report_.rows_skipped = 5;  // of an earlier part of the run
  EXPECT_EQ(RunSteps({Seen(8, 5, 3), Seen(0, 0), Seen(3, 1, 2)}),
            "partial skipped_locked: other sessions hold the rows");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8", "committed", "run 10",  //
                                        "rewind", "run 10", "committed", "run 10"));
  EXPECT_EQ(Counts(), "6 done, 7 skipped, 0 quarantined, 2 batches");
}

// ---- rows that cannot be handled ----

TEST_F(BatchesTest, AMismatchIsHalvedDownToTheRowAndThatIsSetAside) {
  EXPECT_EQ(RunSteps({Mismatch(), Mismatch(), Mismatch(), Mismatch(), Seen(1, 1), Seen(2, 2)}),
            "partial quarantined: see pgsteward.quarantine");
  EXPECT_THAT(WorkEvents(),
              ElementsAre("run 8", "run 4", "run 2", "run 1", "quarantine", "committed", "run 1",
                          "committed", "run 2", "committed", "run 3"));
  EXPECT_EQ(Logged(), "quarantine,run 1,run 2") << "nothing of a mismatch is committed";
  EXPECT_EQ(Counts(), "3 done, 0 skipped, 1 quarantined, 2 batches");
  EXPECT_EQ(control_.fences, 8) << "setting aside is fenced as well";
}

// It limits what is treated, not what is looked at.
TEST_F(BatchesTest, ALimitDoesNotMakeBatchesSmaller) {
  policy_.most_rows = 2;
  EXPECT_EQ(RunSteps({Seen(8, 0), Seen(10, 1), Seen(12, 1)}),
            "partial rows: the limit of one run is reached");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8 for 2", "committed", "run 10 for 2", "committed",
                                        testing::MatchesRegex("run 1[0-9] for 1"), "committed"));
}

// ---- ends ----

TEST_F(BatchesTest, StopsAtTheLimitAndNotBehindIt) {
  policy_.most_rows = 10;
  EXPECT_EQ(RunSteps({Seen(8, 8), Seen(10, 2), Seen(8, 8)}),
            "partial rows: the limit of one run is reached");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8 for 10", "committed", "run 10 for 2", "committed"));
  EXPECT_EQ(control_.throttles, 2) << "who is finished waits for no gate";
  EXPECT_EQ(Counts(), "10 done, 0 skipped, 0 quarantined, 2 batches");
}

TEST_F(BatchesTest, TheLimitIsOfThisCall) {
  policy_.most_rows = 8;
  report_.rows_done = 100;
  EXPECT_EQ(RunSteps({Seen(8, 8)}), "partial rows: the limit of one run is reached");
  EXPECT_EQ(report_.rows_done, 108);
}

TEST_F(BatchesTest, StopsForTheReasonThatTheControlGives) {
  control_.on_progress = [this](const JobReport&) { control_.stop_reason = "window"; };
  EXPECT_EQ(RunSteps({Seen(8, 8), Seen(10, 10)}), "partial window");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8", "committed"));
  EXPECT_EQ(Logged(), "run 8");
}

TEST_F(BatchesTest, AStopThatCameWhileTheGatesWereClosedIsSeen) {
  control_.on_stop_reason = [this] { return control_.throttles > 0 ? "shutdown" : ""; };
  EXPECT_EQ(RunSteps({Seen(8, 8)}), "partial shutdown");
  EXPECT_THAT(events_, ElementsAre("throttle"));
}

TEST_F(BatchesTest, WhoHasLostTheLeaseChangesNothingMore) {
  control_.lose_lease_at = 2;
  EXPECT_EQ(RunSteps({Seen(8, 8), Seen(10, 10)}), "error  the lease is lost");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 8", "committed"));
  EXPECT_EQ(Counts(), "8 done, 0 skipped, 0 quarantined, 1 batches");
  EXPECT_EQ(Logged(), "run 8");
}

TEST_F(BatchesTest, WhoHasLostTheLeaseSetsNothingAside) {
  policy_.pacing.first = 1;
  control_.lose_lease_at = 2;
  EXPECT_EQ(RunSteps({Mismatch()}), "error  the lease is lost");
  EXPECT_THAT(WorkEvents(), ElementsAre("run 1"));
  EXPECT_EQ(Logged(), "");
  EXPECT_EQ(report_.rows_quarantined, 0);
}

// ---- failures ----

TEST_F(BatchesTest, WhatASmallerBatchMaySurviveIsHalved) {
  policy_.pacing.target = 150ms;  // the rest after a failure
  for (const char* sqlstate : {"55P03", "40P01", "40001", "57014"}) {
    events_.clear();
    report_ = JobReport();
    EXPECT_EQ(RunSteps({Raises(sqlstate), Raises(sqlstate), Seen(2, 2)}), "ok") << sqlstate;
    EXPECT_THAT(WorkEvents(), ElementsAre("run 8", "run 4", "run 2", "committed", "run 3"))
        << sqlstate;
    EXPECT_EQ(Counts(), "2 done, 0 skipped, 0 quarantined, 1 batches");
  }
}

TEST_F(BatchesTest, GivesUpAfterSoManyFailuresInARow) {
  policy_.failures = 3;
  policy_.pacing.target = 150ms;
  const SteadyTime start = SteadyNow();
  EXPECT_EQ(RunSteps({Raises("55P03"), Raises("55P03"), Seen(2, 1, 1), Raises("55P03"),
                      Raises("55P03"), Raises("55P03"), Seen(1, 1)}),
            "error 55P03 no");
  EXPECT_THAT(WorkEvents(),
              ElementsAre("run 8", "run 4", "run 2", "committed", "run 3", "run 1", "run 1"));
  EXPECT_EQ(Logged(), "run 2");
  EXPECT_GE(SteadyNow() - start, 4 * 150ms) << "rests before each further attempt";
  EXPECT_EQ(Counts(), "1 done, 1 skipped, 0 quarantined, 1 batches");
}

TEST_F(BatchesTest, AnyOtherErrorEndsTheRun) {
  for (const char* sqlstate : {"23514", "42501", "53100", "22P02"}) {
    EXPECT_EQ(RunSteps({Raises(sqlstate), Seen(1, 1)}), std::string("error ") + sqlstate + " no");
  }
  EXPECT_EQ(Logged(), "");
  EXPECT_EQ(RunSteps({Seen(1, 1)}), "ok") << "and it recovers";
}

TEST_F(BatchesTest, ALostConnectionEndsTheRun) {
  EXPECT_EQ(RunSteps({Seen(8, 8), Raises("57P01")}),
            "error 57P01 terminating connection due to administrator command");
  EXPECT_EQ(Logged(), "run 8");
  EXPECT_EQ(RunSteps({Seen(1, 1)}), "ok") << "and it recovers";
}

}  // namespace
}  // namespace pgsteward
