// pgsteward's own tables: beside the hub and without it, and what their constraints promise.
#include <gmock/gmock.h>

#include "tests/schema/schema_fixture.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Applied ApplySteward(const std::string& conninfo) {
  return Apply(conninfo, "", QuickOptions(), StewardSchema());
}

std::string Value(const std::string& sql) { return Postgres().Value(sql, "hub"); }

// "schema.table" of everything that is not the server's own.
constexpr char kTables[] =
    "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename) "
    "FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
constexpr char kOwn[] =
    "pgsteward.job_run pgsteward.job_state pgsteward.lease pgsteward.proven_backup "
    "pgsteward.quarantine pgsteward.remediation_log pgsteward.retention_hold "
    "pgsteward.schema_version";

// The text of the error that `sql` raises, "" when it raises none; what it did is taken back.
std::string Refusal(PgClient& client, const std::string& sql) {
  client.Exec("BEGIN");
  std::string text;
  try {
    client.Exec(sql);
  } catch (const std::runtime_error& error) {
    text = error.what();
  }
  client.Exec("ROLLBACK");
  return text;
}

class StewardTest : public SchemaTest {
 protected:
  void UseSteward() {
    const Applied applied = ApplySteward(Conninfo());
    ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  }
};

TEST_F(StewardTest, NeedsNoHubAndMakesNothingOfIt) {
  const Applied applied = ApplySteward(Conninfo());
  ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  EXPECT_EQ(applied.report->versions, 2);
  EXPECT_EQ(applied.report->indexes, 0);
  EXPECT_EQ(applied.report->reached, "1.1.0");
  EXPECT_THAT(
      applied.lines,
      ElementsAre("pgsteward 1.0.0 lease.sql: ok", "pgsteward 1.0.0 jobs.sql: ok",
                  "pgsteward 1.0.0 retention.sql: ok", "pgsteward 1.0.0 remediation.sql: ok",
                  "pgsteward 1.1.0 backups.sql: ok"));
  EXPECT_EQ(Value(kTables), kOwn);
  EXPECT_EQ(Value("SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE "
                  "nspname !~ '^pg_' AND nspname <> 'information_schema'"),
            "pgsteward public");
  EXPECT_EQ(Value("SELECT string_agg(concat_ws(' ', component, version, completed_at IS NOT NULL), "
                  "', ' ORDER BY version) FROM pgsteward.schema_version"),
            "pgsteward 1.0.0 t, pgsteward 1.1.0 t");

  const auto hub = Check(Conninfo());
  EXPECT_FALSE(hub->present);
  const auto own = Check(Conninfo(), StewardSchema());
  ASSERT_TRUE(own) << ToText(own.error());
  EXPECT_TRUE(own->present);
  EXPECT_THAT(own->pending, IsEmpty());
  EXPECT_THAT(own->differences, IsEmpty());
}

TEST_F(StewardTest, TheSecondTimeDoesNothing) {
  UseSteward();
  const Applied again = ApplySteward(Conninfo());
  ASSERT_TRUE(again.report) << ToText(again.report.error());
  EXPECT_EQ(again.report->versions, 0);
  EXPECT_THAT(again.lines, IsEmpty());
  EXPECT_THAT(*Plan(Conninfo(), "", StewardSchema()), IsEmpty());
}

TEST_F(StewardTest, LeavesForeignTablesAlone) {
  const std::string foreign =
      "public.job_run public.lease public.users";  // names that ours have too
  Postgres().Exec(
      "CREATE TABLE users (id int); CREATE TABLE lease (id int); CREATE TABLE job_run (id int);"
      "INSERT INTO lease VALUES (7)",
      "hub");
  UseSteward();
  EXPECT_EQ(Value(kTables), kOwn + (" " + foreign));
  EXPECT_EQ(Value("SELECT id FROM public.lease"), "7");
  EXPECT_THAT(Check(Conninfo(), StewardSchema())->differences, IsEmpty());
}

// A hub of before these tables: nothing of it changes.
TEST_F(StewardTest, ComesToAHubThatWasThereBefore) {
  UseAppliedHub();
  EXPECT_THAT(States(Status(Conninfo(), StewardSchema())),
              ElementsAre("1.0.0 pending", "1.1.0 pending"));
  EXPECT_FALSE(Status(Conninfo(), StewardSchema())->present);
  UseSteward();
  EXPECT_THAT(States(Status(Conninfo(), StewardSchema())),
              ElementsAre("1.0.0 applied", "1.1.0 applied"));
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 applied"));
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
  EXPECT_THAT(Check(Conninfo(), StewardSchema())->differences, IsEmpty());
}

// A database with the tables of the version before, in use.
TEST_F(StewardTest, TheNextVersionComesToTheOneBefore) {
  ASSERT_TRUE(Apply(Conninfo(), "1.0.0", QuickOptions(), StewardSchema()).report);
  EXPECT_THAT(States(Status(Conninfo(), StewardSchema())),
              ElementsAre("1.0.0 applied", "1.1.0 pending"));
  const Applied applied = ApplySteward(Conninfo());
  ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  EXPECT_THAT(applied.lines, ElementsAre("pgsteward 1.1.0 backups.sql: ok"));
  EXPECT_THAT(Check(Conninfo(), StewardSchema())->differences, IsEmpty());
}

// And the other way round.
TEST_F(StewardTest, AHubComesWhereTheyWereBefore) {
  UseSteward();
  ASSERT_TRUE(Apply(Conninfo()).report);
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
  EXPECT_THAT(Check(Conninfo(), StewardSchema())->differences, IsEmpty());
}

TEST_F(StewardTest, WhatIsInTheWayIsNamedAndNothingIsLeftBehind) {
  Postgres().Exec("CREATE SCHEMA pgsteward; CREATE TABLE pgsteward.quarantine (id int)", "hub");
  const Applied failed = ApplySteward(Conninfo());
  ASSERT_FALSE(failed.report);
  EXPECT_EQ(ToText(failed.report.error()),
            "pgsteward 1.0.0 retention.sql: relation \"quarantine\" already exists (SQLSTATE "
            "42P07); hint: If this database has all of pgsteward 1.0.0 already, record that with: "
            "pgsteward schema apply --baseline 1.0.0 --component pgsteward. If not, move away what "
            "is in the way, see docs/database.md.");
  EXPECT_EQ(Value(kTables), "pgsteward.quarantine pgsteward.schema_version");
  const Applied baseline = Baseline(Conninfo(), "1.0.0", StewardSchema());
  ASSERT_FALSE(baseline.report);
  EXPECT_EQ(baseline.report.error().message,
            "this database has not pgsteward 1.0.0, it lacks lease, job_state, job_run, "
            "retention_hold, remediation_log");
  Postgres().Exec("DROP TABLE pgsteward.quarantine", "hub");
  UseSteward();
  EXPECT_THAT(Check(Conninfo(), StewardSchema())->differences, IsEmpty());
}

TEST_F(StewardTest, BaselineRecordsThem) {
  UseSteward();
  Postgres().Exec("DROP TABLE pgsteward.schema_version", "hub");
  EXPECT_THAT(States(Status(Conninfo(), StewardSchema())),
              ElementsAre("1.0.0 pending", "1.1.0 pending"));
  EXPECT_TRUE(Status(Conninfo(), StewardSchema())->present);
  const Applied baseline = Baseline(Conninfo(), "1.1.0", StewardSchema());
  ASSERT_TRUE(baseline.report) << ToText(baseline.report.error());
  EXPECT_THAT(baseline.lines, ElementsAre("note: pgsteward 1.0.0 recorded as applied",
                                          "note: pgsteward 1.1.0 recorded as applied"));
  EXPECT_EQ(ApplySteward(Conninfo()).report->versions, 0);
}

TEST_F(StewardTest, DriftIsOfItsComponent) {
  UseAppliedHub();
  UseSteward();
  Postgres().Exec(
      "DROP INDEX pgsteward.job_run_fires_once; ALTER TABLE users ADD COLUMN nickname text;"
      "ALTER TABLE pgsteward.lease DROP CONSTRAINT lease_name_epoch_key, ADD COLUMN note text",
      "hub");
  EXPECT_THAT(Summary(Check(Conninfo())->differences),
              ElementsAre("column users.nickname unexpected"));
  EXPECT_THAT(Summary(Check(Conninfo(), StewardSchema())->differences),
              ElementsAre("column pgsteward.lease.note unexpected",
                          "constraint pgsteward.lease.lease_name_epoch_key missing",
                          "index pgsteward.job_run.job_run_fires_once missing",
                          "index pgsteward.lease.lease_name_epoch_key missing"));
}

TEST_F(StewardTest, WhoeverMeasuresMayReadThemAndNotWrite) {
  UseSteward();
  Postgres().Exec("CREATE ROLE steward_measurer LOGIN IN ROLE pg_monitor");
  PgClient measurer(Conninfo("steward_measurer"));
  for (const SchemaVersion& version : StewardSchema().versions) {
    for (const std::string_view relation : version.relations) {
      const std::string table = "pgsteward." + std::string(relation);
      EXPECT_EQ(measurer.Value("SELECT count(*) FROM " + table), "0");
      EXPECT_THROW(measurer.Exec("DELETE FROM " + table), std::runtime_error) << table;
    }
  }
  measurer.Close();
  Postgres().Exec("DROP ROLE steward_measurer");
}

constexpr char kLease[] =
    "INSERT INTO pgsteward.lease VALUES "
    "('jobs', 1, 'a', now(), now(), now() + interval '15 s', 1, 7000000000000000001)";

// What the lease is for: a batch under way keeps the epoch, and renewing goes on beside it.
TEST_F(StewardTest, ABatchHoldsUpTakingOverAndNotRenewing) {
  UseSteward();
  Postgres().Exec(kLease, "hub");
  PgClient batch = Postgres().Connect("hub");
  batch.Exec("BEGIN; SELECT FROM pgsteward.lease WHERE name = 'jobs' AND epoch = 1 FOR KEY SHARE");

  PgClient holder = Postgres().Connect("hub");
  holder.Exec(
      "SET lock_timeout = '5 s'; UPDATE pgsteward.lease SET renewed_at = now(), "
      "expires_at = now() + interval '15 s' WHERE name = 'jobs' AND epoch = 1");
  PgClient successor = Postgres().Connect("hub");
  const std::string take_over =
      "UPDATE pgsteward.lease SET epoch = epoch + 1, holder = 'b' WHERE name = 'jobs'";
  successor.ExecAsync(take_over);
  WaitFor("SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND pid = " +
          std::to_string(successor.pid()));
  EXPECT_EQ(Value("SELECT epoch || ' ' || holder FROM pgsteward.lease"), "1 a");
  batch.Exec("COMMIT");
  successor.Get();
  EXPECT_EQ(Value("SELECT epoch || ' ' || holder FROM pgsteward.lease"), "2 b");

  // Whoever had it finds its epoch no more.
  EXPECT_EQ(batch.Value("WITH mine AS (SELECT FROM pgsteward.lease WHERE name = 'jobs' AND "
                        "epoch = 1 FOR KEY SHARE) SELECT count(*) FROM mine"),
            "0");
}

// Without the unique constraint on (name, epoch) a change of epoch is like any other change.
TEST_F(StewardTest, TheUniqueConstraintIsWhatHoldsItUp) {
  UseSteward();
  Postgres().Exec(kLease, "hub");
  Postgres().Exec("ALTER TABLE pgsteward.lease DROP CONSTRAINT lease_name_epoch_key", "hub");
  PgClient batch = Postgres().Connect("hub");
  batch.Exec("BEGIN; SELECT FROM pgsteward.lease WHERE name = 'jobs' AND epoch = 1 FOR KEY SHARE");
  Postgres().Exec("SET lock_timeout = '5 s'; UPDATE pgsteward.lease SET epoch = 2", "hub");
  EXPECT_EQ(Value("SELECT epoch FROM pgsteward.lease"), "2");
}

std::string JobRun(const std::string& trigger, const std::string& status,
                   const std::string& due = "'2026-03-29 02:00+00'", int attempt = 1) {
  return "INSERT INTO pgsteward.job_run (run_id, job, type, trigger, due_at, attempt, started_at, "
         "host, pid, holder, lease_epoch, timeline, status) VALUES (gen_random_uuid(), "
         "'archive', 'archive_messages', '" +
         trigger + "', " + due + ", " + std::to_string(attempt) + ", now(), 'h', 1, 'a', 1, 1, '" +
         status + "')";
}

std::string Hold(const std::string& columns, const std::string& values) {
  return "INSERT INTO pgsteward.retention_hold (reason" + columns + ") VALUES ('x'" + values + ")";
}

std::string Remediation(const std::string& action) {
  return "INSERT INTO pgsteward.remediation_log (job, rule, action, result, pid) VALUES "
         "('reaper', 'idle', '" +
         action + "', 'ok', 1)";
}

TEST_F(StewardTest, ADueTimeFiresOnce) {
  UseSteward();
  PgClient client = Postgres().Connect("hub");
  client.Exec(JobRun("schedule", "running"));
  const std::string twice =
      "ERROR:  duplicate key value violates unique constraint "
      "\"job_run_fires_once\"";
  const auto refused = [&](const std::string& sql) { return Refusal(client, sql); };
  EXPECT_THAT(refused(JobRun("schedule", "ok")), ::testing::HasSubstr(twice));
  EXPECT_THAT(refused(JobRun("catchup", "running")), ::testing::HasSubstr(twice));
  // Another time, another attempt, by hand, or not run at all.
  EXPECT_EQ(refused(JobRun("schedule", "ok", "'2026-03-29 03:00+00'")), "");
  EXPECT_EQ(refused(JobRun("retry", "running", "'2026-03-29 02:00+00'", 2)), "");
  EXPECT_EQ(refused(JobRun("manual", "ok") + ";" + JobRun("manual", "ok")), "");
  EXPECT_EQ(refused(JobRun("schedule", "skipped") + ";" + JobRun("schedule", "skipped")), "");
  EXPECT_EQ(refused(JobRun("retry", "ok", "NULL") + ";" + JobRun("retry", "ok", "NULL")), "");
}

TEST_F(StewardTest, OnlyWhatHasAMeaningIsWritten) {
  UseSteward();
  PgClient client = Postgres().Connect("hub");
  const auto constraint = [&](const std::string& sql) {
    const std::string text = Refusal(client, sql);
    const auto begin = text.find("check constraint \"");
    if (begin == text.npos) return text;
    return text.substr(begin + 18, text.find('"', begin + 18) - begin - 18);
  };
  for (const char* trigger : {"schedule", "catchup", "retry", "manual"}) {
    EXPECT_EQ(constraint(JobRun(trigger, "ok")), "") << trigger;
  }
  EXPECT_EQ(constraint(JobRun("cron", "ok")), "job_run_trigger_check");
  for (const char* status :
       {"running", "ok", "partial", "failed", "skipped", "cancelled", "aborted"}) {
    EXPECT_EQ(constraint(JobRun("schedule", status)), "") << status;
  }
  EXPECT_EQ(constraint(JobRun("schedule", "done")), "job_run_status_check");
  for (const char* action : {"observe", "dry_run", "cancel", "terminate", "refused"}) {
    EXPECT_EQ(constraint(Remediation(action)), "") << action;
  }
  EXPECT_EQ(constraint(Remediation("kill")), "remediation_log_action_check");
  EXPECT_EQ(constraint(Hold(", session_id", ", gen_random_uuid()")), "");
  EXPECT_EQ(constraint(Hold(", user_id", ", gen_random_uuid()")), "");
  EXPECT_EQ(constraint(Hold("", "")), "retention_hold_one_subject");
  EXPECT_EQ(constraint(Hold(", session_id, user_id", ", gen_random_uuid(), gen_random_uuid()")),
            "retention_hold_one_subject");
}

TEST_F(StewardTest, AHoldIsForEverUnlessSaid) {
  UseSteward();
  Postgres().Exec(Hold(", user_id", ", gen_random_uuid()"), "hub");
  EXPECT_EQ(Value("SELECT concat_ws(' ', hold_id, until, created_by, created_at <= now()) FROM "
                  "pgsteward.retention_hold"),
            "1 infinity postgres t");
}

}  // namespace

}  // namespace pgsteward
