// The collectors that look at sessions and locks.
#include <gmock/gmock.h>

#include <map>

#include "tests/collectors/collector_fixture.h"

namespace pgsteward {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class Sessions : public CollectorTest {
 protected:
  // Only the lines about this test's database.
  std::vector<std::string> Own(std::vector<std::string> lines) const {
    std::erase_if(lines, [&](const std::string& line) {
      return line.find("datname=\"" + hub_ + "\"") == std::string::npos;
    });
    return lines;
  }
  std::string Activity(const std::string& state, const std::string& usename,
                       const std::string& application, const std::string& backend_type,
                       const std::string& wait_event_type, const std::string& wait_event) const {
    return "{datname=\"" + hub_ + "\",state=\"" + state + "\",usename=\"" + usename +
           "\",application_name=\"" + application + "\",backend_type=\"" + backend_type +
           "\",wait_event_type=\"" + wait_event_type + "\",wait_event=\"" + wait_event + "\"} ";
  }
};

TEST_F(Sessions, ActivityIsZeroFilledAndLeavesOutTheOneThatMeasures) {
  std::vector<std::string> expected;
  for (const char* state :
       {"active", "idle", "idle in transaction", "idle in transaction (aborted)",
        "fastpath function call", "disabled"}) {
    expected.push_back("pg_stat_activity_count" + Activity(state, "", "", "", "", "") + "0");
  }
  EXPECT_THAT(Own(Lines("stat_activity", "pg_stat_activity_count")),
              ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(Sessions, ActivitySeesAnIdleTransaction) {
  PgClient writer = Connect("writer");
  writer.Exec("BEGIN");
  const std::string labels = Activity("idle in transaction", "postgres", "writer", "client backend",
                                      "Client", "ClientRead");
  WaitFor(
      "SELECT count(*) = 1 FROM pg_stat_activity "
      "WHERE application_name = 'writer' AND wait_event = 'ClientRead'");
  WaitFor(
      "SELECT now() - xact_start > interval '50 ms' FROM pg_stat_activity "
      "WHERE application_name = 'writer'");
  const auto families = Run("stat_activity");
  ASSERT_TRUE(families.has_value());
  const auto counts = Own(LinesOf(*families, "pg_stat_activity_count"));
  EXPECT_THAT(counts, Contains("pg_stat_activity_count" + labels + "1"));
  EXPECT_THAT(counts,
              Contains("pg_stat_activity_count" + Activity("active", "", "", "", "", "") + "0"));
  EXPECT_EQ(counts.size(), 6U);
  for (const std::string& line : Own(LinesOf(*families, "pg_stat_activity_max_tx_duration"))) {
    const double age = std::stod(line.substr(line.rfind(' ')));
    if (line.find("writer") == std::string::npos) {
      EXPECT_EQ(age, 0) << line;
    } else {
      EXPECT_GT(age, 0.05) << line;
      EXPECT_LT(age, 60) << line;
    }
  }
}

TEST_F(Sessions, ActivityOfManyApplicationsIsFolded) {
  std::vector<PgClient> clients;
  for (int i = 0; i < 105; ++i) clients.push_back(Connect("app" + std::to_string(1000 + i)));
  clients.push_back(Connect("zz_pool"));
  clients.push_back(Connect("zz_pool"));
  WaitFor(
      "SELECT count(*) = 107 FROM pg_stat_activity "
      "WHERE state = 'idle' AND wait_event = 'ClientRead'");
  const auto lines = Own(Lines("stat_activity", "pg_stat_activity_count"));
  const auto idle = [&](const std::string& application) {
    return "pg_stat_activity_count" +
           Activity("idle", "postgres", application, "client backend", "Client", "ClientRead");
  };
  // The 100 largest: two sessions of the pool, then 99 with one each, by name.
  EXPECT_THAT(lines, Contains(idle("zz_pool") + "2"));
  EXPECT_THAT(lines, Contains(idle("app1000") + "1"));
  EXPECT_THAT(lines, Contains(idle("app1098") + "1"));
  EXPECT_THAT(lines, Not(Contains(idle("app1099") + "1")));
  EXPECT_THAT(
      lines,
      Contains("pg_stat_activity_count" +
               Activity("idle", "other", "other", "client backend", "other", "other") + "6"));
  EXPECT_EQ(lines.size(), 100U + 1 + 5);  // and the other five states
}

TEST_F(Sessions, ActivityThatTheRoleMayNotSeeIsUnknownAndNotNothing) {
  PgClient writer = Connect("writer");
  writer.Exec("BEGIN");
  EXPECT_THAT(Own(Lines("stat_activity", "pg_stat_activity_count", "plain")),
              Contains("pg_stat_activity_count" +
                       Activity("unknown", "postgres", "writer", "", "", "") + "1"));
}

TEST_F(Sessions, ConnectionsByState) {
  const int reserved = ServerMajor() >= 16 ? std::stoi(Value("SHOW reserved_connections")) : 0;
  PgClient writer = Connect("writer");
  writer.Exec("BEGIN");
  PgClient idle = Connect("idle");
  WaitFor("SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'ClientRead'");
  const auto families = Run("connections");
  ASSERT_TRUE(families.has_value());
  EXPECT_THAT(LinesOf(*families, "pg_connections"),
              ::testing::UnorderedElementsAre(
                  "pg_connections{state=\"active\"} 1", "pg_connections{state=\"idle\"} 1",
                  "pg_connections{state=\"idle in transaction\"} 1",
                  "pg_connections{state=\"idle in transaction (aborted)\"} 0",
                  "pg_connections{state=\"fastpath function call\"} 0",
                  "pg_connections{state=\"disabled\"} 0", "pg_connections{state=\"unknown\"} 0"));
  EXPECT_THAT(LinesOf(*families, "pg_connections_limit"),
              ElementsAre("pg_connections_limit " + std::to_string(160 - 3 - reserved)));

  const auto hidden = Lines("connections", "pg_connections", "plain");
  EXPECT_THAT(hidden, Contains("pg_connections{state=\"active\"} 1"));
  EXPECT_THAT(hidden, Contains("pg_connections{state=\"unknown\"} 2"));
  EXPECT_THAT(hidden, Contains("pg_connections{state=\"idle\"} 0"));
}

TEST_F(Sessions, TheLimitIsWhereOrdinaryClientsAreRefused) {
  const std::string limit = Lines("connections", "pg_connections_limit").at(0);
  const int usable = std::stoi(limit.substr(limit.rfind(' ')));
  PgClient super = Connect("super");
  const auto only =
      "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'";
  while (super.Value(only) != "t") continue;  // what just closed still holds its slot
  std::vector<PgClient> clients;
  const auto connect = [&] {
    clients.push_back(PgClient(Postgres().Conninfo(hub_) + " user=plain"));
  };
  for (int i = 1; i < usable; ++i) ASSERT_NO_THROW(connect()) << i;
  EXPECT_ANY_THROW(connect());
  EXPECT_NO_THROW(Connect("another superuser"));
}

std::map<std::string, double> Gauges(const Families& families) {
  std::map<std::string, double> values;
  for (const auto& family : families) values[family.name] = family.metric.at(0).gauge.value;
  return values;
}

TEST_F(Sessions, NothingRunsLongOnAQuietServer) {
  const auto families = Run("long_running");
  ASSERT_TRUE(families.has_value());
  EXPECT_EQ(Gauges(*families),
            (std::map<std::string, double>{{"pg_query_oldest_seconds", 0},
                                           {"pg_xact_oldest_seconds", 0},
                                           {"pg_idle_in_tx_oldest_seconds", 0},
                                           {"pg_long_running_queries", 0},
                                           {"pg_long_running_queries_threshold_seconds", 300}}));
}

TEST_F(Sessions, LongRunningCountsStatementsAndIdleTransactionsApart) {
  PgClient sleeper = Connect("sleeper");
  sleeper.ExecAsync("SELECT pg_sleep(60)");
  WaitFor("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
  PgClient holder = Connect("holder");
  holder.Exec("BEGIN");
  PgClient receiver(Postgres().Conninfo() + " replication=true application_name=receiver");
  receiver.ExecAsync("START_REPLICATION " + Value("SELECT pg_current_wal_lsn()"));
  // The oldest of each kind is now older than 50 ms, and the idle one younger than the statement.
  WaitFor(
      "SELECT count(*) = 2 FROM pg_stat_activity WHERE now() - state_change > '50 ms' "
      "AND application_name IN ('sleeper', 'holder')");
  options_.long_query_threshold = std::chrono::seconds(0);
  const auto above = Run("long_running");
  options_.long_query_threshold = std::chrono::seconds(300);
  const auto below = Run("long_running");
  Exec("SELECT pg_terminate_backend(" + std::to_string(sleeper.pid()) + ")");

  ASSERT_TRUE(above.has_value());
  auto values = Gauges(*above);
  EXPECT_EQ(values["pg_long_running_queries"], 1);
  EXPECT_EQ(values["pg_long_running_queries_threshold_seconds"], 0);
  EXPECT_GT(values["pg_query_oldest_seconds"], values["pg_idle_in_tx_oldest_seconds"]);
  EXPECT_GT(values["pg_idle_in_tx_oldest_seconds"], 0.05);
  EXPECT_GE(values["pg_xact_oldest_seconds"], values["pg_query_oldest_seconds"]);
  EXPECT_LT(values["pg_xact_oldest_seconds"], 60);
  ASSERT_TRUE(below.has_value());
  EXPECT_EQ(Gauges(*below)["pg_long_running_queries"], 0);
}

TEST_F(Sessions, LongRunningWithoutTheRightToSeeIsAnError) {
  const auto refused = Run("long_running", "plain");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kQueryFailed);
  EXPECT_EQ(refused.error().sqlstate, "42501");
  EXPECT_EQ(refused.error().message, "the role may not see the sessions of other roles");
}

TEST_F(Sessions, LocksHeldAndWaitedFor) {
  PgClient holder = Connect("holder");
  holder.Exec("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE");
  PgClient waiter = Connect("waiter");
  waiter.ExecAsync("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE");
  PgClient reader = Connect("reader");
  reader.ExecAsync("BEGIN; LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE");
  WaitFor("SELECT count(*) = 2 FROM pg_locks WHERE NOT granted");
  const auto families = Run("locks", "plain");
  holder.Exec("COMMIT");

  ASSERT_TRUE(families.has_value());
  const auto locks = LinesOf(*families, "pg_locks");
  EXPECT_EQ(locks.size(), 18U);
  EXPECT_THAT(locks, Contains("pg_locks{mode=\"accessexclusivelock\",granted=\"true\"} 1"));
  EXPECT_THAT(locks, Contains("pg_locks{mode=\"accessexclusivelock\",granted=\"false\"} 1"));
  EXPECT_THAT(locks, Contains("pg_locks{mode=\"sharerowexclusivelock\",granted=\"true\"} 0"));
  EXPECT_THAT(locks, Contains("pg_locks{mode=\"sharerowexclusivelock\",granted=\"false\"} 1"));
  EXPECT_THAT(locks, Contains("pg_locks{mode=\"sireadlock\",granted=\"true\"} 0"));

  const auto counts = LinesOf(*families, "pg_locks_count");
  EXPECT_EQ(std::to_string(counts.size()), Value("SELECT 9 * count(*) FROM pg_database"));
  const auto count = [&](const std::string& datname, const std::string& mode, int value) {
    return "pg_locks_count{datname=\"" + datname + "\",mode=\"" + mode + "\"} " +
           std::to_string(value);
  };
  EXPECT_THAT(counts, Contains(count(hub_, "accessexclusivelock", 2)));
  EXPECT_THAT(counts, Contains(count(hub_, "sharerowexclusivelock", 1)));
  EXPECT_THAT(counts, Contains(count("template0", "accesssharelock", 0)));
}

TEST_F(Sessions, LocksOnSharedObjectsCountForTheServer) {
  PgClient holder = Connect("holder");
  holder.Exec("BEGIN; LOCK TABLE pg_authid IN SHARE MODE");
  const auto families = Run("locks");
  ASSERT_TRUE(families.has_value());
  EXPECT_THAT(LinesOf(*families, "pg_locks"),
              Contains("pg_locks{mode=\"sharelock\",granted=\"true\"} 1"));
  EXPECT_THAT(LinesOf(*families, "pg_locks_count"),
              Contains("pg_locks_count{datname=\"" + hub_ + "\",mode=\"sharelock\"} 0"));
}

}  // namespace
}  // namespace pgsteward
