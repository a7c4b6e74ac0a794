#include "schema/apply.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/schema/schema_fixture.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using ApplyTest = SchemaTest;

std::string Value(const std::string& sql) { return Postgres().Value(sql, "hub"); }

constexpr char kRecord[] =
    "SELECT string_agg(concat_ws(' ', component, version, completed_at IS NOT NULL, "
    "completed_at >= started_at, applied_by, daemon_version, length(checksum)), E'\\n' "
    "ORDER BY version) FROM pgsteward.schema_version";

TEST_F(ApplyTest, AppliesEverythingInOrderAndRecordsIt) {
  const Applied applied = Apply(Conninfo());
  ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  EXPECT_EQ(applied.report->versions, 3);
  EXPECT_EQ(applied.report->indexes, 6);
  EXPECT_EQ(applied.report->reached, "1.2.0");
  EXPECT_THAT(
      applied.lines,
      ElementsAre("1.0.0 create_tables.sql: ok", "1.0.0 create_functions.sql: ok",
                  "1.0.0 create_views.sql: ok", "1.0.0 create_triggers.sql: ok",
                  "1.0.0 create_indexes.sql: ok", "1.0.0 initial_data.sql: ok",
                  "1.0.0 idx_users_email_active: ok", "1.0.0 idx_messages_session_created: ok",
                  "1.0.0 idx_artifacts_user_created: ok", "1.0.0 idx_tools_usage_tool_created: ok",
                  "1.0.0 idx_messages_content_fts: ok", "1.1.0 google_drive_files.sql: ok",
                  "1.2.0 messages_archive.sql: ok", "1.2.0 guarded_triggers.sql: ok",
                  "1.2.0 activity_counts.sql: ok", "1.2.0 row_level_security.sql: ok",
                  "1.2.0 email_encryption.sql: ok", "1.2.0 idx_messages_created_id: ok"));
  EXPECT_THAT(
      applied.notices,
      ElementsAre(
          "NOTICE: policy \"user_is_owner\" for relation \"users\" does not exist, skipping",
          "NOTICE: policy \"user_session\" for relation \"sessions\" does not exist, skipping",
          "NOTICE: policy \"user_artifacts\" for relation \"artifacts\" does not exist, skipping"));
  EXPECT_EQ(Value(kRecord),
            "hub 1.0.0 t t postgres 9.9.9 64\n"
            "hub 1.1.0 t t postgres 9.9.9 64\n"
            "hub 1.2.0 t t postgres 9.9.9 64");
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 applied"));
  EXPECT_EQ(Value("SELECT count(*) FROM users"), "1");
}

TEST_F(ApplyTest, TheSecondTimeDoesNothing) {
  UseAppliedHub();
  const std::string before = Value("SELECT max(completed_at) FROM pgsteward.schema_version");
  const Applied again = Apply(Conninfo());
  ASSERT_TRUE(again.report) << ToText(again.report.error());
  EXPECT_EQ(again.report->versions, 0);
  EXPECT_EQ(again.report->indexes, 0);
  EXPECT_EQ(again.report->reached, "1.2.0");
  EXPECT_THAT(again.lines, IsEmpty());
  EXPECT_EQ(Value("SELECT max(completed_at) FROM pgsteward.schema_version"), before);
}

TEST_F(ApplyTest, GoesUpToAVersionAndOnFromThere) {
  const Applied first = Apply(Conninfo(), "1.1.0");
  ASSERT_TRUE(first.report) << ToText(first.report.error());
  EXPECT_EQ(first.report->reached, "1.1.0");
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 pending"));
  const Applied rest = Apply(Conninfo());
  ASSERT_TRUE(rest.report) << ToText(rest.report.error());
  EXPECT_EQ(rest.report->versions, 1);
  EXPECT_EQ(rest.report->indexes, 1);
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
}

TEST_F(ApplyTest, AnUnknownVersionChangesNothing) {
  const Applied applied = Apply(Conninfo(), "1.3.0");
  ASSERT_FALSE(applied.report);
  EXPECT_EQ(ToText(applied.report.error()), "no version \"1.3.0\"; there are 1.0.0, 1.1.0, 1.2.0");
  EXPECT_EQ(applied.report.error().code, Errc::kBadConfig);
  EXPECT_EQ(Value("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgsteward'"), "0");
}

TEST_F(ApplyTest, TwoAtOnceApplyEachVersionOnce) {
  Applied other;
  std::thread thread([&] { other = Apply(Conninfo()); });
  const Applied applied = Apply(Conninfo());
  thread.join();
  ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  ASSERT_TRUE(other.report) << ToText(other.report.error());
  EXPECT_EQ(applied.report->versions + other.report->versions, 3);
  EXPECT_EQ(applied.report->indexes + other.report->indexes, 6);
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
}

TEST_F(ApplyTest, WaitsForItsTurnAndSaysWhoHasIt) {
  UseAppliedHub();
  PgClient holder = Postgres().Connect("hub");
  holder.Exec("SET application_name = 'other'; SELECT pg_advisory_lock(1885828980, 1)");
  const std::string who = "pid " + std::to_string(holder.pid()) + " (other, role postgres)";

  ApplyOptions impatient = QuickOptions();
  impatient.wait = 0s;
  const Applied refused = Apply(Conninfo(), "", impatient);
  ASSERT_FALSE(refused.report);
  EXPECT_EQ(refused.report.error().code, Errc::kBusy);
  EXPECT_EQ(ToText(refused.report.error()), "the schema is being applied by " + who +
                                                "; hint: Wait until it is done, or give a longer "
                                                "--wait.");
  EXPECT_THAT(refused.notices, IsEmpty());
  WaitFor("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgsteward:schema'");
  Applied patient;
  std::thread thread([&] { patient = Apply(Conninfo()); });
  WaitFor(
      "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pgsteward:schema' "
      "AND query LIKE '%pg_locks%' AND state = 'idle'");
  holder.Close();
  thread.join();
  ASSERT_TRUE(patient.report) << ToText(patient.report.error());
  EXPECT_THAT(patient.lines, ElementsAre("note: waiting up to 30 s for " + who +
                                         ", which is applying the schema"));
}

TEST_F(ApplyTest, AFailureInTheMiddleRollsTheVersionBack) {
  ASSERT_TRUE(Apply(Conninfo(), "1.1.0").report);
  Postgres().Exec("DROP VIEW user_stats; CREATE VIEW user_stats AS SELECT 1 AS x", "hub");
  const Applied failed = Apply(Conninfo());
  ASSERT_FALSE(failed.report);
  EXPECT_EQ(ToText(failed.report.error()),
            "1.2.0 activity_counts.sql: cannot change name of view column \"x\" to \"id\" "
            "(SQLSTATE 42P16)");
  EXPECT_THAT(failed.lines,
              ElementsAre("1.2.0 messages_archive.sql: ok", "1.2.0 guarded_triggers.sql: ok",
                          "1.2.0 activity_counts.sql: failed"));
  EXPECT_EQ(Value("SELECT to_regclass('messages_archive') IS NULL AND NOT EXISTS (SELECT FROM "
                  "pg_trigger WHERE pg_get_triggerdef(oid) LIKE '%archiving%')"),
            "t");
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 pending"));

  Postgres().Exec("DROP VIEW user_stats", "hub");
  const Applied again = Apply(Conninfo());
  ASSERT_TRUE(again.report) << ToText(again.report.error());
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
}

TEST_F(ApplyTest, AnArchiveMadeByTheDocumentedScriptIsNamed) {
  ASSERT_TRUE(Apply(Conninfo(), "1.1.0").report);
  Postgres().Exec("CREATE TABLE messages_archive (LIKE messages INCLUDING ALL)", "hub");
  const Applied failed = Apply(Conninfo());
  ASSERT_FALSE(failed.report);
  EXPECT_EQ(ToText(failed.report.error()),
            "1.2.0 messages_archive.sql: relation \"messages_archive\" already exists (SQLSTATE "
            "42P07); hint: If this database has all of 1.2.0 already, record that with: pgsteward "
            "schema apply --baseline 1.2.0. If not, move away what is in the way, see "
            "docs/database.md.");
  // And it is not taken for 1.2.0.
  const Applied baseline = Baseline(Conninfo(), "1.2.0");
  ASSERT_FALSE(baseline.report);
  EXPECT_EQ(ToText(baseline.report.error()),
            "this database has not 1.2.0, it lacks messages_all; hint: Nothing was recorded. See "
            "what it has with: pgsteward schema check.");
}

TEST_F(ApplyTest, ALockThatIsNotHadIsTriedAgainAndItsHolderNamed) {
  ASSERT_TRUE(Apply(Conninfo(), "1.1.0").report);
  PgClient holder = Postgres().Connect("hub");
  holder.Exec("SET application_name = 'report'; BEGIN; SELECT * FROM users");
  const std::string who =
      "pid " + std::to_string(holder.pid()) + " (report, role postgres, idle in transaction)";
  ApplyOptions options = QuickOptions();
  // Real time passes: the wait is what is tested, and the watch must get to look meanwhile, on a
  // machine under load too.
  options.lock_timeout = 1500ms;
  options.lock_retries = 1;
  const Applied failed = Apply(Conninfo(), "", options);
  ASSERT_FALSE(failed.report);
  EXPECT_EQ(failed.report.error().code, Errc::kBusy);
  const std::string message =
      "1.2.0 guarded_triggers.sql: canceling statement due to lock timeout, held by " + who;
  EXPECT_EQ(failed.report.error().message, message);
  EXPECT_THAT(
      failed.lines,
      ElementsAre("1.2.0 messages_archive.sql: ok", "note: waiting for " + who,
                  "1.2.0 guarded_triggers.sql: failed",
                  "note: " + message + "; trying again (1 of 1)", "1.2.0 messages_archive.sql: ok",
                  "note: waiting for " + who, "1.2.0 guarded_triggers.sql: failed"));
  EXPECT_EQ(Value("SELECT to_regclass('messages_archive') IS NULL"), "t");

  holder.Exec("COMMIT");
  ASSERT_TRUE(Apply(Conninfo()).report);
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
}

TEST_F(ApplyTest, BaselineTakesAHubThatWasMadeByHand) {
  for (const SchemaFile& file : HubSchema().versions[0].files) {
    Postgres().Exec(std::string(file.sql), "hub");
  }
  const Applied refused = Apply(Conninfo());
  ASSERT_FALSE(refused.report);
  EXPECT_EQ(refused.report.error().hint,
            "If this database has all of 1.0.0 already, record that with: pgsteward schema apply "
            "--baseline 1.0.0. If not, move away what is in the way, see docs/database.md.");
  EXPECT_EQ(Status(Conninfo())->present, true);

  const Applied lacking = Baseline(Conninfo(), "1.1.0");
  ASSERT_FALSE(lacking.report);
  EXPECT_EQ(lacking.report.error().message,
            "this database has not 1.1.0, it lacks google_drive_files");
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 pending", "1.1.0 pending", "1.2.0 pending"));

  const Applied baseline = Baseline(Conninfo(), "1.0.0");
  ASSERT_TRUE(baseline.report) << ToText(baseline.report.error());
  EXPECT_THAT(baseline.lines, ElementsAre("note: 1.0.0 recorded as applied"));
  // Nobody made its concurrent indexes.
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 incomplete", "1.1.0 pending", "1.2.0 pending"));
  EXPECT_EQ(Baseline(Conninfo(), "1.0.0").report->versions, 0);

  const Applied rest = Apply(Conninfo());
  ASSERT_TRUE(rest.report) << ToText(rest.report.error());
  EXPECT_EQ(rest.report->versions, 2);
  EXPECT_EQ(rest.report->indexes, 6);
  EXPECT_THAT(Check(Conninfo())->differences, IsEmpty());
}

TEST_F(ApplyTest, BaselineOfAWholeHubIsComplete) {
  UseAppliedHub();
  Postgres().Exec("DROP SCHEMA pgsteward CASCADE", "hub");
  EXPECT_EQ(Baseline(Conninfo(), "1.2.0").report->versions, 3);
  EXPECT_THAT(States(Status(Conninfo())),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 applied"));
  EXPECT_EQ(Apply(Conninfo()).report->versions, 0);
}

TEST_F(ApplyTest, TheDatabasesOwnerNeedNotBeSuperuser) {
  Postgres().Exec(
      "CREATE ROLE hub_owner LOGIN; ALTER DATABASE hub OWNER TO hub_owner;"
      "CREATE ROLE hub_measurer LOGIN IN ROLE pg_monitor; CREATE ROLE hub_nobody LOGIN");
  const Applied applied = Apply(Conninfo("hub_owner"));
  ASSERT_TRUE(applied.report) << ToText(applied.report.error());
  EXPECT_EQ(Value("SELECT string_agg(DISTINCT applied_by, ',') FROM pgsteward.schema_version"),
            "hub_owner");
  EXPECT_EQ(Apply(Conninfo("hub_owner")).report->versions, 0);

  const auto check = Check(Conninfo("hub_measurer"));
  ASSERT_TRUE(check) << ToText(check.error());
  EXPECT_THAT(check->differences, IsEmpty());
  EXPECT_THAT(check->pending, IsEmpty());
  const auto hidden = Status(Conninfo("hub_nobody"));
  ASSERT_FALSE(hidden);
  EXPECT_EQ(ToText(hidden.error()),
            "permission denied for schema pgsteward (SQLSTATE 42501); hint: Grant the role USAGE "
            "on schema pgsteward and SELECT on its table schema_version; members of pg_monitor "
            "have both.");
  const Applied stranger = Apply(Conninfo("hub_nobody"));
  ASSERT_FALSE(stranger.report);
  EXPECT_EQ(stranger.report.error().sqlstate, "42501");

  Postgres().DropDatabase("hub");
  Postgres().CreateDatabase("hub");
  const Applied no_right = Apply(Conninfo("hub_nobody"));
  ASSERT_FALSE(no_right.report);
  EXPECT_EQ(ToText(no_right.report.error()),
            "record.sql: permission denied for database hub (SQLSTATE 42501); hint: Run it as the "
            "owner of the hub's tables, with the right to create in the database (schemas "
            "pgsteward and auth, extension pgcrypto).");
  Postgres().Exec("DROP ROLE hub_owner; DROP ROLE hub_measurer; DROP ROLE hub_nobody");
}

TEST_F(ApplyTest, AVersionThatWasAppliedWithOtherSqlIsToldApart) {
  UseAppliedHub();
  Postgres().Exec(
      "UPDATE pgsteward.schema_version SET checksum = 'x' WHERE version = '1.1.0';"
      "INSERT INTO pgsteward.schema_version VALUES ('hub', '2.0.0', now(), now(), 'me', '3', 'y'),"
      "('other', '7', now(), now(), 'me', '3', 'y')",
      "hub");
  const auto status = Status(Conninfo());
  EXPECT_THAT(States(status),
              ElementsAre("1.0.0 applied", "1.1.0 applied", "1.2.0 applied", "2.0.0 unknown"));
  EXPECT_FALSE(status->versions[0].changed);
  EXPECT_TRUE(status->versions[1].changed);
  EXPECT_THAT(status->Outstanding(), IsEmpty());
}

TEST_F(ApplyTest, ThePlanChangesNothing) {
  const auto empty = Plan(Conninfo());
  ASSERT_TRUE(empty) << ToText(empty.error());
  ASSERT_THAT(*empty, SizeIs(18));
  EXPECT_EQ(empty->front().step, "1.0.0 create_tables.sql");
  EXPECT_EQ(empty->front().why, "pending");
  EXPECT_EQ(empty->front().sql, HubSchema().versions[0].files[0].sql);
  EXPECT_EQ(empty->back().step, "1.2.0 idx_messages_created_id");
  EXPECT_EQ(empty->back().why, "missing");
  EXPECT_EQ(empty->back().sql,
            "CREATE INDEX CONCURRENTLY idx_messages_created_id ON messages(created_at, id);\n");
  EXPECT_THAT(*Plan(Conninfo(), "1.0.0"), SizeIs(11));
  EXPECT_EQ(Value("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgsteward'"), "0");

  UseAppliedHub();
  EXPECT_THAT(*Plan(Conninfo()), IsEmpty());
}

// What cmake computed is what everybody else computes.
TEST_F(ApplyTest, TheChecksumIsReproducible) {
  const SchemaVersion& version = HubSchema().versions[1];
  std::string text(version.files[0].sql);
  PgClient client = Postgres().Connect("hub");
  for (std::size_t at = text.find('\''); at != text.npos; at = text.find('\'', at + 2)) {
    text.insert(at, "'");
  }
  EXPECT_EQ(client.Value("SELECT encode(sha256(convert_to(encode(sha256(convert_to('" + text +
                         "', 'UTF8')), 'hex') || E'\\n', 'UTF8')), 'hex')"),
            version.checksum);
}

}  // namespace

}  // namespace pgsteward
