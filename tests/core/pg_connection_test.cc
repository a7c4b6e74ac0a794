#include "core/pg_connection.h"

#include "tests/core/pg_connection_fixture.h"

namespace pgsteward {
namespace {

using testing::IsEmpty;

// ---- the session ----

TEST_F(PgConnectionTest, SessionIsSafe) {
  Open();
  const std::pair<const char*, const char*> settings[] = {
      {"application_name", "pgsteward:collector"},
      {"default_transaction_read_only", "on"},
      {"transaction_read_only", "on"},
      {"statement_timeout", "2700ms"},
      {"lock_timeout", "500ms"},
      {"idle_in_transaction_session_timeout", "30s"},
      {"row_security", "off"},
      {"jit", "off"},
      {"search_path", "pg_catalog"},
      {"TimeZone", "UTC"},
      {"client_encoding", "UTF8"},
  };
  for (const auto& [name, value] : settings) {
    EXPECT_EQ(Text(Query(std::string("SHOW ") + name)), value) << name;
  }
  EXPECT_EQ(Text(Query("SELECT now()::text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2} .*[+]00$'")), "t");
}

TEST_F(PgConnectionTest, SettingsOfTheRoleDoNotLeakIn) {
  Postgres().Exec(
      "DROP ROLE IF EXISTS odd; CREATE ROLE odd LOGIN; ALTER ROLE odd SET row_security = on;"
      "ALTER ROLE odd SET search_path = evil, public; ALTER ROLE odd SET TimeZone = 'Asia/Tokyo';"
      "ALTER ROLE odd SET DateStyle = 'German'; ALTER ROLE odd SET lock_timeout = 0;"
      "ALTER ROLE odd SET default_transaction_read_only = off; ALTER ROLE odd SET jit = on");
  Open(Target(Postgres().Conninfo() + " user=odd application_name=mine"));
  EXPECT_EQ(Text(Query("SELECT concat_ws('|', current_user, current_setting('row_security'), "
                       "current_setting('search_path'), current_setting('TimeZone'), "
                       "current_setting('DateStyle'), current_setting('lock_timeout'), "
                       "current_setting('default_transaction_read_only'), "
                       "current_setting('jit'), current_setting('application_name'))")),
            "odd|off|pg_catalog|UTC|ISO, DMY|500ms|on|off|pgsteward:collector");
}

TEST_F(PgConnectionTest, TargetSaysPartDatabaseAndRights) {
  Postgres().DropDatabase("it's \"odd\"");
  Postgres().CreateDatabase("it's \"odd\"");
  PgTarget target = Target();
  target.database = "it's \"odd\"";
  target.part = "jobs";
  target.read_only = false;
  target.search_path = "public";
  target.lock_timeout = 1500ms;
  Open(target);
  EXPECT_EQ(connection_->database(), "it's \"odd\"");
  EXPECT_EQ(Text(Query("SELECT concat_ws('|', current_database(), "
                       "current_setting('application_name'), current_setting('search_path'), "
                       "current_setting('lock_timeout'), "
                       "current_setting('default_transaction_read_only'))")),
            "it's \"odd\"|pgsteward:jobs|public|1500ms|off");
  connection_.reset();
  Postgres().DropDatabase("it's \"odd\"");
}

TEST_F(PgConnectionTest, KnowsItsServer) {
  Open();
  EXPECT_EQ(std::to_string(connection_->server_version()), Text(Query("SHOW server_version_num")));
  EXPECT_EQ(std::to_string(connection_->backend_pid()), Text(Query("SELECT pg_backend_pid()")));
  EXPECT_EQ(connection_->database(), "postgres");
}

TEST_F(PgConnectionTest, ReadOnlySessionRefusesToWrite) {
  Open();
  const auto made = Query("CREATE TABLE must_not_be (n int)");
  EXPECT_EQ(Code(made), Errc::kQueryFailed);
  EXPECT_EQ(made.error().sqlstate, "25006");
  ExpectUsable();
}

// ---- statements ----

TEST_F(PgConnectionTest, ParametersAndNull) {
  Open();
  const std::string hostile = "'; DROP TABLE x; -- \\ \"\n";
  PgValues values = {"41", std::nullopt, hostile};
  const auto rows =
      Query("SELECT $1::int + 1 AS n, $2::text AS nothing, $3::text AS hostile", std::move(values));
  ASSERT_TRUE(rows) << ToText(rows.error());
  ASSERT_EQ(rows->rows(), 1);
  EXPECT_EQ(rows->column_name(0), "n");
  EXPECT_EQ(rows->Integer(0, 0), 42);
  EXPECT_TRUE(rows->IsNull(0, 1));
  EXPECT_EQ(rows->Text(0, 2), hostile);
}

TEST_F(PgConnectionTest, NoRowsManyRowsAndBigParameters) {
  Open();
  const auto none = Query("SELECT 1 AS n WHERE false");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->rows(), 0);
  EXPECT_EQ(none->columns(), 1);

  const auto many = Query("SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n");
  ASSERT_TRUE(many);
  EXPECT_EQ(many->rows(), 50000);
  EXPECT_EQ(many->Text(49999, 0), "50000");

  // More than the socket's buffer takes at once.
  PgValues values = {std::string(8'000'000, 'x')};
  EXPECT_EQ(Text(Query("SELECT length($1::text)", std::move(values))), "8000000");
}

TEST_F(PgConnectionTest, QueryTakesOneStatementOnly) {
  Open();
  EXPECT_EQ(Code(Query("SELECT 1; SELECT 2")), Errc::kQueryFailed);
  ExpectUsable();
}

TEST_F(PgConnectionTest, ScriptRunsSeveralStatementsInOneTransaction) {
  OpenWritable();
  EXPECT_EQ(
      Text(Script(
          "DROP TABLE IF EXISTS public.script_t; CREATE TABLE public.script_t (n int);"
          "INSERT INTO public.script_t VALUES (1), (2); SELECT count(*) FROM public.script_t")),
      "2");
  const auto failed =
      Script("INSERT INTO public.script_t VALUES (3); SELECT 1 / 0; SELECT 'never'");
  EXPECT_EQ(Code(failed), Errc::kQueryFailed);
  EXPECT_EQ(failed.error().sqlstate, "22012");
  EXPECT_EQ(Text(Query("SELECT count(*) FROM public.script_t")), "2") << "rolled back";
  const auto dropped = Script("DROP TABLE public.script_t");
  ASSERT_TRUE(dropped);
  EXPECT_EQ(dropped->command_tag(), "DROP TABLE");
}

TEST_F(PgConnectionTest, ExplicitTransactionWithAnotherTimeoutPerStatement) {
  OpenWritable();
  ASSERT_TRUE(Script("BEGIN", 3s));
  EXPECT_EQ(Text(Query("SELECT 'inside'", {}, 2s)), "inside");
  EXPECT_EQ(Code(Query("SELECT 1 / 0", {}, 1s)), Errc::kQueryFailed);
  const auto rolled_back = Script("ROLLBACK", 2s);
  ASSERT_TRUE(rolled_back) << ToText(rolled_back.error());
  // The rollback has undone the settings of the transaction; the timeouts still hold.
  EXPECT_EQ(Text(Query("SHOW statement_timeout", {}, 1s)), "900ms");
  EXPECT_EQ(Text(Query("SHOW statement_timeout", {}, 2s)), "1800ms");
}

TEST_F(PgConnectionTest, NoticesAreKept) {
  Open();
  EXPECT_THAT(connection_->TakeNotices(), IsEmpty());
  ASSERT_TRUE(
      Script("DO $$ BEGIN RAISE NOTICE 'one %', E'a\\nb'; RAISE WARNING 'two'; "
             "RAISE DEBUG 'not sent'; END $$"));
  const auto kept = connection_->TakeNotices();
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[0].Text(), "NOTICE: one a\nb");
  EXPECT_EQ(kept[0].sqlstate, "00000");
  EXPECT_EQ(kept[1].Text(), "WARNING: two");
  EXPECT_EQ(kept[1].sqlstate, "01000");
  EXPECT_THAT(connection_->TakeNotices(), IsEmpty());

  ASSERT_TRUE(Script("DO $$ BEGIN FOR i IN 1..150 LOOP RAISE NOTICE 'n%', i; END LOOP; END $$"));
  const auto newest = connection_->TakeNotices();
  ASSERT_EQ(newest.size(), 100U);
  EXPECT_EQ(newest.front().Text(), "NOTICE: n51");
  EXPECT_EQ(newest.back().Text(), "NOTICE: n150");
}

// ---- errors ----

TEST_F(PgConnectionTest, ErrorsCarrySqlstateAndHint) {
  Postgres().Exec(
      "DROP TABLE IF EXISTS secrets; DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN;"
      "CREATE TABLE secrets (n int)");
  Open(Target(Postgres().Conninfo() + " user=plain"));

  const auto denied = Query("SELECT * FROM public.secrets");
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Errc::kQueryFailed);
  EXPECT_EQ(denied.error().message, "permission denied for table secrets");
  EXPECT_EQ(denied.error().sqlstate, "42501");
  EXPECT_EQ(denied.error().hint, HintOfSqlstate("42501"));

  const auto missing = Query("SELECT * FROM no_such_table");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kUnsupported);
  EXPECT_EQ(missing.error().message, "relation \"no_such_table\" does not exist");
  EXPECT_EQ(missing.error().sqlstate, "42P01");

  const auto wrong = Query("SELEKT 1");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::kQueryFailed);
  EXPECT_EQ(wrong.error().sqlstate, "42601");

  const auto unreadable = Query("SELECT $1::int", {"abc"});
  ASSERT_FALSE(unreadable);
  EXPECT_EQ(unreadable.error().sqlstate, "22P02");
  ExpectUsable();
}

TEST_F(PgConnectionTest, RowLevelSecurityIsAnErrorNotFewerRows) {
  Postgres().Exec(
      "DROP TABLE IF EXISTS guarded; DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN;"
      "CREATE TABLE guarded AS SELECT 1 AS n; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;"
      "CREATE POLICY none ON guarded USING (false); GRANT SELECT ON guarded TO reader");
  Open(Target(Postgres().Conninfo() + " user=reader"));
  const auto rows = Query("SELECT count(*) FROM public.guarded");
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::kQueryFailed);
  EXPECT_EQ(rows.error().sqlstate, "42501");
}

// Whoever may create in public must not be able to have code run with our rights.
TEST_F(PgConnectionTest, OperatorsOfOtherSchemasAreNotUsed) {
  Postgres().Exec(
      "CREATE OR REPLACE FUNCTION public.trap(varchar, varchar) RETURNS boolean LANGUAGE sql AS "
      "'SELECT true'; DROP OPERATOR IF EXISTS public.<> (varchar, varchar);"
      "CREATE OPERATOR public.<> (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.trap)");
  Open(Target());
  EXPECT_EQ(Text(Query("SELECT 'a'::varchar <> 'a'::varchar")), "f");
}

TEST_F(PgConnectionTest, LockedTableIsBusySoon) {
  Postgres().Exec("DROP TABLE IF EXISTS locked_t; CREATE TABLE locked_t (n int)");
  PgClient holder = Postgres().Connect();
  holder.Exec("BEGIN; LOCK TABLE locked_t");
  PgTarget target = Target();
  target.lock_timeout = 50ms;
  Open(target);
  const SteadyTime start = SteadyNow();
  const auto rows = Query("SELECT * FROM public.locked_t");
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::kBusy);
  EXPECT_EQ(rows.error().sqlstate, "55P03");
  EXPECT_LT(SteadyNow() - start, 2s);
  holder.Exec("ROLLBACK");
  EXPECT_TRUE(Query("SELECT * FROM public.locked_t"));
}

}  // namespace
}  // namespace pgsteward
