#include <gmock/gmock.h>
#include <signal.h>

#include <thread>
#include <utility>

#include "core/wait.h"
#include "jobs/reaper/reaper_facts.h"
#include "jobs/reaper/reaper_signal.h"
#include "tests/jobs/reaper/reaper_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

TEST_F(ReaperTest, CancelsALongStatement) {
  PgClient victim = Sleeper();
  PgClient young = ConnectAs("app");
  WaitForSessions(1, LongActive(victim));
  young.Exec("SELECT 1");
  const RunResult run = Run(kReaper, Options("cancel"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 1);
  EXPECT_EQ(run.report.details, (Details{{"candidates", "1"}, {"long_active/cancel/ended", "1"}}));
  EXPECT_EQ(Outcome(victim), "cancelled");
  EXPECT_EQ(victim.Value("SELECT 1"), "1");

  const std::string who = "pid " + std::to_string(victim.pid()) + " \\(app@" + hub_ +
                          ", application web\\), long_active: active for [0-9.ms]+";
  EXPECT_THAT(control_.notes, ElementsAre(MatchesRegex("cancel sent: " + who),
                                          MatchesRegex("cancel ended: " + who)));
  EXPECT_EQ(Value("SELECT concat_ws(' ', job, run_id = '" + run_id_ +
                  "', rule, action, result, pid, usename, datname, application_name, state, "
                  "age_s >= 2, victims, query_digest = md5('SELECT pg_sleep(60)'), "
                  "num_nulls(backend_start, query_start, xact_start)) "
                  "FROM pgsteward.remediation_log"),
            "reaper t long_active cancel ended " + std::to_string(victim.pid()) + " app " + hub_ +
                " web active t 0 t 0");
  EXPECT_EQ(control_.fences, 2);  // of the signal, and of its result
}

TEST_F(ReaperTest, WithoutCandidatesDoesNothing) {
  const RunResult run = Run(kReaper, Options("terminate"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details, (Details{{"candidates", "0"}}));
  EXPECT_EQ(control_.fences, 0);
  EXPECT_EQ(Log(), "");
}

TEST_F(ReaperTest, ObservesAndDecidesDryWithoutASignal) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  EXPECT_EQ(Run(kReaper, Options("observe")).Text(), "ok");
  for (int i = 0; i < 2; ++i) {
    const RunResult run = Run(kReaper, Options("dry_run"));
    EXPECT_EQ(run.Text(), "ok");
    EXPECT_EQ(run.report.rows_done, 0);
    EXPECT_EQ(run.report.details,
              (Details{{"candidates", "1"}, {"long_active/dry_run/would_cancel", "1"}}));
  }
  // The second time it says nothing new.
  EXPECT_EQ(Log(), "long_active observe candidate; long_active dry_run would_cancel");
  EXPECT_TRUE(Runs(victim));
}

TEST_F(ReaperTest, PlansWithoutChangingAnything) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  const RunResult run = DryRun(kReaper, Options("terminate"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_THAT(
      run.report.plan,
      ElementsAre("mode terminate, this database; long_active: 1.0s; idle_in_tx: off; "
                  "root_blocker: off",
                  "statements signalled within the last minute: 0 of 3, within the last hour: 0 "
                  "of 10",
                  "statement_timeout is 0: prefer server settings (ALTER ROLE ... SET "
                  "statement_timeout), which need no daemon",
                  "idle_in_transaction_session_timeout is 0: prefer server settings (ALTER ROLE "
                  "... SET idle_in_transaction_session_timeout), which need no daemon",
                  "those who still do the same 1.0s later:",
                  MatchesRegex("would cancel: pid " + std::to_string(victim.pid()) + " \\(app@" +
                               hub_ + ", application web\\), long_active: active for [0-9.ms]+")));
  EXPECT_EQ(control_.fences, 0);
  EXPECT_EQ(Log(), "");
  EXPECT_TRUE(Runs(victim));
}

TEST_F(ReaperTest, L8AndL9OnlyTerminatingEndsAnIdleTransaction) {
  PgClient victim = ConnectAs("app");
  victim.Exec("BEGIN; SELECT 1");
  WaitForSessions(1, "pid = " + std::to_string(victim.pid()) +
                         " AND clock_timestamp() - state_change > '1 second'");
  // The defect: the server says true, and nothing happens.
  EXPECT_EQ(Value("SELECT pg_cancel_backend(" + std::to_string(victim.pid()) + ")"), "t");
  const auto cancel = Options("cancel", {{"long_active", "0s"}, {"idle_in_tx", "1s"}});
  const RunResult reported = Run(kReaper, cancel);
  EXPECT_EQ(reported.Text(), "ok");
  EXPECT_EQ(reported.report.details,
            (Details{{"candidates", "1"}, {"idle_in_tx/refused/needs_terminate", "1"}}));
  EXPECT_EQ(victim.Value("SELECT 1"), "1");  // it is as long idle anew from here
  WaitForSessions(1, "pid = " + std::to_string(victim.pid()) +
                         " AND clock_timestamp() - state_change > '1 second'");
  const auto terminate = Options("terminate", {{"long_active", "0s"}, {"idle_in_tx", "1s"}});
  const RunResult run = Run(kReaper, terminate);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details,
            (Details{{"candidates", "1"}, {"idle_in_tx/terminate/ended", "1"}}));
  EXPECT_FALSE(Lives(victim));
  EXPECT_EQ(Log(), "idle_in_tx refused needs_terminate; idle_in_tx terminate ended");
}

TEST_F(ReaperTest, EndsTheRootAndNotThoseThatWait) {
  Exec(
      "CREATE TABLE public.shared_row (id int); INSERT INTO public.shared_row VALUES (1);"
      "GRANT ALL ON public.shared_row TO app");
  PgClient root = ConnectAs("app");
  root.Exec("BEGIN; UPDATE public.shared_row SET id = 2");
  PgClient first = ConnectAs("app");
  PgClient second = ConnectAs("app");
  first.ExecAsync("UPDATE public.shared_row SET id = 3");
  second.ExecAsync("UPDATE public.shared_row SET id = 4");
  WaitForSessions(2,
                  "wait_event_type = 'Lock' AND clock_timestamp() - query_start > '1 second' "
                  "AND datname = current_database()");
  const RunResult run = Run(
      kReaper, Options("terminate", {{"root_blocker_victims", "2"}, {"root_blocker_after", "1s"}}));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details, (Details{{"candidates", "1"},
                                         {"root_blocker/terminate/ended", "1"},
                                         {"spared/long_active/waits_for_lock", "2"}}));
  EXPECT_FALSE(Lives(root));
  EXPECT_EQ(Outcome(first), "ok");
  EXPECT_EQ(Outcome(second), "ok");
  EXPECT_EQ(Value("SELECT victims FROM pgsteward.remediation_log"), "2");
}

TEST_F(ReaperTest, APreparedTransactionIsOnlyReported) {
  Exec(
      "CREATE TABLE public.shared_row (id int); INSERT INTO public.shared_row VALUES (1);"
      "GRANT ALL ON public.shared_row TO app");
  Connect().Exec("BEGIN; UPDATE public.shared_row SET id = 2; PREPARE TRANSACTION 'forgotten'");
  PgClient waiter = ConnectAs("app");
  waiter.ExecAsync("UPDATE public.shared_row SET id = 3");
  WaitForSessions(1, "wait_event_type = 'Lock' AND " + LongActive(waiter));
  const RunResult run = Run(
      kReaper, Options("terminate", {{"root_blocker_victims", "1"}, {"root_blocker_after", "1s"}}));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details, (Details{{"candidates", "0"},
                                         {"prepared_victims", "1"},
                                         {"spared/long_active/waits_for_lock", "1"}}));
  Exec("ROLLBACK PREPARED 'forgotten'");
  EXPECT_EQ(Outcome(waiter), "ok");
}

TEST_F(ReaperTest, WhatWasSeenOnceIsLeft) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  // Asked between the looks.
  bool asked = false;
  control_.on_stop_reason = [&] {
    if (!std::exchange(asked, true)) {
      Value("SELECT pg_cancel_backend(" + std::to_string(victim.pid()) + ")");
      EXPECT_EQ(Outcome(victim), "cancelled");
      victim.ExecAsync("SELECT pg_sleep(61)");
      WaitForSessions(1, LongActive(victim));
    }
    return std::string();
  };
  const RunResult run = Run(kReaper, Options("terminate"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details,
            (Details{{"candidates", "1"}, {"long_active/observe/seen_once", "1"}}));
  EXPECT_EQ(Log(), "long_active observe seen_once");
  EXPECT_TRUE(Runs(victim));
  EXPECT_EQ(Run(kReaper, Options("terminate")).Text(), "ok");
  EXPECT_EQ(Outcome(victim), "cancelled");
}

TEST_F(ReaperTest, L10AnotherStatementOrSessionIsNotHit) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  // Between the look and the signal the session goes on to something else. That the fence has read
  // pg_stat_activity in the same transaction does not hide it.
  control_.on_fence = [&](JobSession& db) -> Task<void> {
    if (control_.fences > 1) co_return;
    std::string sql = "SELECT count(*) FROM pg_stat_activity";
    auto read = co_await db.Query(std::move(sql), PgValues(), std::chrono::seconds(5));
    EXPECT_TRUE(read);
    Value("SELECT pg_cancel_backend(" + std::to_string(victim.pid()) + ")");
    EXPECT_EQ(Outcome(victim), "cancelled");
    victim.ExecAsync("SELECT pg_sleep(61)");
    WaitForSessions(1, "state = 'active' AND pid = " + std::to_string(victim.pid()));
  };
  const RunResult run = Run(kReaper, Options("terminate"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details,
            (Details{{"candidates", "1"}, {"long_active/refused/changed", "1"}}));
  EXPECT_EQ(Log(), "long_active refused changed");
  EXPECT_TRUE(Runs(victim));
}

TEST_F(ReaperTest, L10AUsedAgainPidIsNotHit) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  Runtime runtime;
  JobSession db(runtime, Target());
  const JobOptions options(kReaper.options);
  JobContext context{runtime, db, options, control_, "reaper", "", "UTC"};
  const std::vector<std::string> no_roles;
  ASSERT_TRUE(RunCoro(runtime, db.Open()));
  const auto facts = RunCoro(runtime, LookAtSessions(db, no_roles));
  ASSERT_TRUE(facts) << ToText(facts.error());
  ReaperDecision decision;
  for (const ReaperSession& session : facts->sessions) {
    if (session.pid == victim.pid()) decision.session = session;
  }
  decision.action = ReaperAction::kTerminate;
  const ReaperPolicy policy;
  const auto signal = [&](const ReaperDecision& wanted) {
    const auto sent = RunCoro(runtime, SignalSession(context, policy, wanted, false));
    return sent ? std::string(ReaperActionName(sent->action)) + " " + sent->result
                : ToText(sent.error());
  };
  ReaperDecision other = decision;
  other.session.backend_start = Value("SELECT '" + decision.session.backend_start +
                                      "'::timestamptz + interval '1 microsecond'");
  EXPECT_EQ(signal(other), "refused changed");
  other = decision;
  other.session.pid = 1;
  EXPECT_EQ(signal(other), "refused changed");
  EXPECT_TRUE(Runs(victim));
  EXPECT_EQ(signal(decision), "terminate sent");
  EXPECT_EQ(Outcome(victim), "terminated");
}

TEST_F(ReaperTest, WhatSurvivesACancelIsTerminated) {
  const std::string stubborn =
      "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; "
      "END LOOP; END $$";
  PgClient victim = ConnectAs("app");
  victim.ExecAsync(stubborn);
  WaitForSessions(1, LongActive(victim));
  const RunResult cancel = Run(kReaper, Options("cancel"));
  EXPECT_EQ(cancel.Text(), "partial survived: 1 took no notice of the signal so far");
  EXPECT_EQ(cancel.report.rows_done, 0);
  EXPECT_EQ(cancel.report.details,
            (Details{{"candidates", "1"}, {"long_active/cancel/survived", "1"}}));
  EXPECT_TRUE(Runs(victim));
  const RunResult terminate = Run(kReaper, Options("terminate"));
  EXPECT_EQ(terminate.Text(), "ok");
  EXPECT_EQ(terminate.report.rows_done, 1);
  EXPECT_EQ(terminate.report.details, (Details{{"candidates", "1"},
                                               {"long_active/cancel/survived", "1"},
                                               {"long_active/terminate/ended", "1"}}));
  EXPECT_EQ(Outcome(victim), "terminated");
  EXPECT_EQ(
      Log(),
      "long_active cancel survived; long_active cancel survived; long_active terminate ended");
}

TEST_F(ReaperTest, AStatementThatFollowsACancelledOneIsLeft) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  std::string outcome;
  std::thread application([&] {
    outcome = Outcome(victim);
    victim.ExecAsync("SELECT pg_sleep(60)");
  });
  const RunResult run = Run(kReaper, Options("terminate"));
  application.join();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(outcome, "cancelled");
  EXPECT_EQ(run.report.details, (Details{{"candidates", "1"}, {"long_active/cancel/ended", "1"}}));
  EXPECT_TRUE(Runs(victim));
}

TEST_F(ReaperTest, SaysWhatDidNotGoAndRecovers) {
  PgClient victim = ConnectAs("app");
  victim.Exec("BEGIN; SELECT 1");
  WaitForSessions(1, "pid = " + std::to_string(victim.pid()) +
                         " AND clock_timestamp() - state_change > '1 second'");
  // Takes no notice of anything, as in the depths of the kernel.
  ASSERT_EQ(::kill(victim.pid(), SIGSTOP), 0);
  const auto options = Options("terminate", {{"long_active", "0s"}, {"idle_in_tx", "1s"}});
  const RunResult run = Run(kReaper, options);
  ASSERT_EQ(::kill(victim.pid(), SIGCONT), 0);
  EXPECT_EQ(run.Text(), "partial survived: 1 took no notice of the signal so far");
  EXPECT_EQ(run.report.details,
            (Details{{"candidates", "1"}, {"idle_in_tx/terminate/survived", "1"}}));
  WaitForSessions(0, "pid = " + std::to_string(victim.pid()));
  EXPECT_EQ(Run(kReaper, options).Text(), "ok");
}

TEST_F(ReaperTest, KeepsTheRateOverRunsAndRecovers) {
  PgClient older = Sleeper();
  WaitForSessions(1, "state = 'active' AND pid = " + std::to_string(older.pid()));
  PgClient younger = Sleeper();
  WaitForSessions(1, LongActive(younger));
  const auto options = Options("cancel", {{"max_per_minute", "1"}});
  for (const char* details : {"ended", "nothing"}) {
    const RunResult run = Run(kReaper, options);
    EXPECT_EQ(run.Text(), "partial rate_limit: candidates are left for later");
    EXPECT_EQ(run.report.rows_done, details == std::string("ended") ? 1 : 0);
    EXPECT_EQ(run.report.details.at("long_active/refused/rate_limit"), "1");
  }
  EXPECT_EQ(Outcome(older), "cancelled");
  EXPECT_TRUE(Runs(younger));
  Exec("UPDATE pgsteward.remediation_log SET at = at - interval '1 minute'");
  EXPECT_EQ(Run(kReaper, options).Text(), "ok");
  EXPECT_EQ(Outcome(younger), "cancelled");
}

TEST_F(ReaperTest, CountsSignalsOfAnotherDaemonAtTheLastMoment) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  control_.on_fence = [&](JobSession&) -> Task<void> {
    if (control_.fences > 1) co_return;
    Exec(
        "INSERT INTO pgsteward.remediation_log (job, rule, action, result, pid) "
        "VALUES ('other', 'long_active', 'cancel', 'ended', 1)");
  };
  EXPECT_EQ(Run(kReaper, Options("cancel", {{"max_per_minute", "1"}})).Text(),
            "partial rate_limit: candidates are left for later");
  EXPECT_TRUE(Runs(victim));
  EXPECT_EQ(Log(), "long_active cancel ended; long_active refused rate_limit");
}

TEST_F(ReaperTest, TooManyTripTheBreakerAndItRecovers) {
  PgClient first = Sleeper();
  PgClient second = Sleeper();
  WaitForSessions(2,
                  "state = 'active' AND clock_timestamp() - query_start > '1 second' AND "
                  "query = 'SELECT pg_sleep(60)'");
  const auto options = Options("terminate", {{"breaker", "1"}});
  const RunResult run = Run(kReaper, options);
  EXPECT_EQ(run.Text(),
            "partial breaker: 2 candidates at once, more than 1: not one session is the problem");
  EXPECT_EQ(run.report.rows_done, 0);
  EXPECT_EQ(run.report.details,
            (Details{{"candidates", "2"}, {"long_active/refused/breaker", "2"}}));
  EXPECT_TRUE(Runs(first));
  EXPECT_TRUE(Runs(second));
  Postgres().TerminateBackends("pid = " + std::to_string(first.pid()));
  EXPECT_EQ(Run(kReaper, options).Text(), "ok");
  EXPECT_EQ(Outcome(second), "cancelled");
}

TEST_F(ReaperTest, WithoutTheLeaseItSignalsNobody) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  control_.lose_lease_at = 1;
  const RunResult run = Run(kReaper, Options("terminate"));
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(run.outcome.error().code, Errc::kBusy);
  EXPECT_TRUE(Runs(victim));
  EXPECT_EQ(Log(), "");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Run(kReaper, Options("terminate")).Text(), "ok");
  EXPECT_EQ(Outcome(victim), "cancelled");
}

TEST_F(ReaperTest, StopsBetweenTheLooks) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  control_.stop_reason = "shutdown";
  EXPECT_EQ(Run(kReaper, Options("terminate")).Text(), "partial shutdown");
  EXPECT_TRUE(Runs(victim));
  EXPECT_EQ(Log(), "");
}

TEST_F(ReaperTest, L11WithoutRightsItFailsAndSaysWhichToGrant) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  const auto error = [](const RunResult& run) {
    return run.outcome ? "ok" : ToText(run.outcome.error());
  };
  // With the right to signal alone the documented query finds nobody.
  Exec("REVOKE pg_read_all_stats FROM \"Reaper\"");
  const std::string blind =
      "the role may not see the sessions of other roles (SQLSTATE 42501); hint: GRANT "
      "pg_read_all_stats TO \"Reaper\";";
  EXPECT_EQ(error(Run(kReaper, Options("cancel"))), blind);
  EXPECT_EQ(error(DryRun(kReaper, Options("observe"))), blind);
  const auto backlog = MeasureBacklog(kReaper, Options("cancel"));
  EXPECT_EQ(backlog ? "ok" : ToText(backlog.error()), blind);
  Exec("GRANT pg_read_all_stats TO \"Reaper\"; REVOKE pg_signal_backend FROM \"Reaper\"");
  EXPECT_EQ(error(Run(kReaper, Options("cancel"))),
            "the role may not signal the sessions of other roles (SQLSTATE 42501); hint: GRANT "
            "pg_signal_backend TO \"Reaper\";");
  EXPECT_EQ(error(Run(kReaper, Options("dry_run"))), "ok");
  Exec(
      "GRANT pg_signal_backend TO \"Reaper\"; REVOKE INSERT ON pgsteward.remediation_log FROM "
      "\"Reaper\"");
  EXPECT_EQ(error(Run(kReaper, Options("cancel"))),
            "the role may not write pgsteward.remediation_log (SQLSTATE 42501); hint: GRANT USAGE "
            "ON SCHEMA pgsteward TO \"Reaper\"; GRANT SELECT, INSERT, UPDATE (result) ON "
            "pgsteward.remediation_log TO \"Reaper\";");
  EXPECT_TRUE(Runs(victim));
  Exec("GRANT INSERT ON pgsteward.remediation_log TO \"Reaper\"");
  EXPECT_EQ(error(Run(kReaper, Options("cancel"))), "ok");
  EXPECT_EQ(Outcome(victim), "cancelled");
}

TEST_F(ReaperTest, ARefusedSignalIsNotedAndTheOthersAreSent) {
  PgClient promoted = Sleeper("batch");
  WaitForSessions(1, "state = 'active' AND pid = " + std::to_string(promoted.pid()));
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  control_.on_fence = [&](JobSession&) -> Task<void> {
    if (control_.fences == 1) Exec("ALTER ROLE batch SUPERUSER");
    co_return;
  };
  const RunResult run = Run(kReaper, Options("cancel"));
  Exec("ALTER ROLE batch NOSUPERUSER");
  EXPECT_EQ(run.Text(), "partial not_permitted: the server refused a signal");
  EXPECT_EQ(Log(), "long_active refused not_permitted; long_active cancel ended");
  EXPECT_TRUE(Runs(promoted));
  EXPECT_EQ(Outcome(victim), "cancelled");
  EXPECT_EQ(Run(kReaper, Options("cancel")).Text(), "ok");
  EXPECT_EQ(Outcome(promoted), "cancelled");
}

TEST_F(ReaperTest, MeasuresItsCandidates) {
  PgClient victim = Sleeper();
  WaitForSessions(1, LongActive(victim));
  const auto backlog = MeasureBacklog(kReaper, Options("cancel"));
  ASSERT_TRUE(backlog) << ToText(backlog.error());
  EXPECT_EQ(backlog->rows, 1);
  EXPECT_GT(backlog->oldest_age_s, 0);
  EXPECT_LT(backlog->oldest_age_s, 60);
}

}  // namespace
}  // namespace pgsteward
