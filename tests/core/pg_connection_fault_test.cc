// Statements that do not end well: timeouts, cancellation, COPY, lost connections.
#include "core/wait.h"
#include "tests/core/pg_connection_fixture.h"
#include "tests/support/tcp_gate.h"

namespace pgsteward {
namespace {

// ---- timeouts ----

TEST_F(PgConnectionTest, StatementTimeoutLeavesAUsableConnection) {
  Open();
  const int pid = connection_->backend_pid();
  const SteadyTime start = SteadyNow();
  const auto rows = Query("SELECT pg_sleep(30)", {}, 200ms);
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::kTimeout);
  EXPECT_EQ(rows.error().sqlstate, "57014") << "the server was first";
  EXPECT_GE(SteadyNow() - start, 180ms);
  EXPECT_LT(SteadyNow() - start, 5s);
  ExpectUsable();
  EXPECT_EQ(connection_->backend_pid(), pid);
}

TEST_F(PgConnectionTest, CancelAndDrainWhenTheServerHasNoTimeout) {
  Open();
  const int pid = connection_->backend_pid();
  // Behind the connection's back: it believes the server's timeout is set.
  ASSERT_TRUE(Script("SET statement_timeout = 0", 200ms));
  const SteadyTime start = SteadyNow();
  const auto rows = Query("SELECT pg_sleep(30)", {}, 200ms);
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::kTimeout);
  EXPECT_EQ(rows.error().message, "no answer in time, the statement was cancelled");
  EXPECT_GE(SteadyNow() - start, 200ms);
  EXPECT_LT(SteadyNow() - start, 5s);
  ExpectUsable();
  EXPECT_EQ(connection_->backend_pid(), pid);
  EXPECT_EQ(Postgres().Value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                             "query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"),
            "0");
}

TEST_F(PgConnectionTest, RowsBeforeTheTimeoutAreDrained) {
  Open();
  ASSERT_TRUE(Script("SET statement_timeout = 0", 200ms));
  EXPECT_EQ(Code(Query("SELECT repeat('x', 1000), CASE WHEN n > 20000 THEN pg_sleep(30) END "
                       "FROM generate_series(1, 20001) n",
                       {}, 200ms)),
            Errc::kTimeout);
  ExpectUsable();
}

TEST_F(PgConnectionTest, TimeoutFollowsEachStatement) {
  Open();
  EXPECT_EQ(Text(Query("SHOW statement_timeout", {}, 1s)), "900ms");
  EXPECT_EQ(Text(Query("SHOW statement_timeout", {}, 20s)), "19500ms");
  EXPECT_EQ(Text(Query("SHOW statement_timeout", {}, 100ms)), "90ms");
}

Task<void> QueryAndForget(PgConnection& connection) {
  std::string sql = "SELECT pg_sleep(60)";
  auto rows = co_await connection.Query(std::move(sql), PgValues(), 60s);
  ADD_FAILURE() << "not cancelled";
}

TEST_F(PgConnectionTest, AbandonedStatementClosesTheConnection) {
  Open();
  TaskGroup group(runtime_);
  group.Spawn("query", QueryAndForget(*connection_));
  RunCoro(runtime_, SleepUntil(SteadyNow() + 30ms));  // it is under way
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime_, group.Join(SteadyNow() + 2s)));
  ExpectClosed();
}

TEST_F(PgConnectionTest, AbandonedStatementEndsOnTheServer) {
  Open();
  const std::string pid = std::to_string(connection_->backend_pid());
  {
    TaskGroup group(runtime_);
    group.Spawn("query", QueryAndForget(*connection_));
    RunCoro(runtime_, SleepUntil(SteadyNow() + 100ms));
    group.Stop();
    EXPECT_TRUE(RunCoro(runtime_, group.Join(SteadyNow() + 2s)));
  }
  connection_.reset();
  Open();
  std::string left = "?";
  for (int i = 0; i < 100 && left != "0"; ++i) {
    left = Text(Query("SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid));
    RunCoro(runtime_, SleepUntil(SteadyNow() + 50ms));
  }
  EXPECT_EQ(left, "0");
}

// ---- faults ----

TEST_F(PgConnectionTest, CopyIsRefusedAndClosesTheConnection) {
  for (const char* sql : {"COPY (SELECT 1) TO STDOUT", "COPY public.copy_t FROM STDIN"}) {
    Postgres().Exec("DROP TABLE IF EXISTS copy_t; CREATE TABLE copy_t (n int)");
    OpenWritable();
    const auto rows = Query(sql);
    ASSERT_FALSE(rows) << sql;
    EXPECT_EQ(rows.error().code, Errc::kQueryFailed);
    EXPECT_EQ(rows.error().message, "COPY is not possible here; the connection was closed");
    ExpectClosed();
    connection_.reset();
  }
}

TEST_F(PgConnectionTest, BackendTerminatedDuringAStatement) {
  Open();
  PgClient admin = Postgres().Connect();
  // 50 ms: the statement below is under way then.
  admin.ExecAsync("SELECT pg_sleep(0.05), pg_terminate_backend(" +
                  std::to_string(connection_->backend_pid()) + ")");
  const auto rows = Query("SELECT pg_sleep(30)");
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::kConnectionLost);
  EXPECT_EQ(rows.error().sqlstate, "57P01");
  EXPECT_EQ(rows.error().message, "terminating connection due to administrator command");
  ExpectClosed();
}

TEST_F(PgConnectionTest, BackendTerminatedWhileIdle) {
  Open();
  EXPECT_EQ(Postgres().TerminateBackends("pid = " + std::to_string(connection_->backend_pid())), 1);
  const auto rows = Query("SELECT 1");
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::kConnectionLost);
  EXPECT_EQ(rows.error().sqlstate, "57P01");
  ExpectClosed();
}

TEST_F(PgConnectionTest, ConnectionCutBetweenStatements) {
  TcpGate gate(Postgres().port());
  Open(Target(Postgres().TcpConninfo("postgres", "postgres", gate.port())));
  ExpectUsable();
  gate.DropAll();
  EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  ExpectClosed();
}

}  // namespace
}  // namespace pgsteward
