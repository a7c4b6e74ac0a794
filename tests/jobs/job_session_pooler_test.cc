// Several sessions on the one connection that PgBouncer has.
#include "core/task_group.h"
#include "tests/jobs/job_session_fixture.h"

namespace pgsteward {
namespace {

using JobSessionPoolerTest = JobSessionTest;

INSTANTIATE_TEST_SUITE_P(Pooler, JobSessionPoolerTest, testing::Values(Route::kPooled), RouteName);

Task<void> BeginAndRead(JobSession& db, std::string& read) {
  auto begun = co_await db.Begin(TransactionSettings(1s));
  if (!begun) {
    read = ToText(begun.error());
    co_return;
  }
  std::string sql = "SELECT current_setting('statement_timeout')";
  auto rows = co_await db.Query(std::move(sql), PgValues(), 1s);
  read = rows ? std::string(rows->Text(0, 0)) : ToText(rows.error());
  co_await db.Rollback();
}

TEST_P(JobSessionPoolerTest, ATransactionKeepsTheConnectionToItsEnd) {
  Open();
  const std::unique_ptr<JobSession> other = NewSession();
  ASSERT_TRUE(RunCoro(runtime_, other->Open()));
  ASSERT_EQ(Text(Begin(TransactionSettings(2s))), "ok");
  std::string read = "waits";
  TaskGroup group(runtime_);
  group.Spawn("other", BeginAndRead(*other, read));
  RunCoro(runtime_, SleepUntil(SteadyNow() + 50ms));  // it has asked
  EXPECT_EQ(Text(Query("SELECT current_setting('statement_timeout')")), "1800ms");
  EXPECT_EQ(read, "waits");
  EXPECT_EQ(Text(Commit()), "ok");
  EXPECT_TRUE(RunCoro(runtime_, group.Join(SteadyNow() + 5s)));
  EXPECT_EQ(read, "900ms");
  ExpectWorks();
}

TEST_P(JobSessionPoolerTest, SessionModeIsAPoolerAsWell) {
  PgBouncerOptions options;
  options.pool_mode = "session";
  const PgBouncer bouncer(Postgres(), options);
  PgTarget target;
  target.conninfo = bouncer.Conninfo(hub_);
  JobSession db(runtime_, target);
  ASSERT_TRUE(RunCoro(runtime_, db.Open()));
  EXPECT_TRUE(db.pooled());
}

TEST_P(JobSessionPoolerTest, TheServerSeesWhoseTransactionItIs) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Value("SELECT application_name FROM pg_stat_activity WHERE datname = "
                  "current_database() AND pid <> pg_backend_pid()"),
            "pgsteward:job/test");
  EXPECT_EQ(Text(Commit()), "ok");
}

TEST_P(JobSessionPoolerTest, APoolerThatGoesAwayRollsBack) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  bouncer_.reset();
  const auto lost = Commit();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
  Rollback();
  ExpectNothingHeld();
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  bouncer_ = std::make_unique<PgBouncer>(Postgres());
  gate_ = std::make_unique<TcpGate>(bouncer_->port());
  db_ = nullptr;
  Open();
  ExpectWorks();
}

}  // namespace
}  // namespace pgsteward
