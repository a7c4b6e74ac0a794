#include "schema/index_builds.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/schema/schema_fixture.h"
#include "tests/support/private_postgres.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kIndex[] = "idx_messages_created_id";

std::string Value(const std::string& sql) { return Postgres().Value(sql, "hub"); }

class IndexBuildsTest : public SchemaTest {
 protected:
  // A transaction with a snapshot and no lock on any table: a version's statements pass it, the
  // build of an index waits for its end with the index still invalid.
  PgClient OldSnapshot() const {
    PgClient holder = Postgres().Connect("hub");
    holder.Exec("SET application_name = 'dump'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    return holder;
  }
  static std::string Who(const PgClient& holder) {
    return "pid " + std::to_string(holder.pid()) + " (dump, role postgres, idle in transaction)";
  }
  void WaitUntilBuilding() const {
    WaitFor(
        "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE "
        "'waiting for old snapshots%')");
  }
};

TEST_F(IndexBuildsTest, AnInterruptedBuildIsFoundAndDoneAgain) {
  ASSERT_TRUE(Apply(Conninfo(), "1.1.0").report);
  PgClient holder = OldSnapshot();
  Applied cancelled;
  std::thread thread([&] { cancelled = Apply(Conninfo()); });
  WaitUntilBuilding();
  WaitFor(
      "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = "
      "'pgsteward:schema-watch' AND query LIKE '%pg_blocking_pids%' AND state = 'idle')");
  EXPECT_EQ(Value("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_create_index"), "t");
  thread.join();
  ASSERT_FALSE(cancelled.report);
  EXPECT_EQ(ToText(cancelled.report.error()),
            "1.2.0 idx_messages_created_id: canceling statement due to user request (SQLSTATE "
            "57014); hint: Somebody cancelled the statement, or it needs a longer --timeout.");
  EXPECT_THAT(cancelled.lines,
              ElementsAre("1.2.0 messages_archive.sql: ok", "1.2.0 guarded_triggers.sql: ok",
                          "1.2.0 activity_counts.sql: ok", "1.2.0 row_level_security.sql: ok",
                          "1.2.0 email_encryption.sql: ok", "note: waiting for " + Who(holder),
                          "1.2.0 idx_messages_created_id: failed"));
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 incomplete"));
  EXPECT_THAT(Summary(Check(Conninfo())->differences),
              ElementsAre("index messages.idx_messages_created_id differs"));
  const auto plan = Plan(Conninfo());
  ASSERT_EQ(plan->size(), 1U);
  EXPECT_EQ(plan->front().step, "1.2.0 idx_messages_created_id");
  EXPECT_EQ(plan->front().why, "invalid");
  EXPECT_EQ(plan->front().sql,
            "DROP INDEX CONCURRENTLY public.idx_messages_created_id;\n"
            "CREATE INDEX CONCURRENTLY idx_messages_created_id ON messages(created_at, id);\n");

  holder.Exec("COMMIT");
  const Applied again = Apply(Conninfo());
  ASSERT_TRUE(again.report) << ToText(again.report.error());
  EXPECT_EQ(again.report->versions, 0);
  EXPECT_EQ(again.report->indexes, 1);
  EXPECT_THAT(again.lines,
              ElementsAre("note: idx_messages_created_id is invalid, it is built again",
                          "1.2.0 idx_messages_created_id: ok"));
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 applied"));
}

Task<Result<ApplyReport>> OpenAndApply(ApplySession& session) {
  auto opened = co_await session.Open();
  if (!opened) co_return opened.error();
  co_return co_await ApplySchema(session, HubSchema(), "");
}

Task<void> InterruptWhenBuilding(ApplySession& session) {
  PgClient client = Postgres().Connect("hub");
  while (client.Value("SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE "
                      "'waiting for old snapshots%'") == "0") {
    co_await SleepUntil(SteadyNow() + 5ms);
  }
  session.Interrupt();
}

TEST_F(IndexBuildsTest, InterruptCancelsInTheServer) {
  ASSERT_TRUE(Apply(Conninfo(), "1.1.0").report);
  PgClient holder = OldSnapshot();
  Runtime runtime;
  RecordingListener listener;
  PgTarget target;
  target.conninfo = Conninfo();
  ApplySession session(runtime, target, QuickOptions(), listener);
  TaskGroup tasks(runtime);
  tasks.Spawn("interrupt", InterruptWhenBuilding(session));
  const auto report = RunCoro(runtime, OpenAndApply(session));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().message, "1.2.0 idx_messages_created_id: interrupted");
  EXPECT_TRUE(session.interrupted());
  RunCoro(runtime, session.Close());
  // Nothing goes on behind our back, and nobody holds the next one up.
  EXPECT_EQ(Value("SELECT count(*) FROM pg_stat_progress_create_index"), "0");
  holder.Exec("COMMIT");
  const Applied again = Apply(Conninfo());
  ASSERT_TRUE(again.report) << ToText(again.report.error());
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
}

TEST_F(IndexBuildsTest, InACompleteVersionInvalidIsRebuiltAndDroppedStaysDropped) {
  UseAppliedHub();
  Postgres().Exec(
      "UPDATE pg_index SET indisvalid = false WHERE indexrelid = "
      "'idx_users_email_active'::regclass; DROP INDEX idx_artifacts_user_created",
      "hub");
  const Applied applied = Apply(Conninfo());
  ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  EXPECT_THAT(applied.lines,
              ElementsAre("note: idx_users_email_active is invalid, it is built again",
                          "1.0.0 idx_users_email_active: ok"));
  EXPECT_THAT(Summary(Check(Conninfo())->differences),
              ElementsAre("index artifacts.idx_artifacts_user_created missing"));
}

TEST_F(IndexBuildsTest, AnIndexThatSomebodyElseBuildsIsLeftAlone) {
  UseAppliedHub();
  Postgres().Exec("DROP INDEX " + std::string(kIndex), "hub");
  PgClient holder = OldSnapshot();
  PgClient builder = Postgres().Connect("hub");
  builder.ExecAsync(
      "CREATE INDEX CONCURRENTLY idx_messages_created_id ON messages(created_at, id)");
  WaitUntilBuilding();
  const std::string oid = Value("SELECT 'idx_messages_created_id'::regclass::oid");
  ApplyOptions options = QuickOptions();
  // Real time passes: the wait is what is tested, and the watch must get to look meanwhile, on a
  // machine under load too.
  options.lock_timeout = 1500ms;
  options.lock_retries = 0;
  const Applied waited = Apply(Conninfo(), "", options);
  ASSERT_FALSE(waited.report);
  EXPECT_EQ(waited.report.error().message,
            "1.2.0 idx_messages_created_id: canceling statement due to lock timeout, held by pid " +
                std::to_string(builder.pid()) + " (role postgres, active)");
  holder.Exec("COMMIT");
  builder.Get();
  EXPECT_THAT(Apply(Conninfo()).lines, IsEmpty());
  EXPECT_EQ(Value("SELECT 'idx_messages_created_id'::regclass::oid"), oid);
}

}  // namespace

}  // namespace pgsteward
