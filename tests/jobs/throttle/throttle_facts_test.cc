// Each gate against a real server: closes, and opens again.
#include "jobs/throttle/throttle_facts.h"

#include <gtest/gtest.h>

#include <thread>

#include "jobs/job_session.h"
#include "tests/support/private_postgres.h"
#include "tests/support/private_standby.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

[[maybe_unused]] const auto* const kPostgres =
    ::testing::AddGlobalTestEnvironment(new PostgresEnvironment({.settings = {"archive_mode=on"}}));

// Every gate off.
ThrottlePolicy Nothing() {
  return {.max_replica_lag = {},
          .max_replica_lag_bytes = {},
          .max_slot_retained_bytes = {},
          .max_archiver_backlog = {},
          .max_active_sessions = {},
          .max_xmin_age = {},
          .max_xmin_xids = {},
          .own_victims = false,
          .running_dump = false,
          .vacuum_running = false};
}

class ThrottleFactsTest : public testing::Test {
 protected:
  void SetUp() override {
    Postgres().Exec("CREATE TABLE IF NOT EXISTS public.t (n int); TRUNCATE public.t");
  }
  void Open(const std::string& user = "postgres") {
    PgTarget target;
    target.conninfo = Postgres().Conninfo() + " user=" + user;
    target.part = "job/watch";
    db_ = std::make_unique<JobSession>(runtime_, target);
    const auto opened = RunCoro(runtime_, db_->Open());
    if (!opened) throw std::runtime_error(ToText(opened.error()));
  }
  Result<ThrottleFacts> Read(const ThrottlePolicy& policy) {
    if (!db_) Open();
    return RunCoro(runtime_, ReadThrottleFacts(*db_, policy, "public.t"));
  }
  // "reason: text" of the first closed gate, empty while all are open; or the error.
  std::string Closed(const ThrottlePolicy& policy) {
    const auto facts = Read(policy);
    if (!facts) return ToText(facts.error());
    const auto checked = CheckThrottle(*facts);
    if (!checked) return ToText(checked.error());
    const auto closed = ClosedGates(policy, *facts);
    return closed.empty() ? "" : std::string(closed[0].reason) + ": " + closed[0].text;
  }
  // What Closed() says when it says `text`, or after 20 s.
  std::string Becomes(const ThrottlePolicy& policy, const std::string& text) {
    const SteadyTime deadline = SteadyNow() + 20s;
    std::string closed = Closed(policy);
    while (closed != text && SteadyNow() < deadline) {
      std::this_thread::sleep_for(5ms);
      closed = Closed(policy);
    }
    return closed;
  }
  // A session whose application_name says who it is.
  static PgClient As(const std::string& name) {
    return PgClient(Postgres().Conninfo() + " application_name=" + name);
  }

  Runtime runtime_;
  std::unique_ptr<JobSession> db_;
};

TEST_F(ThrottleFactsTest, AQuietServerClosesNothing) {
  EXPECT_EQ(Closed(ThrottlePolicy()), "");
  EXPECT_EQ(Closed(Nothing()), "");
}

// ---- replication ----

TEST_F(ThrottleFactsTest, AStandbyThatDoesNotReplay) {
  const PrivateStandby standby(Postgres(), {.name = "second"});
  ThrottlePolicy policy = Nothing();
  policy.max_replica_lag_bytes = 1 << 20;
  EXPECT_EQ(Becomes(policy, ""), "");
  standby.Exec("SELECT pg_wal_replay_pause()");
  Postgres().Exec("INSERT INTO public.t SELECT generate_series(1, 100000)");
  std::string closed = Closed(policy);
  const SteadyTime deadline = SteadyNow() + 20s;
  while (closed.empty() && SteadyNow() < deadline) closed = Closed(policy);
  EXPECT_EQ(closed.substr(0, 41), "replica_lag: standby second is behind by ") << closed;
  standby.Exec("SELECT pg_wal_replay_resume()");
  EXPECT_EQ(Becomes(policy, ""), "");
}

TEST_F(ThrottleFactsTest, AStandbyThatReplaysLate) {
  const PrivateStandby standby(Postgres(),
                               {.name = "late", .settings = {"recovery_min_apply_delay=1500ms"}});
  ThrottlePolicy policy = Nothing();
  policy.max_replica_lag = 0s;
  PgClient writer = Postgres().Connect();
  std::string closed;
  const SteadyTime deadline = SteadyNow() + 20s;
  const std::string late = "replica_lag: standby late replays late by 1 s, more than 0 s";
  while (closed != late && SteadyNow() < deadline) {
    writer.Exec("INSERT INTO public.t VALUES (1)");
    std::this_thread::sleep_for(20ms);
    closed = Closed(policy);
  }
  EXPECT_EQ(closed, late);
  policy.max_replica_lag = 1h;
  EXPECT_EQ(Closed(policy), "");
}

TEST_F(ThrottleFactsTest, ASlotThatKeepsWal) {
  Postgres().Exec("CHECKPOINT");  // the slot keeps everything from there
  Postgres().Exec("SELECT pg_create_physical_replication_slot('left_behind', true)");
  ThrottlePolicy policy = Nothing();
  policy.max_slot_retained_bytes = 15 << 20;
  EXPECT_EQ(Closed(policy), "");
  for (int i = 0; i < 2; ++i) {
    Postgres().Exec("INSERT INTO public.t VALUES (1); SELECT pg_switch_wal()");
  }
  const std::string keeps = "slot_backlog: replication slot left_behind keeps ";
  EXPECT_EQ(Closed(policy).substr(0, keeps.size()), keeps);

  // More than the slot may keep, and not yet removed by a checkpoint.
  Postgres().Exec("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'");
  Postgres().Exec("SELECT pg_reload_conf()");
  policy.max_slot_retained_bytes = 1LL << 40;
  EXPECT_EQ(Becomes(policy, "slot_backlog: replication slot left_behind is about to lose WAL"),
            "slot_backlog: replication slot left_behind is about to lose WAL");
  Postgres().Exec("CHECKPOINT");
  EXPECT_EQ(Postgres().Value("SELECT wal_status FROM pg_replication_slots"), "lost");
  EXPECT_EQ(Closed(policy), "") << "nothing to wait for any more";

  Postgres().Exec("SELECT pg_drop_replication_slot('left_behind')");
  Postgres().Exec("ALTER SYSTEM RESET max_slot_wal_keep_size");
  Postgres().Exec("SELECT pg_reload_conf()");
  policy.max_slot_retained_bytes = 15 << 20;
  EXPECT_EQ(Closed(policy), "");
}

TEST_F(ThrottleFactsTest, AnArchiverThatDoesNotKeepUp) {
  Postgres().Exec("ALTER SYSTEM SET archive_command = 'true'");
  Postgres().Exec("SELECT pg_reload_conf()");
  ThrottlePolicy policy = Nothing();
  policy.max_archiver_backlog = 1;
  EXPECT_EQ(Becomes(policy, ""), "");
  Postgres().Exec("ALTER SYSTEM SET archive_command = ''");
  Postgres().Exec("SELECT pg_reload_conf()");
  for (int i = 0; i < 3; ++i) {
    Postgres().Exec("INSERT INTO public.t VALUES (1); SELECT pg_switch_wal()");
  }
  const std::string backlog = "archiver_backlog: 3 WAL files wait to be archived, more than 1";
  EXPECT_EQ(Becomes(policy, backlog), backlog);
  Postgres().Exec("ALTER SYSTEM SET archive_command = 'true'");
  Postgres().Exec("SELECT pg_reload_conf()");
  EXPECT_EQ(Becomes(policy, ""), "");
}

// ---- sessions ----

TEST_F(ThrottleFactsTest, ActiveClients) {
  ThrottlePolicy policy = Nothing();
  policy.max_active_sessions = 1;
  PgClient one = As("one");
  PgClient two = As("two");
  PgClient ours = As("pgsteward:collector");
  for (PgClient* client : {&one, &two, &ours}) {
    client->ExecAsync("SELECT pg_advisory_xact_lock(1), pg_sleep(30)");
  }
  const std::string closed = "active_sessions: 2 sessions are active, more than 1";
  EXPECT_EQ(Becomes(policy, closed), closed);
  Postgres().TerminateBackends("pid = " + std::to_string(two.pid()));
  EXPECT_EQ(Becomes(policy, ""), "");
  Postgres().TerminateBackends("query LIKE '%pg_sleep(30)' AND pid <> pg_backend_pid()");
}

TEST_F(ThrottleFactsTest, AnOldTransaction) {
  ThrottlePolicy policy = Nothing();
  policy.max_xmin_age = 1s;
  PgClient idle = Postgres().Connect();
  idle.Exec("BEGIN; SELECT 1");  // holds no snapshot, so nothing back
  PgClient client = Postgres().Connect();
  client.Exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  // Older than a second: that is the limit.
  std::this_thread::sleep_for(1100ms);
  EXPECT_EQ(Closed(policy),
            "old_xmin: the oldest transaction has been open for 1 s, more than 1 s");
  client.Exec("COMMIT");
  EXPECT_EQ(Becomes(policy, ""), "");
  client.Exec("BEGIN; INSERT INTO public.t VALUES (1); PREPARE TRANSACTION 'forgotten'");
  std::this_thread::sleep_for(1100ms);
  EXPECT_EQ(Closed(policy),
            "old_xmin: the oldest transaction has been open for 1 s, more than 1 s");
  client.Exec("ROLLBACK PREPARED 'forgotten'");
  EXPECT_EQ(Becomes(policy, ""), "");
}

TEST_F(ThrottleFactsTest, ATransactionOfLongAgo) {
  ThrottlePolicy policy = Nothing();
  policy.max_xmin_xids = 5;
  PgClient client = Postgres().Connect();
  const auto spend = [] {
    for (int i = 0; i < 6; ++i) Postgres().Exec("SELECT txid_current()");
  };
  // The one holds a snapshot, the other has a number of its own, which counts as well.
  for (const auto& [begin, age] :
       {std::pair("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", "6"),
        {"BEGIN; INSERT INTO public.t VALUES (1)", "7"}}) {
    EXPECT_EQ(Becomes(policy, ""), "");
    client.Exec(begin);
    spend();
    EXPECT_EQ(Closed(policy),
              std::string("old_xmin: ") + age +
                  " transactions have begun since the oldest that still counts, more than 5");
    client.Exec("COMMIT");
    EXPECT_EQ(Becomes(policy, ""), "");
  }
}

TEST_F(ThrottleFactsTest, ThoseWhoWaitForAJob) {
  ThrottlePolicy policy = Nothing();
  policy.own_victims = true;
  PgClient stranger = As("psql");
  PgClient job = As("pgsteward:job/archive_messages");
  PgClient victim = As("app");
  PgClient other_job = As("pgsteward:job/other");
  stranger.Exec("BEGIN; SELECT pg_advisory_xact_lock(1)");
  job.Exec("BEGIN; SELECT pg_advisory_xact_lock(2)");
  const auto waits = [](const PgClient& client) {
    const std::string sql = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " +
                            std::to_string(client.pid());
    const SteadyTime deadline = SteadyNow() + 10s;
    while (Postgres().Value(sql) != "t" && SteadyNow() < deadline) std::this_thread::sleep_for(2ms);
  };
  victim.ExecAsync("SELECT pg_advisory_xact_lock(1)");
  waits(victim);
  other_job.ExecAsync("SELECT pg_advisory_xact_lock(2)");
  waits(other_job);
  EXPECT_EQ(Closed(policy), "") << "for a stranger, and a job for a job";
  stranger.Exec("COMMIT");
  victim.Get();
  victim.ExecAsync("SELECT pg_advisory_xact_lock(2)");
  waits(victim);
  EXPECT_EQ(Closed(policy), "own_victims: 1 sessions wait for locks of a job");
  job.Exec("COMMIT");
  victim.Get();
  EXPECT_EQ(Becomes(policy, ""), "");
}

TEST_F(ThrottleFactsTest, ADumpOfThisDatabase) {
  ThrottlePolicy policy = Nothing();
  policy.running_dump = true;
  Postgres().CreateDatabase("elsewhere");
  PgClient other(Postgres().Conninfo("elsewhere") + " application_name=pg_dump");
  EXPECT_EQ(Closed(policy), "") << "of another one";
  PgClient dump = As("pg_dump");
  EXPECT_EQ(Closed(policy), "running_dump: pg_dump reads this database");
  dump.Close();
  EXPECT_EQ(Becomes(policy, ""), "");
}

TEST_F(ThrottleFactsTest, AVacuumOfTheTable) {
  ThrottlePolicy policy = Nothing();
  policy.vacuum_running = true;
  Postgres().Exec(
      "DROP TABLE IF EXISTS public.other; CREATE TABLE public.other AS SELECT 1 AS n;"
      "INSERT INTO public.t SELECT generate_series(1, 20000)");
  // So slow that it is seen: it sleeps 100 ms after each page.
  const std::string slow =
      "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1; SET vacuum_cost_page_hit = 100";
  PgClient vacuum = Postgres().Connect();
  vacuum.Exec(slow);
  vacuum.ExecAsync("VACUUM public.t");
  EXPECT_EQ(Becomes(policy, "vacuum_running: the table is being vacuumed"),
            "vacuum_running: the table is being vacuumed");
  const auto other = RunCoro(runtime_, ReadThrottleFacts(*db_, policy, "public.other"));
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->vacuum_running);
  Postgres().TerminateBackends("pid = " + std::to_string(vacuum.pid()));
  EXPECT_EQ(Becomes(policy, ""), "");
}

TEST_F(ThrottleFactsTest, AVacuumOfAPartition) {
  ThrottlePolicy policy = Nothing();
  policy.vacuum_running = true;
  Postgres().Exec(
      "CREATE TABLE public.parts (n int) PARTITION BY RANGE (n);"
      "CREATE TABLE public.part PARTITION OF public.parts DEFAULT;"
      "INSERT INTO public.parts SELECT generate_series(1, 20000)");
  PgClient vacuum = Postgres().Connect();
  vacuum.Exec("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1");
  vacuum.Exec("SET vacuum_cost_page_hit = 100");
  vacuum.ExecAsync("VACUUM public.part");
  Open();
  bool running = false;
  const SteadyTime deadline = SteadyNow() + 10s;
  while (!running && SteadyNow() < deadline) {
    running = RunCoro(runtime_, ReadThrottleFacts(*db_, policy, "public.parts"))->vacuum_running;
  }
  EXPECT_TRUE(running);
  Postgres().TerminateBackends("pid = " + std::to_string(vacuum.pid()));
  EXPECT_EQ(Closed(policy), "");
}

// ---- the operator's query ----

TEST_F(ThrottleFactsTest, TheQuery) {
  ThrottlePolicy policy = Nothing();
  policy.query = "SELECT count(*) > 2 FROM public.t";
  EXPECT_EQ(Closed(policy), "");
  Postgres().Exec("INSERT INTO public.t VALUES (1), (2), (3)");
  EXPECT_EQ(Closed(policy), "query: throttle_query gives true");
  Postgres().Exec("TRUNCATE public.t");
  EXPECT_EQ(Closed(policy), "");
  for (const char* nothing : {"SELECT NULL::boolean", "SELECT true WHERE false"}) {
    policy.query = nothing;
    EXPECT_EQ(Closed(policy), "") << nothing;
  }
}

TEST_F(ThrottleFactsTest, AQueryThatIsWrongIsNoReasonToHoldButFailsTheCheck) {
  ThrottlePolicy policy = Nothing();
  for (const auto& [query, error] :
       {std::pair("SELECT 42",
                  "throttle gates cannot be read (query): throttle_query does not give a boolean; "
                  "hint: Write a SELECT whose first column is a condition: SELECT count(*) > 100 "
                  "FROM ..."),
        {"SELECT true; SELECT false",
         "throttle gates cannot be read (query): cannot insert multiple commands into a prepared "
         "statement (SQLSTATE 42601)"},
        {"SELECT count(*) > 2 FROM t",
         "throttle gates cannot be read (query): relation \"t\" does not exist (SQLSTATE "
         "42P01)"}}) {
    policy.query = query;
    EXPECT_EQ(Closed(policy), error);
    EXPECT_TRUE(ClosedGates(policy, *Read(policy)).empty());
  }
  policy.query = "SELECT false";
  EXPECT_EQ(Closed(policy), "");
}

// ---- privileges, faults ----

TEST_F(ThrottleFactsTest, WithoutPgMonitorTheCheckSaysSo) {
  Postgres().Exec(
      "DO $$BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$");
  Open("plain");
  EXPECT_EQ(Closed(ThrottlePolicy()),
            "throttle gates cannot be read (replica_lag, active_sessions, old_xmin, own_victims, "
            "running_dump, vacuum_running, archiver_backlog): the role does not see other sessions "
            "(SQLSTATE 42501); hint: Grant pg_monitor to the role, or switch these gates off.");
  ThrottlePolicy policy = Nothing();
  policy.max_slot_retained_bytes = 1;
  EXPECT_EQ(Closed(policy), "") << "slots are seen by everybody";
  Postgres().Exec("GRANT pg_monitor TO plain");
  EXPECT_EQ(Closed(ThrottlePolicy()), "");
  Postgres().Exec("REVOKE pg_monitor FROM plain");
}

TEST_F(ThrottleFactsTest, AStandbyCanBeAskedToo) {
  const PrivateStandby standby(Postgres());
  standby.CatchUp(Postgres());
  PgTarget target;
  target.conninfo = standby.Conninfo();
  target.part = "job/watch";
  PgSession session(runtime_, "standby", target);
  TaskGroup group(runtime_);
  group.Spawn("session", session.Run());
  const SteadyTime deadline = SteadyNow() + 5s;
  while (!session.up() && SteadyNow() < deadline) RunCoro(runtime_, SleepUntil(SteadyNow() + 2ms));
  const auto facts = RunCoro(runtime_, ReadThrottleFacts(session, ThrottlePolicy(), "public.t"));
  group.Stop();
  RunCoro(runtime_, group.Join(SteadyNow() + 2s));
  ASSERT_TRUE(facts) << ToText(facts.error());
  EXPECT_TRUE(CheckThrottle(*facts));
  standby.Promote();
  EXPECT_EQ(standby.Value("SELECT pg_is_in_recovery()"), "f");
  EXPECT_EQ(standby.Value("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"), "00000002");
  standby.Exec("INSERT INTO public.t VALUES (1)");
}

TEST_F(ThrottleFactsTest, ALostConnectionIsAnError) {
  ThrottlePolicy policy = Nothing();
  policy.query = "SELECT false";
  EXPECT_EQ(Closed(policy), "");
  Postgres().TerminateBackends("application_name = 'pgsteward:job/watch'");
  const auto lost = Read(policy);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kConnectionLost);
  Open();
  EXPECT_EQ(Closed(policy), "");
}

}  // namespace
}  // namespace pgsteward
