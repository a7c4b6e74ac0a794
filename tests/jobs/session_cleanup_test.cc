#include <gmock/gmock.h>

#include <thread>
#include <utility>

#include "tests/jobs/job_fixture.h"

namespace pgsteward {

extern const JobSpec kSessionCleanup;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kCutoffText[] =
    "SELECT ((date_trunc('day', now() AT TIME ZONE 'UTC') - interval '30 days') AT TIME ZONE 'UTC')"
    "::text";

class SessionCleanupTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    user_ = "pgsteward_jobs";
    Exec(
        "INSERT INTO users (id, email, first_name, last_name) SELECT "
        "('00000000-0000-0000-0000-00000000000' || n)::uuid, n || '@example.org', 'A', 'B' "
        "FROM generate_series(1, 2) AS n");
  }
  // The name is kept in user_agent.
  void Add(const std::string& name, const std::string& active, const std::string& last_activity,
           int user = 1, int count = 1) {
    Exec(
        "INSERT INTO sessions (user_id, user_agent, active, last_activity) SELECT "
        "'00000000-0000-0000-0000-00000000000" +
        std::to_string(user) + "', '" + name + "', " + active + ", " + last_activity +
        " FROM generate_series(1, " + std::to_string(count) + ") AS n");
  }
  std::string Left() const {
    return Value(
        "SELECT string_agg(user_agent || coalesce(' ' || active, ''), ', ' "
        "ORDER BY user_agent) FROM sessions");
  }
  // Three that are due, one that is not.
  void AddSome() {
    Add("due", "false", "now() - interval '40 days'", 1, 3);
    Add("young", "false", "now() - interval '3 days'");
  }
};

TEST_F(SessionCleanupTest, DeletesInactiveOnesOfBeforeTheCutoff) {
  const std::string cutoff = Value(kCutoffText);
  Add("at the cut-off", "false", "timestamptz '" + cutoff + "'");
  Add("before", "false", "timestamptz '" + cutoff + "' - interval '1 us'");
  Add("active", "true", "timestamptz '" + cutoff + "' - interval '1 us'");
  Add("long ago", "false", "'-infinity'");
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 2);
  EXPECT_EQ(run.report.cutoff, cutoff);
  EXPECT_EQ(Left(), "active true, at the cut-off false");
  EXPECT_EQ(Run(kSessionCleanup).report.rows_done, 0);
}

// Defect A8: CURRENT_DATE is another moment in each session's time zone.
TEST_F(SessionCleanupTest, A8TheSessionsTimeZoneDoesNotMatter) {
  for (const char* zone : {"Pacific/Kiritimati", "UTC", "Etc/GMT+12"}) {
    Exec("DELETE FROM sessions");
    Add("hour", "false",
        std::string("(") + kCutoffText + ")::timestamptz + (n - 13) * interval '1 h'", 1, 25);
    Exec(std::string("ALTER ROLE pgsteward_jobs SET TimeZone = '") + zone + "'");
    EXPECT_EQ(Run(kSessionCleanup).report.rows_done, 12) << zone;
  }
  Exec("ALTER ROLE pgsteward_jobs RESET TimeZone");
  Exec("DELETE FROM sessions");
  Add("hour", "false",
      std::string("(") + kCutoffText + ")::timestamptz + (n - 13) * interval '1 h'", 1, 25);
  time_zone_ = "Etc/GMT+12";
  EXPECT_NE(Run(kSessionCleanup).report.rows_done, 12);
}

// Defect A10: what never matches is kept, and told.
TEST_F(SessionCleanupTest, A10NullsAndActiveOnesAreKeptAndCounted) {
  Add("no activity", "false", "NULL");
  Add("no state", "NULL", "now() - interval '50 days'", 1, 2);
  Add("still active", "true", "'2020-01-01'", 1, 3);
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 0);
  EXPECT_EQ(run.report.details.at("null_active"), "2");
  EXPECT_EQ(run.report.details.at("null_last_activity"), "1");
  EXPECT_EQ(run.report.details.at("stale_active"), "3");
}

TEST_F(SessionCleanupTest, DeactivatesFirstWhenAsked) {
  Add("a 100 days", "true", "now() - interval '100 days'", 1, 300);
  Add("b 40 days", "true", "now() - interval '40 days'");
  Add("c 70 days", "NULL", "now() - interval '70 days'");
  Add("d 100 days", "true", "now() - interval '100 days'", 2);
  Exec(
      "INSERT INTO pgsteward.retention_hold (user_id, reason) "
      "VALUES ('00000000-0000-0000-0000-000000000002', 'court')");
  const std::map<std::string, std::string> options = {{"older_than", "90 days"},
                                                      {"deactivate_after", "60 days"}};
  const RunResult dry = DryRun(kSessionCleanup, options);
  EXPECT_THAT(dry.report.plan[1],
              HasSubstr("set active = false on 301 sessions idle since before "));
  EXPECT_THAT(dry.report.plan[2], HasSubstr("delete 300 sessions of 1 users, last active from "));
  const RunResult run = Run(kSessionCleanup, options);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("deactivated"), "301");
  EXPECT_EQ(run.report.rows_done, 300);
  EXPECT_EQ(Left(), "b 40 days true, c 70 days false, d 100 days true");
}

TEST_F(SessionCleanupTest, UsersOnHoldKeepTheirs) {
  AddSome();
  Add("held", "false", "now() - interval '40 days'", 2);
  Exec(
      "INSERT INTO pgsteward.retention_hold (user_id, reason) "
      "VALUES ('00000000-0000-0000-0000-000000000002', 'court')");
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("held"), "1");
  EXPECT_EQ(Left(), "held false, young false");
  Exec("UPDATE pgsteward.retention_hold SET until = now()");
  EXPECT_EQ(Run(kSessionCleanup).report.rows_done, 1);
  EXPECT_EQ(Left(), "young false");
}

// Defect A11: one DELETE held all its locks until the end.
TEST_F(SessionCleanupTest, A11WorksInBatchesEachFenced) {
  Add("due", "false", "now() - (30 + n) * interval '1 day'", 1, 1000);
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 1000);
  EXPECT_EQ(control_.progress.front(), 200);
  EXPECT_EQ(run.report.batches, static_cast<int>(control_.progress.size()));
  EXPECT_GE(run.report.batches, 3);
  EXPECT_EQ(control_.fences, run.report.batches + 1);
}

TEST_F(SessionCleanupTest, WithoutTheLeaseNothingIsDone) {
  Add("due", "false", "now() - interval '40 days'", 1, 500);
  control_.lose_lease_at = 2;
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "error  the lease is lost");
  EXPECT_EQ(run.report.rows_done, 200);
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "300");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Run(kSessionCleanup).report.rows_done, 300);
}

TEST_F(SessionCleanupTest, StopsBetweenBatchesAndGoesOnInTheNextRun) {
  Add("due", "false", "now() - interval '40 days'", 1, 500);
  control_.on_progress = [&](const JobReport&) { control_.stop_reason = "shutdown"; };
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "partial shutdown");
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "300");
  control_.on_progress = nullptr;
  control_.stop_reason.clear();
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "0");
}

// Defect D6: a role that the policies apply to deletes 0 rows and calls it success.
TEST_F(SessionCleanupTest, D6WithoutBypassOfRowSecurityItIsAnError) {
  AddSome();
  Exec(
      "DO $$ BEGIN CREATE ROLE jobs_seeing_nothing LOGIN; "
      "EXCEPTION WHEN duplicate_object THEN END $$; ALTER ROLE jobs_seeing_nothing NOBYPASSRLS;"
      "GRANT SELECT, DELETE, UPDATE (id) ON sessions TO jobs_seeing_nothing;"
      "GRANT USAGE ON SCHEMA pgsteward TO jobs_seeing_nothing;"
      "GRANT SELECT ON pgsteward.retention_hold TO jobs_seeing_nothing;"
      "GRANT SELECT, INSERT ON pgsteward.quarantine TO jobs_seeing_nothing");
  user_ = "jobs_seeing_nothing";
  const std::string refused =
      "error 42501 query would be affected by row-level security policy for table \"sessions\"";
  EXPECT_EQ(Run(kSessionCleanup).Text(), refused);
  EXPECT_EQ(DryRun(kSessionCleanup).Text(), refused);
  EXPECT_EQ(MeasureBacklog(kSessionCleanup).error().sqlstate, "42501");
  Exec("ALTER ROLE jobs_seeing_nothing BYPASSRLS");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
}

// Defect D13: locking a row needs UPDATE of one column.
TEST_F(SessionCleanupTest, D13TheGrantsOfTheRoleAreEnoughAndNeeded) {
  AddSome();
  Exec(
      "REVOKE UPDATE ON sessions FROM pgsteward_jobs; REVOKE UPDATE (id, active) ON sessions "
      "FROM pgsteward_jobs");
  const RunResult run = Run(kSessionCleanup);
  const std::string refused = "error 42501 role \"pgsteward_jobs\" may not lock public.sessions";
  EXPECT_EQ(run.Text(), refused);
  EXPECT_EQ(run.outcome.error().hint, "Run schema/job_roles.sql, or grant it what that grants.");
  EXPECT_EQ(DryRun(kSessionCleanup).Text(), refused);
  Exec("GRANT UPDATE (id) ON sessions TO pgsteward_jobs");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
}

TEST_F(SessionCleanupTest, WithoutTheRightsAlsoTheDryRunSaysSo) {
  AddSome();
  Exec("REVOKE DELETE, UPDATE ON sessions FROM pgsteward_jobs");
  EXPECT_EQ(DryRun(kSessionCleanup).Text(),
            "error 42501 role \"pgsteward_jobs\" may not lock and delete public.sessions");
  EXPECT_EQ(DryRun(kSessionCleanup, {{"deactivate_after", "60 days"}}).Text(),
            "error 42501 role \"pgsteward_jobs\" may not lock and deactivate and delete "
            "public.sessions");
  Exec("GRANT DELETE, UPDATE (id) ON sessions TO pgsteward_jobs");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
}

// A ctid is a row of one table: (0,1) of the heir is another one.
TEST_F(SessionCleanupTest, RowsOfHeirsAreNotTakenForItsOwn) {
  AddSome();
  Exec(
      "CREATE TABLE old_sessions () INHERITS (sessions); INSERT INTO old_sessions SELECT "
      "gen_random_uuid(), user_id FROM sessions; UPDATE old_sessions SET user_agent = 'heir', "
      "active = true, last_activity = now()");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "error 42809 other tables inherit from public.sessions");
  EXPECT_EQ(DryRun(kSessionCleanup).Text(),
            "error 42809 other tables inherit from public.sessions");
  Exec("ALTER TABLE old_sessions NO INHERIT sessions");
  // And one that comes when the run has looked.
  control_.on_fence = [&](JobSession&) -> Task<void> {
    if (control_.fences == 1) Exec("ALTER TABLE old_sessions INHERIT sessions");
    co_return;
  };
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "heir true, heir true, heir true, heir true, young false");
}

TEST_F(SessionCleanupTest, APartitionedTableIsRefused) {
  Exec(
      "ALTER TABLE sessions RENAME TO old; CREATE TABLE sessions (LIKE old) PARTITION BY LIST "
      "(active); CREATE TABLE sessions_1 PARTITION OF sessions DEFAULT; GRANT SELECT, DELETE, "
      "UPDATE (id) ON sessions TO pgsteward_jobs");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "error 42809 public.sessions is not an ordinary table");
  Exec("DROP TABLE sessions; ALTER TABLE old RENAME TO sessions");
  AddSome();
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
}

// A row that refers to a session and does not go along keeps it, and only it.
TEST_F(SessionCleanupTest, SessionsThatAreReferredToAreSetAside) {
  for (const char* kind : {"", " DEFERRABLE INITIALLY DEFERRED"}) {
    Exec("DELETE FROM sessions; DELETE FROM pgsteward.quarantine");
    AddSome();
    Exec(std::string("CREATE TABLE login_notes (session uuid REFERENCES sessions") + kind +
         "); INSERT INTO login_notes SELECT id FROM sessions WHERE user_agent = 'due' LIMIT 1");
    EXPECT_EQ(DryRun(kSessionCleanup).report.plan.back(),
              "goes to quarantine if a row refers to it: public.login_notes by "
              "login_notes_session_fkey");
    const RunResult run = Run(kSessionCleanup);
    EXPECT_EQ(run.Text(), "partial quarantined: see pgsteward.quarantine") << kind;
    EXPECT_EQ(run.report.rows_done, 2);
    EXPECT_EQ(run.report.rows_quarantined, 1);
    EXPECT_EQ(Left(), "due false, young false");
    EXPECT_EQ(Value("SELECT target || ': ' || reason FROM pgsteward.quarantine"),
              "public.sessions: the server refused it: SQLSTATE 23503, update or delete on table "
              "\"sessions\" violates foreign key constraint \"login_notes_session_fkey\" on table "
              "\"login_notes\"");
    EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
    Exec("DROP TABLE login_notes; DELETE FROM pgsteward.quarantine");
    EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
    EXPECT_EQ(Left(), "young false");
  }
}

TEST_F(SessionCleanupTest, TriggersFindTheTablesThatTheyNameWithoutASchema) {
  AddSome();
  Exec(R"(
    CREATE TABLE session_log (agent text);
    GRANT INSERT ON session_log TO pgsteward_jobs;
    CREATE FUNCTION log_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO session_log VALUES (OLD.user_agent); RETURN OLD; END $$;
    CREATE TRIGGER log AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION log_session())");
  EXPECT_EQ(DryRun(kSessionCleanup).report.plan.back(), "triggers run: log");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
  EXPECT_EQ(Value("SELECT count(*) FROM session_log"), "3");
}

TEST_F(SessionCleanupTest, AStopBetweenTheStagesIsToldAndTheNextRunGoesOn) {
  Add("stale", "true", "now() - interval '100 days'");
  const std::map<std::string, std::string> options = {{"older_than", "90 days"},
                                                      {"deactivate_after", "60 days"}};
  control_.on_stop_reason = [calls = 0]() mutable {
    return std::string(++calls > 2 ? "window" : "");
  };
  const RunResult run = Run(kSessionCleanup, options);
  EXPECT_EQ(run.Text(), "partial window");
  EXPECT_EQ(run.report.details.at("deactivated"), "1");
  EXPECT_EQ(Left(), "stale false");
  control_.on_stop_reason = nullptr;
  EXPECT_EQ(Run(kSessionCleanup, options).Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "0");
}

// Defect D9: what hangs on a session is not deleted by the way.
TEST_F(SessionCleanupTest, D9RefusesToTakeAlongWhatThePlanDoesNotName) {
  AddSome();
  Exec(
      "CREATE TABLE login_notes (session uuid REFERENCES sessions ON DELETE CASCADE);"
      "INSERT INTO login_notes SELECT id FROM sessions");
  const std::string refused =
      "error  deleting from public.sessions reaches tables that the plan does not name: "
      "public.login_notes (cascade of public.sessions by login_notes_session_fkey)";
  EXPECT_EQ(Run(kSessionCleanup).Text(), refused);
  EXPECT_EQ(DryRun(kSessionCleanup).Text(), refused);
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "4");
  EXPECT_EQ(Run(kSessionCleanup, {{"cascades", "login_notes"}}).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
  EXPECT_EQ(Value("SELECT count(*) FROM login_notes"), "1");
}

TEST_F(SessionCleanupTest, TheDryRunSaysWhatWouldGo) {
  const std::string cutoff = Value(kCutoffText);
  Add("a", "false", "'2025-03-01 10:00:00+00'");
  Add("b", "false", "'2025-03-31 23:30:00+00'");
  Add("c", "false", "'2025-05-02 00:00:00+00'", 2);
  Add("d", "true", "'2025-05-02 00:00:00+00'");
  Add("e", "NULL", "NULL");
  const RunResult dry = DryRun(kSessionCleanup);
  EXPECT_EQ(dry.Text(), "ok");
  EXPECT_THAT(dry.report.plan,
              ElementsAre("cut-off: " + cutoff + ", 30 days before today in UTC",
                          testing::MatchesRegex(
                              "delete 3 sessions of 2 users, last active from 2025-03-01 "
                              "10:00:00[+]00 to 2025-05-02 00:00:00[+]00, about [0-9]+ bytes"),
                          "  last active in 2025-03: 2", "  last active in 2025-05: 1",
                          "keep 0 sessions of users on hold",
                          "never due: 1 with active NULL, 1 with last_activity NULL, 1 active and "
                          "idle for longer than 30 days",
                          "takes along: nothing, no foreign key refers to sessions"));
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "5");
  EXPECT_EQ(control_.fences, 0);
  time_zone_ = "Europe/Berlin";
  EXPECT_EQ(DryRun(kSessionCleanup).report.plan[2], "  last active in 2025-03: 1");
}

TEST_F(SessionCleanupTest, HeldRowsArePassedOverAndTakenLater) {
  AddSome();
  PgClient holder = Connect();
  holder.Exec("BEGIN; SELECT FROM sessions WHERE user_agent = 'due' LIMIT 1 FOR UPDATE");
  const RunResult run = Run(kSessionCleanup);
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(run.report.rows_done, 2);
  EXPECT_EQ(run.report.rows_skipped, 1);
  holder.Exec("ROLLBACK");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Left(), "young false");
}

TEST_F(SessionCleanupTest, ALockedTableCostsABatchAndNotTheRun) {
  Add("due", "false", "now() - interval '40 days'", 1, 500);
  PgClient holder = Connect();
  bool first = true;
  control_.on_progress = [&](const JobReport&) {
    if (!std::exchange(first, false)) return;
    holder.Exec("BEGIN; LOCK TABLE sessions IN SHARE MODE");
    control_.on_stop_reason = [&, calls = 0]() mutable {
      if (++calls == 2) holder.Exec("ROLLBACK");
      return std::string();
    };
  };
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "0");
}

TEST_F(SessionCleanupTest, ACancelledBatchIsTriedAgain) {
  Add("due", "false", "now() - interval '40 days'", 1, 500);
  PgClient holder = Connect();
  std::thread cancels;
  bool first = true;
  control_.on_progress = [&](const JobReport&) {
    if (!std::exchange(first, false)) return;
    holder.Exec("BEGIN; LOCK TABLE sessions IN SHARE MODE");
    cancels = std::thread([&] {
      WaitFor(
          "SELECT count(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity "
          "WHERE application_name = 'pgsteward:job/test' AND wait_event_type = 'Lock'");
      holder.Exec("ROLLBACK");
    });
  };
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  cancels.join();
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "0");
}

TEST_F(SessionCleanupTest, ATerminatedBackendLosesOneBatch) {
  Add("due", "false", "now() - interval '40 days'", 1, 500);
  bool first = true;
  control_.on_progress = [&](const JobReport&) {
    if (!std::exchange(first, false)) return;
    Postgres().TerminateBackends("application_name = 'pgsteward:job/test'");
  };
  const RunResult run = Run(kSessionCleanup);
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(run.outcome.error().code, Errc::kConnectionLost);
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "300");
  EXPECT_EQ(Run(kSessionCleanup).Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM sessions"), "0");
}

TEST_F(SessionCleanupTest, TheBacklogIsWhatIsDue) {
  AddSome();
  Add("c", "false", std::string("(") + kCutoffText + ")::timestamptz - interval '2 days'");
  Exec(
      "UPDATE sessions SET last_activity = (SELECT last_activity FROM sessions WHERE "
      "user_agent = 'c') WHERE user_agent = 'due'");
  const Backlog backlog = MeasureBacklog(kSessionCleanup).value();
  EXPECT_EQ(backlog.rows, 4);
  EXPECT_EQ(backlog.oldest_age_s, 172800);
}

}  // namespace
}  // namespace pgsteward
