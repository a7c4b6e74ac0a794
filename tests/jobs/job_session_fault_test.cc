// Transactions that do not end well: timeouts, locks, cancelled statements, lost connections.
#include "core/task_group.h"
#include "core/wait.h"
#include "tests/jobs/job_session_fixture.h"

namespace pgsteward {
namespace {

using JobSessionFaultTest = JobSessionTest;

INSTANTIATE_TEST_SUITE_P(Routes, JobSessionFaultTest,
                         testing::Values(Route::kDirect, Route::kPooled), RouteName);

// ---- timeouts and locks ----

TEST_P(JobSessionFaultTest, TheServerEndsAStatementThatTakesTooLong) {
  Open();
  ASSERT_EQ(Text(Begin(TransactionSettings(200ms))), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  const SteadyTime start = SteadyNow();
  const auto slow = Query("SELECT pg_sleep(30)");
  EXPECT_EQ(Text(slow), "57014 canceling statement due to statement timeout");
  EXPECT_EQ(slow.error().code, Errc::kTimeout);
  EXPECT_EQ(slow.error().hint, "The statement ran into its timeout, or somebody cancelled it.");
  EXPECT_LT(SteadyNow() - start, 5s);
  EXPECT_EQ(Text(Commit()), " the transaction had failed and was rolled back");
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, WeCancelAStatementThatTheServerDoesNotEnd) {
  Open();
  ASSERT_EQ(Text(Begin(TransactionSettings(60s))), "ok");
  const SteadyTime start = SteadyNow();
  const auto slow = Query("SELECT pg_sleep(30)", 200ms);
  EXPECT_EQ(Text(slow), " no answer in time, the statement was cancelled");
  EXPECT_EQ(slow.error().code, Errc::kTimeout);
  EXPECT_LT(SteadyNow() - start, 5s);
  EXPECT_TRUE(db_->open());
  Rollback();
  EXPECT_EQ(Value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND "
                  "state = 'active' AND pid <> pg_backend_pid()"),
            "0");
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, SomebodyElseCancelsTheStatement) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  PgClient admin = Connect();
  // 50 ms: the statement below is under way then.
  admin.ExecAsync(
      "SELECT pg_sleep(0.05), (SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE "
      "application_name = 'pgsteward:job/test')");
  EXPECT_EQ(Text(Query("SELECT pg_sleep(30)")), "57014 canceling statement due to user request");
  Rollback();
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, WaitsForALockAsLongAsItsTransactionSays) {
  Exec("INSERT INTO public.t VALUES (1)");
  Open();
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE");
  TransactionSettings settings;
  settings.lock_timeout = 50ms;
  ASSERT_EQ(Text(Begin(settings)), "ok");
  const auto refused = Query("SELECT n FROM public.t");
  EXPECT_EQ(Text(refused), "55P03 canceling statement due to lock timeout");
  EXPECT_EQ(refused.error().code, Errc::kBusy);
  Rollback();
  holder.Exec("ROLLBACK");
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, ATransactionThatIdlesIsEnded) {
  Open();
  TransactionSettings settings;
  settings.local = {{"idle_in_transaction_session_timeout", "50"}};
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  WaitFor("SELECT count(*) = 0 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'");
  const auto lost = Commit();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  Open();
  ExpectWorks();
}

// ---- lost connections ----

TEST_P(JobSessionFaultTest, CutWhileTheAnswerToCommitIsUnderWayItIsCommitted) {
  for (const TcpGate::Cut how : {TcpGate::Cut::kReset, TcpGate::Cut::kFin}) {
    Exec("TRUNCATE public.t");
    Open();
    ASSERT_EQ(Text(Begin()), "ok");
    EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
    gate_->CutAfterBytes(1, how);
    const auto lost = Commit();
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
    EXPECT_EQ(lost.error().hint, "The transaction is perhaps committed; the next run finds out.");
    EXPECT_FALSE(db_->open());
    EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "1");
    Rollback();
    Open();
    ExpectWorks();
  }
}

TEST_P(JobSessionFaultTest, CutBeforeCommitItIsNot) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  gate_->DropAll();
  const auto lost = Commit();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kConnectionLost) << "we cannot tell the two apart";
  ExpectNothingHeld();
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  EXPECT_EQ(Text(Begin()), " not connected");
  Open();
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, CutWhileTransactionsBegin) {
  for (const std::size_t bytes : {1, 20, 100}) {
    Open();
    gate_->CutAfterBytes(bytes, TcpGate::Cut::kReset);
    const auto lost = Begin();
    ASSERT_FALSE(lost) << bytes;
    EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
    ExpectNothingHeld();
    Open();
    ExpectWorks();
  }
}

TEST_P(JobSessionFaultTest, ACutStatementOfItsOwn) {
  Open();
  gate_->DropAll();
  const auto lost = Query("INSERT INTO public.t VALUES (1)");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  Open();
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, ANetworkThatSwallowsEverythingIsLeftBehind) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  gate_->Blackhole();
  // 100 ms, and 2 s for an answer to the cancel request.
  const auto lost = Query("SELECT 1", 100ms);
  EXPECT_EQ(Text(lost), " no answer in time, the statement was cancelled");
  EXPECT_FALSE(db_->open());
  const SteadyTime start = SteadyNow();
  Rollback();
  EXPECT_LT(SteadyNow() - start, 1s) << "waits for nobody";
  gate_->DropAll();
  gate_->Pass();
  Open();
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, ABrokenConnectionHoldsNothingAfterRollback) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  EXPECT_EQ(Text(Query("COPY public.t TO STDOUT")),
            " COPY is not possible here; the connection was closed");
  Rollback();
  ExpectNothingHeld();
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  Open();
  ExpectWorks();
}

Task<void> QueryAndForget(JobSession& db) {
  std::string sql = "SELECT pg_sleep(1)";
  auto rows = co_await db.Query(std::move(sql), PgValues(), 60s);
  ADD_FAILURE() << "not cancelled";
}

TEST_P(JobSessionFaultTest, ARunThatIsUnwoundLeavesNoSessionToUse) {
  Open();
  TaskGroup group(runtime_);
  group.Spawn("query", QueryAndForget(*db_));
  RunCoro(runtime_, SleepUntil(SteadyNow() + 30ms));  // it is under way
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime_, group.Join(SteadyNow() + 2s)));
  EXPECT_FALSE(db_->open());
  EXPECT_EQ(Text(Begin()), " not connected");
  Rollback();
  Open();
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, TheBackendIsTerminated) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  EXPECT_EQ(Postgres().TerminateBackends("application_name = 'pgsteward:job/test'"), 1);
  const auto lost = Commit();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  Open();
  ExpectWorks();
}

TEST_P(JobSessionFaultTest, TheServerRestarts) {
  for (const auto mode :
       {PrivatePostgres::StopMode::kFast, PrivatePostgres::StopMode::kImmediate}) {
    Open();
    ASSERT_EQ(Text(Begin()), "ok");
    EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
    Postgres().Restart(mode);
    const auto lost = Query("SELECT 1");
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, Errc::kConnectionLost) << ToText(lost.error());
    Rollback();
    EXPECT_EQ(Value("SELECT count(*) FROM public.t WHERE n = 1"), "0");
    Open();
    ExpectWorks();
  }
}

}  // namespace
}  // namespace pgsteward
