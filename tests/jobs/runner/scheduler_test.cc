// Schedulers against a real server: two of them, crashes, losses of the database.

#include "jobs/runner/scheduler.h"

#include <fstream>
#include <sstream>

#include "jobs/runner/job_metrics.h"
#include "jobs/runner/job_store.h"
#include "jobs/runner/run_store.h"
#include "tests/jobs/runner/scheduler_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

class SchedulerTest : public SchedulerFixture {
 protected:
  // Lets everything run until `sql` is true.
  Task<bool> Until(std::string sql, Duration within) {
    const SteadyTime give_up = SteadyNow() + within;
    while (SteadyNow() < give_up) {
      if (Value(sql) == "t") co_return true;
      co_await SleepUntil(SteadyNow() + 50ms);
    }
    co_return false;
  }
  void ExpectSoon(const std::string& sql, Duration within = 15s) {
    EXPECT_TRUE(RunCoro(runtime_, Until(sql, within))) << sql;
  }
  void Let(Duration time) { RunCoro(runtime_, SleepUntil(SteadyNow() + time)); }
  void Stop(Scheduler& scheduler) {
    EXPECT_TRUE(RunCoro(runtime_, scheduler.Stop(SteadyNow() + 8s)));
  }
  // All lines of one metric.
  static std::vector<std::string> Lines(const Scheduler& scheduler, const std::string& name) {
    std::vector<std::string> lines;
    for (const auto& family : JobMetrics(scheduler)) {
      if (family.name != name) continue;
      std::istringstream text(RenderSamples(family, {}).text);
      for (std::string line; std::getline(text, line);) lines.push_back(line);
    }
    return lines;
  }

  Runtime runtime_;
};

TEST_F(SchedulerTest, RunsWhatIsDueAndKeepsTheHistory) {
  Scheduler scheduler(runtime_, Policy({Job()}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) >= 3 FROM pgsteward.job_run WHERE status = 'ok'");
  Stop(scheduler);
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.job_run WHERE status <> 'ok'"), "0");
  EXPECT_EQ(Value("SELECT count(*) = (SELECT count(*) FROM pgsteward.job_run) FROM public.steps"),
            "t");
  EXPECT_EQ(Value("SELECT count(DISTINCT due_at) = count(*) AND bool_and(trigger = 'schedule') AND "
                  "bool_and(started_at >= due_at) FROM pgsteward.job_run"),
            "t");
  EXPECT_EQ(Value("SELECT last_status || ' ' || last_rows || ' ' || consecutive_failures FROM "
                  "pgsteward.job_state"),
            "ok 1 0");
  // The leases are given back at once.
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.lease WHERE expires_at > clock_timestamp()"),
            "0");
}

// The series of every reason.
const std::vector<std::string> kMissed = [] {
  std::vector<std::string> lines;
  for (const std::string_view reason : kMissedReasons) {
    lines.push_back("pgsteward_job_missed_total{server=\"hub\",job_name=\"steps\",reason=\"" +
                    std::string(reason) + "\"} " + (reason == "window" ? "2" : "0"));
  }
  return lines;
}();

TEST_F(SchedulerTest, HasItsSeriesFromTheFirstSecondAndOverRestarts) {
  const std::string journal = folder_ + "/hub.jobs";
  {
    Scheduler scheduler(runtime_, Policy({Job("0 3 1 1 *")}, journal));
    EXPECT_EQ(
        Lines(scheduler, "pgsteward_job_last_success_timestamp_seconds"),
        std::vector<std::string>{"pgsteward_job_last_success_timestamp_seconds{server=\"hub\","
                                 "job_name=\"steps\"} 0"});
    EXPECT_EQ(Lines(scheduler, "pgsteward_job_last_run_status").size(), 6U);
    EXPECT_EQ(Lines(scheduler, "pgsteward_jobs_leader"),
              std::vector<std::string>{"pgsteward_jobs_leader{server=\"hub\"} 0"});
    scheduler.Start();
    ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_state WHERE next_due IS NOT NULL");
    Exec(
        "UPDATE pgsteward.job_state SET next_due = date_trunc('second', clock_timestamp()), "
        "counters = '{\"missed.window\": 2}'");
    ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'ok'");
    Let(400ms);
    EXPECT_EQ(Lines(scheduler, "pgsteward_jobs_leader"),
              std::vector<std::string>{"pgsteward_jobs_leader{server=\"hub\"} 1"});
    EXPECT_EQ(Lines(scheduler, "pgsteward_job_backlog_rows"),
              std::vector<std::string>{
                  "pgsteward_job_backlog_rows{server=\"hub\",job_name=\"steps\"} 42"});
    EXPECT_EQ(Lines(scheduler, "pgsteward_job_missed_total"), kMissed);
    Stop(scheduler);
  }
  // The database is away when the next one starts: the numbers are there all the same.
  SchedulerPolicy policy = Policy({Job("0 3 1 1 *")}, journal);
  policy.target.conninfo = "host=/nowhere dbname=x";
  const Scheduler scheduler(runtime_, policy);
  EXPECT_EQ(Lines(scheduler, "pgsteward_job_last_run_successful"),
            std::vector<std::string>{
                "pgsteward_job_last_run_successful{server=\"hub\",job_name=\"steps\"} 1"});
  EXPECT_EQ(Lines(scheduler, "pgsteward_job_missed_total"), kMissed);
}

TEST_F(SchedulerTest, OfTwoOneLeadsAndTheOtherTakesOverWithoutAGapOrADouble) {
  auto first = std::make_unique<Scheduler>(runtime_, Policy({Job()}));
  Scheduler second(runtime_, Policy({Job()}));
  first->Start();
  ExpectSoon("SELECT count(*) >= 2 FROM pgsteward.job_run");
  second.Start();
  Let(1s);
  EXPECT_EQ(first->state(), JobsState::kLeader);
  EXPECT_EQ(second.state(), JobsState::kFollower);
  Stop(*first);
  const std::string handed_over = Value("SELECT clock_timestamp()");
  ExpectSoon("SELECT count(*) >= 2 FROM pgsteward.job_run WHERE started_at > '" + handed_over +
             "'");
  EXPECT_EQ(second.state(), JobsState::kLeader);
  Stop(second);
  EXPECT_EQ(Value("SELECT count(*) - count(DISTINCT due_at) FROM pgsteward.job_run WHERE status = "
                  "'ok'"),
            "0");
  // Each second was run, or counted as missed. What the first had begun the second may go on with.
  EXPECT_EQ(
      Value("SELECT (SELECT extract(epoch FROM max(due_at) - min(due_at)) + 1 FROM "
            "pgsteward.job_run) = (SELECT count(DISTINCT due_at) FROM pgsteward.job_run) + "
            "coalesce((SELECT sum(v::numeric) FROM pgsteward.job_state, jsonb_each_text(counters) "
            "AS c (k, v) WHERE k LIKE 'missed.%' AND k <> 'missed.superseded'), 0)"),
      "t");
}

TEST_F(SchedulerTest, ARunThatDiesIsAbortedAndTriedAgain) {
  JobPolicy job = Job("0 3 1 1 *");
  job.options.Set("steps", "3");
  Scheduler scheduler(runtime_, Policy({job}));
  // What a daemon leaves behind that was killed in the middle of a run.
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, next_due, last_due, last_run, "
      "last_status, attempt) VALUES ('steps', 'steps', '" +
      job.timetable.fingerprint() +
      "', now() + interval '1 day', date_trunc('minute', now()), "
      "'11111111-1111-4111-8111-111111111111', "
      "'running', 1)");
  Exec(
      "INSERT INTO pgsteward.job_run (run_id, job, type, trigger, due_at, attempt, started_at, "
      "host, pid, holder, lease_epoch, timeline, status) VALUES "
      "('11111111-1111-4111-8111-111111111111', 'steps', 'steps', 'schedule', "
      "date_trunc('minute', now()), 1, now(), 'dead', 1, 'dead:1:0', 7, 1, 'running')");
  Exec(
      "INSERT INTO pgsteward.lease (name, epoch, holder, acquired_at, renewed_at, expires_at, "
      "timeline, system_identifier) SELECT 'job/steps', 7, 'dead:1:0', now(), now(), now() + "
      "interval '1.5 seconds', 1, system_identifier FROM pg_control_system()");
  scheduler.Start();
  Let(700ms);
  EXPECT_EQ(Value("SELECT status FROM pgsteward.job_run"), "running");  // its lease may live
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'ok'");
  Stop(scheduler);
  EXPECT_EQ(Value("SELECT string_agg(trigger || ' ' || attempt || ' ' || status, ', ' ORDER BY "
                  "attempt) FROM pgsteward.job_run"),
            "schedule 1 aborted, retry 2 ok");
}

TEST_F(SchedulerTest, RetriesWhatIsWorthItAndNothingElse) {
  JobPolicy retried = Job("0 3 1 1 *");
  retried.retries = 2;
  retried.options.Set("fail", "40P01");
  JobPolicy hopeless = Job("0 3 1 1 *");
  hopeless.name = "hopeless";
  hopeless.options.Set("fail", "42P01");
  Scheduler scheduler(runtime_, Policy({retried, hopeless}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 2 FROM pgsteward.job_state WHERE next_due IS NOT NULL");
  Exec("UPDATE pgsteward.job_state SET next_due = date_trunc('second', clock_timestamp())");
  ExpectSoon("SELECT count(*) = 3 FROM pgsteward.job_run WHERE job = 'steps' AND status = 'failed'",
             40s);
  Let(1s);
  Stop(scheduler);
  EXPECT_EQ(Value("SELECT string_agg(job || ' ' || trigger || ' ' || attempt || ' ' || "
                  "error_sqlstate, ', ' ORDER BY job, attempt) FROM pgsteward.job_run"),
            "hopeless schedule 1 42P01, steps schedule 1 40P01, steps retry 2 40P01, steps retry 3 "
            "40P01");
  EXPECT_EQ(Value("SELECT consecutive_failures FROM pgsteward.job_state WHERE job = 'steps'"), "3");
}

TEST_F(SchedulerTest, StopsARunAtASafePoint) {
  JobPolicy job = Job();
  job.options.Set("steps", "1000");
  job.options.Set("pause_ms", "20");
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) >= 3 FROM public.steps");
  Stop(scheduler);
  EXPECT_EQ(Value("SELECT status || ' ' || reason || ' ' || (rows_done = (SELECT count(*) FROM "
                  "public.steps)) FROM pgsteward.job_run"),
            "partial shutdown true");
}

TEST_F(SchedulerTest, ADeadlineEndsARun) {
  JobPolicy job = Job("0 3 1 1 *");
  job.options.Set("steps", "1000");
  job.options.Set("pause_ms", "20");
  job.deadline = 1s;
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_state WHERE next_due IS NOT NULL");
  Exec("UPDATE pgsteward.job_state SET next_due = date_trunc('second', clock_timestamp())");
  ExpectSoon(
      "SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'partial' AND reason = "
      "'deadline'",
      20s);
  Stop(scheduler);
}

TEST_F(SchedulerTest, JobsOfOneGroupDoNotRunTogether) {
  JobPolicy a = Job("0 3 1 1 *");
  a.groups = {"heavy_io"};
  a.options.Set("steps", "20");
  a.options.Set("pause_ms", "20");
  JobPolicy b = a;
  b.name = "other";
  Scheduler scheduler(runtime_, Policy({a, b}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 2 FROM pgsteward.job_state WHERE next_due IS NOT NULL");
  Exec("UPDATE pgsteward.job_state SET next_due = date_trunc('second', clock_timestamp())");
  ExpectSoon("SELECT count(*) = 2 FROM pgsteward.job_run WHERE status = 'ok'", 30s);
  Stop(scheduler);
  EXPECT_EQ(
      Value("SELECT count(*) FROM pgsteward.job_run AS x JOIN pgsteward.job_run AS y ON x.job < "
            "y.job AND x.started_at < y.finished_at AND y.started_at < x.finished_at"),
      "0");
}

TEST_F(SchedulerTest, AStoppedHolderDoesNothingMoreWhenItWakes) {
  JobPolicy job = Job("0 3 1 1 *");
  job.options.Set("steps", "1000");
  job.options.Set("pause_ms", "50");
  Runtime frozen_runtime;
  Scheduler frozen(frozen_runtime, Policy({job}));
  frozen.Start();
  const auto let_frozen = [&frozen_runtime](Duration time) {
    RunCoro(frozen_runtime, SleepUntil(SteadyNow() + time));
  };
  let_frozen(500ms);
  Exec("UPDATE pgsteward.job_state SET next_due = date_trunc('second', clock_timestamp())");
  for (int i = 0; i < 150 && Value("SELECT count(*) >= 3 FROM public.steps") != "t"; ++i) {
    let_frozen(100ms);
  }
  // From here on nobody turns its loop, as if it were stopped by SIGSTOP.
  const std::string before = Value("SELECT count(*) FROM public.steps");
  JobPolicy quick = job;
  quick.options.Set("steps", "2");
  Scheduler other(runtime_, Policy({quick}));
  other.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'aborted'", 20s);
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'ok' AND attempt = 2", 20s);
  Stop(other);
  const std::string after = Value("SELECT count(*) FROM public.steps");
  EXPECT_EQ(std::stoi(after), std::stoi(before) + 2);
  let_frozen(1s);  // it wakes
  EXPECT_EQ(Value("SELECT count(*) FROM public.steps"), after);
  // And it recovers: the next due time is anybody's.
  EXPECT_TRUE(RunCoro(frozen_runtime, frozen.Stop(SteadyNow() + 8s)));
  EXPECT_EQ(Value("SELECT string_agg(status, ',' ORDER BY attempt) FROM pgsteward.job_run"),
            "aborted,ok");
}

TEST_F(SchedulerTest, TheJournalKeepsTheEndThatTheDatabaseCouldNotBeTold) {
  const std::string journal = folder_ + "/hub.jobs";
  RunRecord record;
  {
    JobPolicy job = Job();
    job.options.Set("steps", "1000");
    job.options.Set("pause_ms", "20");
    Scheduler scheduler(runtime_, Policy({job}, journal));
    scheduler.Start();
    ExpectSoon("SELECT count(*) >= 3 FROM public.steps");
    Postgres().Stop(PrivatePostgres::StopMode::kImmediate);
    Let(500ms);
    EXPECT_TRUE(RunCoro(runtime_, scheduler.Stop(SteadyNow() + 8s)));
    EXPECT_EQ(scheduler.untold(), 1U);
  }
  Postgres().Start();
  EXPECT_EQ(Value("SELECT status FROM pgsteward.job_run"), "running");
  // Also when the crash has lost the run's row.
  Exec("DELETE FROM pgsteward.job_run");
  JobPolicy job = Job("0 3 1 1 *");
  Scheduler scheduler(runtime_, Policy({job}, journal));
  EXPECT_EQ(scheduler.untold(), 1U);
  scheduler.Start();
  ExpectSoon("SELECT bool_and(status <> 'running') FROM pgsteward.job_run");
  Stop(scheduler);
  EXPECT_EQ(scheduler.untold(), 0U);
  EXPECT_EQ(Value("SELECT status || ' ' || reason FROM pgsteward.job_run WHERE attempt = 1"),
            "failed connection_lost");
}

TEST_F(SchedulerTest, SaysWhyItDoesNotRun) {
  {
    SchedulerPolicy policy = Policy({Job()});
    policy.target.conninfo = "host=/nowhere dbname=x";
    Scheduler scheduler(runtime_, policy);
    scheduler.Start();
    Let(500ms);
    EXPECT_EQ(scheduler.state(), JobsState::kUnavailable);
    Stop(scheduler);
  }
  Exec("ALTER SCHEMA pgsteward RENAME TO elsewhere");
  {
    Scheduler scheduler(runtime_, Policy({Job()}));
    scheduler.Start();
    Let(700ms);
    EXPECT_EQ(scheduler.state(), JobsState::kNoSchema);
    EXPECT_NE(scheduler.reason().find("pgsteward schema apply --component pgsteward"),
              std::string::npos);
    // And it recovers by itself.
    Exec("ALTER SCHEMA elsewhere RENAME TO pgsteward");
    ExpectSoon("SELECT count(*) >= 1 FROM pgsteward.job_run");
    EXPECT_EQ(scheduler.state(), JobsState::kLeader);
    Stop(scheduler);
  }
  {
    const std::string journal = folder_ + "/hub.jobs";
    std::ofstream(journal)
        << "{\"kind\":\"server\",\"system_identifier\":\"1\",\"timeline\":\"1\"}\n";
    Scheduler scheduler(runtime_, Policy({Job()}, journal));
    scheduler.Start();
    Let(700ms);
    EXPECT_EQ(scheduler.state(), JobsState::kOtherServer);
    Stop(scheduler);
  }
  {
    const std::string journal = folder_ + "/later.jobs";
    std::ofstream(journal) << "{\"kind\":\"server\",\"system_identifier\":\"" +
                                  Value("SELECT system_identifier FROM pg_control_system()") +
                                  "\",\"timeline\":\"2\"}\n";
    Scheduler scheduler(runtime_, Policy({Job()}, journal));
    scheduler.Start();
    Let(700ms);
    EXPECT_EQ(scheduler.state(), JobsState::kOtherServer);
    EXPECT_NE(scheduler.reason().find("a primary from before a failover"), std::string::npos);
    Stop(scheduler);
  }
}

TEST_F(SchedulerTest, APausedJobRestsUntilItIsResumed) {
  Scheduler scheduler(runtime_, Policy({Job()}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) >= 1 FROM pgsteward.job_run WHERE status = 'ok'");
  JobSession db(runtime_, Target());
  ASSERT_TRUE(RunCoro(runtime_, db.Open()));
  EXPECT_TRUE(
      RunCoro(runtime_, PauseJob(db, "steps", std::nullopt, "me@here", "busy day")).value());
  Let(300ms);
  const std::string runs = Value("SELECT count(*) FROM pgsteward.job_run");
  Let(2500ms);
  EXPECT_LE(std::stoi(Value("SELECT count(*) FROM pgsteward.job_run")), std::stoi(runs) + 1);
  EXPECT_TRUE(RunCoro(runtime_, ResumeJob(db, "steps")).value());
  const std::string resumed = Value("SELECT clock_timestamp()");
  ExpectSoon("SELECT count(*) >= 1 FROM pgsteward.job_run WHERE started_at > '" + resumed + "'",
             20s);
  EXPECT_EQ(Value("SELECT (counters ->> 'missed.paused')::numeric >= 1 FROM pgsteward.job_state"),
            "t");
  EXPECT_FALSE(RunCoro(runtime_, PauseJob(db, "nothing", std::nullopt, "me", "")).value());
  Stop(scheduler);
}

TEST_F(SchedulerTest, DestructiveJobsWaitForAPersonsWord) {
  JobSpec spec = kSteps;
  spec.needs_confirmation = true;
  JobPolicy job = Job("every 1s", spec);
  {
    Scheduler scheduler(runtime_, Policy({job}));
    scheduler.Start();
    ExpectSoon("SELECT count(*) >= 1 FROM pgsteward.job_run WHERE status = 'skipped'");
    Stop(scheduler);
  }
  EXPECT_EQ(Value("SELECT count(*) FROM public.steps"), "0");
  EXPECT_EQ(Value("SELECT DISTINCT reason FROM pgsteward.job_run"),
            "not_confirmed: plan " + job.PlanHash() +
                " needs a person's word; see it with: pgsteward job run steps --dry-run");
  Exec("UPDATE pgsteward.job_state SET memory = '{\"accepted_plan\": \"" + job.PlanHash() + "\"}'");
  {
    Scheduler scheduler(runtime_, Policy({job}));
    scheduler.Start();
    ExpectSoon("SELECT count(*) >= 1 FROM pgsteward.job_run WHERE status = 'ok'");
    Stop(scheduler);
  }
  // Widened: asked anew.
  job.options.Set("older_than", "1 day");
  const std::string before = Value("SELECT count(*) FROM public.steps");
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon(
      "SELECT count(*) >= 1 FROM pgsteward.job_run WHERE status = 'skipped' AND reason LIKE "
      "'%" +
      job.PlanHash() + "%'");
  Stop(scheduler);
  EXPECT_EQ(Value("SELECT count(*) FROM public.steps"), before);
}

TEST_F(SchedulerTest, WhatWasAskedToEndIsContinuedByTheNext) {
  JobPolicy job = Job("every 30s");
  job.options.Set("steps", "200");
  job.options.Set("pause_ms", "20");
  job.retries = 0;
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, next_due) VALUES ('steps', 'steps', "
      "'" +
      job.timetable.fingerprint() + "', now())");
  {
    Scheduler scheduler(runtime_, Policy({job}));
    scheduler.Start();
    ExpectSoon("SELECT count(*) >= 3 FROM public.steps");
    Stop(scheduler);
  }
  EXPECT_EQ(Value("SELECT status || ' ' || reason FROM pgsteward.job_run"), "partial shutdown");
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'ok'", 20s);
  Stop(scheduler);
  // The same due time, tried again at once.
  EXPECT_EQ(
      Value("SELECT string_agg(trigger || ' ' || attempt, ', ' ORDER BY started_at) || ' ' || "
            "count(DISTINCT due_at) FROM pgsteward.job_run"),
      "schedule 1, retry 2 1");
}

TEST_F(SchedulerTest, AStopDuringALookStartsNothingMore) {
  // The claim waits, so that the stop comes while the run has not begun.
  JobPolicy job = Job("every 30s");
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, next_due) VALUES ('steps', 'steps', "
      "'" +
      job.timetable.fingerprint() + "', now() + interval '600 milliseconds')");
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.lease WHERE name = 'scheduler'");
  Let(650ms);
  const auto begun = SteadyNow();
  Stop(scheduler);
  EXPECT_LT(SteadyNow() - begun, 3s);
  // Either it has begun and ended well, or the due time is still there for the next.
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.job_run WHERE status NOT IN ('ok', 'partial')"),
            "0");
  Scheduler next(runtime_, Policy({job}));
  next.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'ok'", 20s);
  Stop(next);
}

TEST_F(SchedulerTest, ADueTimeThatRanOnTheLostPrimaryIsPassedOver) {
  JobPolicy job = Job("every 1h");
  // After a failover: the history was told late, the job's row still has the due time.
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, next_due) VALUES ('steps', 'steps', "
      "'" +
      job.timetable.fingerprint() + "', date_trunc('hour', now()))");
  Exec(
      "INSERT INTO pgsteward.job_run (run_id, job, type, trigger, due_at, started_at, finished_at, "
      "host, pid, holder, lease_epoch, timeline, status) VALUES (gen_random_uuid(), 'steps', "
      "'steps', 'schedule', date_trunc('hour', now()), now(), now(), 'h', 1, 'h:1:1', 1, 1, 'ok')");
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon(
      "SELECT next_due = date_trunc('hour', now()) + interval '1 hour' FROM "
      "pgsteward.job_state");
  Stop(scheduler);
  EXPECT_EQ(Value("SELECT count(*) FROM public.steps"), "0");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.lease WHERE expires_at > now()"), "0");
}

TEST_F(SchedulerTest, AnEndWhoseClaimWasLostRepairsTheJobsRow) {
  JobPolicy job = Job("every 1h");
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, next_due) VALUES ('steps', 'steps', "
      "'" +
      job.timetable.fingerprint() + "', date_trunc('hour', now()))");
  RunRecord run;
  run.run_id = "11111111-2222-4333-8444-555555555555";
  run.job = run.type = "steps";
  run.trigger = Trigger::kSchedule;
  run.started = run.finished = WallNow();
  run.due = std::chrono::floor<std::chrono::hours>(WallNow());
  run.host = "h";
  run.holder = "h:1:1";
  run.report.status = RunStatus::kFailed;
  run.report.reason = "child_failed";
  run.retry_at = WallNow() + 1h;
  JobSession db(runtime_, Target());
  ASSERT_TRUE(RunCoro(runtime_, db.Open()));
  ASSERT_TRUE(RunCoro(runtime_, FinishRun(db, run)));
  const std::string row =
      "SELECT last_status || ' ' || (last_due = date_trunc('hour', now())) || ' ' || attempt || ' "
      "' || "
      "(next_due IS NULL) || ' ' || (retry_at > now()) || ' ' || consecutive_failures FROM "
      "pgsteward.job_state";
  EXPECT_EQ(Value(row), "failed true 1 true true 1");
  // Told again it changes nothing.
  ASSERT_TRUE(RunCoro(runtime_, FinishRun(db, run)));
  EXPECT_EQ(Value(row), "failed true 1 true true 1");
}

TEST_F(SchedulerTest, AFailedLookCostsNoLeadership) {
  Scheduler scheduler(runtime_, Policy({Job("every 1h")}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.lease WHERE name = 'scheduler'");
  Let(200ms);
  const auto epoch = scheduler.epoch();
  EXPECT_EQ(epoch, 1);
  Exec("ALTER TABLE pgsteward.job_state RENAME COLUMN queued TO queud");
  Let(600ms);
  EXPECT_EQ(scheduler.state(), JobsState::kFailed);
  Exec("ALTER TABLE pgsteward.job_state RENAME COLUMN queud TO queued");
  Let(1s);
  EXPECT_EQ(scheduler.state(), JobsState::kLeader);
  EXPECT_EQ(scheduler.epoch(), epoch);
  Stop(scheduler);
}

TEST_F(SchedulerTest, AReadOnlyDatabaseIsLeftAlone) {
  Exec("ALTER DATABASE " + hub_ + " SET default_transaction_read_only = on");
  Scheduler scheduler(runtime_, Policy({Job()}));
  scheduler.Start();
  Let(700ms);
  EXPECT_EQ(scheduler.state(), JobsState::kStandby);
  EXPECT_EQ(scheduler.reason().substr(0, 62),
            "read_only: the database or the role is set to read only (SQLST");
  Postgres().Exec("ALTER DATABASE " + hub_ + " RESET default_transaction_read_only");
  ExpectSoon("SELECT count(*) >= 1 FROM public.steps", 20s);
  Stop(scheduler);
}

TEST_F(SchedulerTest, AnOverrunIsNotTriedAgainAndEndsOnTheServer) {
  JobPolicy job = Job("every 1h");
  job.deadline = 1s;
  JobSpec spec = kSteps;
  spec.run = [](JobContext& context, JobReport&) -> Task<Result<void>> {
    std::string sql = "SELECT pg_sleep(100), 'overrun'";
    auto done = co_await context.db.Query(std::move(sql), PgValues(), 200s);
    if (!done) co_return done.error();
    co_return Result<void>();
  };
  job.spec = &spec;
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, next_due) VALUES ('steps', 'steps', "
      "'" +
      job.timetable.fingerprint() + "', now())");
  Scheduler scheduler(runtime_, Policy({job}));
  scheduler.Start();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE status = 'failed'", 45s);
  EXPECT_EQ(Value("SELECT retry_at IS NULL FROM pgsteward.job_state"), "t");
  EXPECT_EQ(Value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE "
                  "'%overrun%' AND pid <> pg_backend_pid()"),
            "0");
  Stop(scheduler);
}

}  // namespace
}  // namespace pgsteward
