// What a job's transaction brings with it, and that it leaves nothing behind.
#include "jobs/cutoff.h"
#include "tests/jobs/job_session_fixture.h"

namespace pgsteward {
namespace {

// What a transaction sets.
constexpr char kSettings[] = R"sql(
SELECT concat_ws(', ', current_setting('transaction_isolation'),
  'read_only ' || current_setting('transaction_read_only'),
  'path ' || current_setting('search_path'), 'rls ' || current_setting('row_security'),
  'jit ' || current_setting('jit'), current_setting('TimeZone'), current_setting('DateStyle'),
  current_setting('IntervalStyle'), 'strings ' || current_setting('standard_conforming_strings'),
  'statement ' || current_setting('statement_timeout'), 'lock ' || current_setting('lock_timeout'),
  'idle ' || current_setting('idle_in_transaction_session_timeout')))sql";

// What a session was given beyond its database's and role's settings. PgBouncer itself sets
// application_name and the other parameters that it tracks.
constexpr char kLeftBehind[] = R"sql(
SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_catalog.pg_settings
WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding', 'DateStyle',
  'TimeZone', 'standard_conforming_strings'))sql";

INSTANTIATE_TEST_SUITE_P(Routes, JobSessionTest, testing::Values(Route::kDirect, Route::kPooled),
                         RouteName);

TEST_P(JobSessionTest, ATransactionIsSetUpWhateverTheDatabaseSays) {
  Exec("ALTER DATABASE " + hub_ + " SET default_transaction_isolation = 'serializable'");
  Exec("ALTER DATABASE " + hub_ + " SET TimeZone = 'Asia/Kathmandu'");
  Exec("ALTER DATABASE " + hub_ + " SET IntervalStyle = 'iso_8601'");
  Exec("ALTER DATABASE " + hub_ + " SET search_path = public");
  Exec("ALTER DATABASE " + hub_ + " SET default_transaction_read_only = on");
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query(kSettings)),
            "read committed, read_only off, path pg_catalog, rls off, jit off, UTC, ISO, MDY, "
            "postgres, strings on, statement 4500ms, lock 500ms, idle 30s");
  EXPECT_EQ(Text(Commit()), "ok");
  Postgres().Exec("ALTER DATABASE " + hub_ + " RESET default_transaction_read_only");
  ExpectWorks();
}

TEST_P(JobSessionTest, ATransactionIsAsItWasAskedFor) {
  Open();
  TransactionSettings settings(2s);
  settings.lock_timeout = 123ms;
  settings.read_only = true;
  settings.repeatable_read = true;
  settings.local = {{"pgsteward.archiving", "on"}, {"test.text", R"(it's a \' "thing" $1;)"}};
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Query(kSettings)),
            "repeatable read, read_only on, path pg_catalog, rls off, jit off, UTC, ISO, MDY, "
            "postgres, strings on, statement 1800ms, lock 123ms, idle 30s");
  EXPECT_EQ(Text(Query("SELECT current_setting('pgsteward.archiving')")), "on");
  EXPECT_EQ(Text(Query("SELECT current_setting('test.text')")), R"(it's a \' "thing" $1;)");
  const auto refused = Query("INSERT INTO public.t VALUES (1)");
  EXPECT_EQ(Text(refused), "25006 cannot execute INSERT in a read-only transaction");
  EXPECT_EQ(refused.error().hint,
            "Connect to the primary: target_session_attrs=read-write in the conninfo.");
  Rollback();
  ExpectWorks();
}

TEST_P(JobSessionTest, ABackslashIsNoWayOutWhereStringsAreNotStandard) {
  Exec("ALTER DATABASE " + hub_ + " SET standard_conforming_strings = off");
  Open();
  TransactionSettings settings;
  settings.local = {{"test.text", R"(\', true); DROP TABLE public.t; --)"}};
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Query("SELECT current_setting('test.text')")),
            R"(\', true); DROP TABLE public.t; --)");
  EXPECT_EQ(Text(Commit()), "ok");
  ExpectWorks();
}

TEST_P(JobSessionTest, NothingOutlivesATransaction) {
  Open();
  TransactionSettings settings(2s);
  settings.read_only = true;
  settings.repeatable_read = true;
  settings.local = {{"pgsteward.archiving", "on"}, {"work_mem", "1MB"}};
  const auto expect_clean = [this](const char* when) {
    EXPECT_EQ(Text(Alone(kLeftBehind)), "NULL") << when;
    // Once set, PostgreSQL gives '' and not NULL.
    EXPECT_EQ(Text(Alone("SELECT current_setting('pgsteward.archiving', true)")), "") << when;
    EXPECT_EQ(Text(Alone("SELECT current_setting('transaction_read_only') || "
                         "current_setting('transaction_isolation')")),
              "offread committed")
        << when;
    // Whoever comes next: through the pooler, on the same connection of the server.
    PgClient other(Conninfo());
    EXPECT_EQ(other.Value(kLeftBehind), "") << when;
    if (pooled_route()) {
      EXPECT_EQ(other.Value("SELECT current_setting('pgsteward.archiving', true)"), "") << when;
      EXPECT_EQ("t", other.Value("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = "
                                 "current_database()"))
          << "not the same connection";
    }
  };
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Commit()), "ok");
  expect_clean("after COMMIT");
  ASSERT_EQ(Text(Begin(settings)), "ok");
  Rollback();
  expect_clean("after ROLLBACK");
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Query("SELECT 1 / 0")), "22012 division by zero");
  Rollback();
  expect_clean("after an error");
  EXPECT_EQ(Text(Query("SELECT 1")), "1");
  expect_clean("after a statement of its own");
  ExpectWorks();
}

TEST_P(JobSessionTest, TheNextTransactionHasItsOwnSettings) {
  Open();
  TransactionSettings settings(2s);
  settings.lock_timeout = 123ms;
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Commit()), "ok");
  const std::unique_ptr<JobSession> first = std::exchange(db_, nullptr);
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("SELECT current_setting('lock_timeout') || ' ' || "
                       "current_setting('statement_timeout')")),
            "500ms 4500ms");
  EXPECT_EQ(Text(Commit()), "ok");
  EXPECT_TRUE(first->open());
}

TEST_P(JobSessionTest, KnowsWhetherAPoolerLiesBetween) {
  Open();
  EXPECT_EQ(db_->pooled(), pooled_route());
  EXPECT_EQ(db_->database(), hub_);
  EXPECT_GE(db_->server_version(), 130000);
}

TEST_P(JobSessionTest, RunsNothingThatSomebodyPlanted) {
  // As the owner of the database may do, so that his come before the built-in ones.
  Exec("ALTER DATABASE " + hub_ + " SET search_path = public, pg_catalog");
  Exec(R"sql(
    CREATE TABLE public.trap (what text);
    CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE sql AS
      $$INSERT INTO public.trap VALUES ('pg_backend_pid'); SELECT 1$$;
    CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS
      $$INSERT INTO public.trap VALUES ('now'); SELECT '-infinity'::timestamptz$$;
    CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS
      $$INSERT INTO public.trap VALUES ('set_config'); SELECT ''$$;
    CREATE FUNCTION public.equal(int, int) RETURNS boolean LANGUAGE sql AS
      $$INSERT INTO public.trap VALUES ('='); SELECT false$$;
    CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = int, FUNCTION = public.equal))sql");
  EXPECT_EQ(Value("SELECT 1 = 1, now()"), "f") << "the trap works";
  Exec("TRUNCATE public.trap");
  Open();
  EXPECT_EQ(db_->pooled(), pooled_route());
  TransactionSettings settings;
  settings.local = {{"pgsteward.archiving", "on"}};
  ASSERT_EQ(Text(Begin(settings)), "ok");
  EXPECT_EQ(Text(Query("SELECT 1 = 1 AND now() > '-infinity' AND pg_backend_pid() > 1")), "t");
  EXPECT_EQ(Text(Commit()), "ok");
  EXPECT_EQ(Text(Query("SELECT 1 = 1")), "t");
  EXPECT_TRUE(RunCoro(runtime_, ReadCutoff(*db_, "UTC", "1 year")));
  EXPECT_EQ(Value("SELECT string_agg(what, ',') FROM public.trap"), "");
}

// ---- statements outside of a transaction ----

TEST_P(JobSessionTest, AStatementHasATransactionOfItsOwn) {
  Open();
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")),
            "23505 duplicate key value violates unique constraint \"t_pkey\"");
  EXPECT_EQ(Text(Query("SELECT current_setting('statement_timeout')", 1s)), "900ms");
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "1");
  ExpectNothingHeld();
  ExpectWorks();
}

TEST_P(JobSessionTest, WhatRefusesTransactionsRunsAlone) {
  Open();
  EXPECT_EQ(Text(Query("VACUUM public.t")), "25001 VACUUM cannot run inside a transaction block");
  EXPECT_EQ(Text(Alone("VACUUM public.t")), "ok");
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Alone("VACUUM public.t")), " a transaction is open");
  EXPECT_EQ(Text(Query("SELECT 1")), "1") << "and it is still good";
  EXPECT_EQ(Text(Commit()), "ok");
  ExpectWorks();
}

// ---- begin, commit, rollback ----

TEST_P(JobSessionTest, ARefusedSettingLeavesNoTransaction) {
  Open();
  TransactionSettings settings;
  settings.local = {{"work_mem", "much"}};
  EXPECT_EQ(Text(Begin(settings)), "22023 invalid value for parameter \"work_mem\": \"much\"");
  ExpectNothingHeld();
  ExpectWorks();
}

TEST_P(JobSessionTest, TransactionsDoNotNest) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  EXPECT_EQ(Text(Begin()), " a transaction was open and is rolled back");
  EXPECT_EQ(Text(Commit()), " no transaction is open");
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  ExpectWorks();
}

TEST_P(JobSessionTest, AFailedTransactionCannotBeCommitted) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.t VALUES (1)")), "ok");
  EXPECT_EQ(Text(Query("SELECT 1 / 0")), "22012 division by zero");
  EXPECT_EQ(
      Text(Query("SELECT 1")),
      "25P02 current transaction is aborted, commands ignored until end of transaction block");
  EXPECT_EQ(Text(Commit()), " the transaction had failed and was rolled back");
  EXPECT_EQ(Value("SELECT count(*) FROM public.t"), "0");
  ExpectWorks();
}

TEST_P(JobSessionTest, ADeferredConstraintFailsTheCommitForSure) {
  Exec("CREATE TABLE public.child (n int REFERENCES public.t DEFERRABLE INITIALLY DEFERRED)");
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("INSERT INTO public.child VALUES (7)")), "ok");
  const auto failed = Commit();
  EXPECT_EQ(Text(failed),
            "23503 insert or update on table \"child\" violates foreign key constraint "
            "\"child_n_fkey\"");
  EXPECT_EQ(failed.error().code, Errc::kQueryFailed) << "not: perhaps committed";
  ExpectWorks();
}

TEST_P(JobSessionTest, RollbackNeverFails) {
  db_ = NewSession();
  Rollback();  // before it was ever open
  EXPECT_EQ(Text(Begin()), " not connected");
  EXPECT_EQ(Text(Commit()), " not connected");
  EXPECT_EQ(Text(Query("SELECT 1")), " not connected");
  Open();
  Rollback();
  ASSERT_EQ(Text(Begin()), "ok");
  Rollback();
  Rollback();
  EXPECT_EQ(Text(Commit()), " no transaction is open");
  ExpectWorks();
}

TEST_P(JobSessionTest, NoPrivilegeSaysWhatToGrant) {
  Open();
  ASSERT_EQ(Text(Begin()), "ok");
  EXPECT_EQ(Text(Query("SET LOCAL ROLE pg_monitor")), "ok");
  const auto refused = Query("SELECT n FROM public.t");
  EXPECT_EQ(Text(refused), "42501 permission denied for table t");
  EXPECT_EQ(refused.error().hint,
            "Grant the role what schema/job_roles.sql grants, BYPASSRLS included.");
  Rollback();
  ExpectWorks();
}

}  // namespace
}  // namespace pgsteward
