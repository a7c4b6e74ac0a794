#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "tests/jobs/reaper/reaper_fixture.h"
#include "tests/support/spawn.h"

namespace pgsteward {
namespace {

// L7: the documented query ends every one of these.
TEST_F(ReaperTest, L7SparesTheExcluded) {
  PgClient dump = ConnectAs("app", "pg_dump");
  PgClient ours = ConnectAs("app", "pgsteward:job/vacuum_analyze");
  PgClient superuser = ConnectAs("chief");
  PgClient excluded_user = ConnectAs("batch");
  PgClient member = ConnectAs("etl_member");
  PgClient report = ConnectAs("app", "report 7");
  PgClient* const all[] = {&dump, &ours, &superuser, &excluded_user, &member, &report};
  for (PgClient* client : all) client->ExecAsync("SELECT pg_sleep(60)");
  PgClient tagged = ConnectAs("app");
  tagged.ExecAsync("/* no-kill */ SELECT pg_sleep(60)");
  PgClient elsewhere = ConnectAs("app", "web", "postgres");
  elsewhere.ExecAsync("SELECT pg_sleep(60)");
  PgClient victim = Sleeper();
  WaitForSessions(9,
                  "query LIKE '%SELECT pg_sleep(60)' AND state = 'active' AND "
                  "clock_timestamp() - query_start > '1 second'");
  const std::map<std::string, std::string> excluded = {{"exclude_users", "nobody\nbat*"},
                                                       {"exclude_roles", "etl?team"},
                                                       {"exclude_applications", "report *"}};
  auto options = Options("terminate", excluded);
  const RunResult run = Run(kReaper, options);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details, (Details{{"candidates", "1"},
                                         {"long_active/cancel/ended", "1"},
                                         {"spared/long_active/dump_or_pgsteward", "2"},
                                         {"spared/long_active/excluded_application", "1"},
                                         {"spared/long_active/excluded_role", "1"},
                                         {"spared/long_active/excluded_user", "1"},
                                         {"spared/long_active/no_kill_tag", "1"},
                                         {"spared/long_active/other_database", "1"},
                                         {"spared/long_active/superuser", "1"}}));
  EXPECT_EQ(Outcome(victim), "cancelled");
  for (PgClient* client : all) EXPECT_TRUE(Runs(*client));
  EXPECT_TRUE(Runs(tagged));
  EXPECT_TRUE(Runs(elsewhere));

  options["all_databases"] = "true";
  options["exclude_databases"] = "postgre?";
  const RunResult spared = Run(kReaper, options);
  EXPECT_EQ(spared.report.details.at("spared/long_active/excluded_database"), "1");
  options["exclude_databases"] = "postgre";
  EXPECT_EQ(Run(kReaper, options).report.details.at("long_active/cancel/ended"), "1");
  EXPECT_EQ(Outcome(elsewhere), "cancelled");
}

TEST_F(ReaperTest, L7SparesAWalsenderThatStreams) {
  std::string directory = Postgres().socket_dir() + "/received.XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string conninfo = Postgres().Conninfo("replication") + " user=chief";
  const pid_t receiver =
      Spawn({Postgres().binaries() + "/pg_receivewal", "-D", directory, "-n", "-d", conninfo},
            {.input = -1, .output = directory + "/output"});
  const std::string streams =
      "backend_type = 'walsender' AND state = 'active' AND clock_timestamp() - query_start > '1 "
      "second' AND query LIKE 'START_REPLICATION%'";
  WaitForSessions(1, streams);
  Exec("ALTER ROLE chief NOSUPERUSER REPLICATION");
  // Now nothing but its kind protects it; it has no database.
  const RunResult run = Run(kReaper, Options("terminate", {{"all_databases", "true"}}));
  Exec("ALTER ROLE chief SUPERUSER");
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details,
            (Details{{"candidates", "0"}, {"spared/long_active/not_a_client", "1"}}));
  WaitForSessions(1, streams);
  ::kill(receiver, SIGTERM);
  ASSERT_EQ(::waitpid(receiver, nullptr, 0), receiver);
  WaitForSessions(0, streams);
}

TEST_F(ReaperTest, L7SparesAutovacuum) {
  // A worker that does one page and sleeps.
  Exec(
      "CREATE TABLE public.churned (id int) WITH (autovacuum_vacuum_threshold = 1, "
      "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, "
      "autovacuum_vacuum_cost_limit = 1);"
      "INSERT INTO public.churned SELECT generate_series(1, 50000); DELETE FROM public.churned");
  Exec("ALTER SYSTEM SET autovacuum_naptime = 1");
  Exec("ALTER SYSTEM SET autovacuum = on");
  Exec("SELECT pg_reload_conf()");
  const std::string works =
      "backend_type = 'autovacuum worker' AND state = 'active' AND clock_timestamp() - query_start "
      "> '1 second' AND query LIKE '%public.churned%'";
  WaitForSessions(1, works);
  const RunResult run = Run(kReaper, Options("terminate"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("candidates"), "0");
  EXPECT_EQ(run.report.details.count("spared/long_active/not_a_client"), 1U);
  WaitForSessions(1, works);
  Exec("ALTER SYSTEM RESET ALL");
  Exec("SELECT pg_reload_conf()");
  Postgres().TerminateBackends("backend_type = 'autovacuum worker'");
}

}  // namespace
}  // namespace pgsteward
