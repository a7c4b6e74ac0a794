#include <gmock/gmock.h>

#include "jobs/runner/lease.h"
#include "jobs/sql_statement.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const JobSpec kSql;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SqlTextTest, FirstWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"SELECT 1", "select"},
      {"  \n\t((Select 1))", "select"},
      {"-- all of it\nDELETE FROM x", "delete"},
      {"/* a /* b */ c */ /**/with y AS (SELECT) SELECT", "with"},
      {"commit;", "commit"},
      {"-- nothing", ""},
      {"/* open", ""},
      {"", ""},
      {"1", ""},
  };
  for (const auto& [sql, word] : cases) EXPECT_EQ(FirstWord(sql), word) << sql;
}

TEST(SqlTextTest, WhatCannotBeAJob) {
  for (const char* sql : {"SELECT 1", "VACUUM x", "CREATE INDEX ON x (y)", "CALL p()", "DO 'x'"}) {
    EXPECT_TRUE(CheckJobSql(sql)) << sql;
  }
  for (const char* sql : {"COMMIT", "/**/ Rollback", "BEGIN; x", "SET a = b", "RESET ALL",
                          "LISTEN x", "COPY x FROM STDIN", "PREPARE p AS SELECT 1", "  "}) {
    EXPECT_FALSE(CheckJobSql(sql)) << sql;
  }
}

TEST(SqlTextTest, RowsOfTags) {
  EXPECT_EQ(RowsOfTag("UPDATE 5"), 5);
  EXPECT_EQ(RowsOfTag("INSERT 0 12"), 12);
  EXPECT_EQ(RowsOfTag("SELECT 0"), 0);
  EXPECT_EQ(RowsOfTag("CREATE TABLE"), 0);
  EXPECT_EQ(RowsOfTag("DO"), 0);
}

Task<void> TakeLease(JobSession& db, std::vector<LeaseGrant>& grants) {
  auto opened = co_await db.Open();
  EXPECT_TRUE(opened);
  auto begun = co_await db.Begin(TransactionSettings());
  EXPECT_TRUE(begun);
  std::vector<std::string> names(1, "job/sql");
  auto taken = co_await AcquireLeases(db, std::move(names), "test", std::chrono::minutes(1));
  EXPECT_TRUE(taken);
  if (taken) grants = *taken;
  auto committed = co_await db.Commit();
  EXPECT_TRUE(committed);
}

class SqlTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    user_ = "pgsteward_jobs";
    Exec(
        "CREATE TABLE things (n int PRIMARY KEY); INSERT INTO things SELECT generate_series(1, 5);"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON things TO pgsteward_jobs");
  }
  std::string Count() const { return Value("SELECT count(*) FROM things"); }
};

TEST_F(SqlTest, ThePathBelongsToThePlan) {
  JobOptions options(kSql.options);
  const std::string plan = options.WideningText();
  options.Set("search_path", "public, pg_catalog");
  EXPECT_NE(options.WideningText(), plan);
}

TEST_F(SqlTest, RunsOneStatementAndCountsItsRows) {
  const RunResult run = Run(kSql, {{"sql", "DELETE FROM public.things WHERE n > 3"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 2);
  EXPECT_EQ(run.report.details.at("command"), "DELETE");
  EXPECT_EQ(control_.fences, 1);
  EXPECT_EQ(Count(), "3");
}

TEST_F(SqlTest, OutsideTheBoundsNothingIsKept) {
  const std::string sql = "DELETE FROM public.things WHERE n > 3";
  const RunResult many = Run(kSql, {{"sql", sql}, {"expect_rows_max", "1"}});
  EXPECT_EQ(many.Text(), "error  2 rows, expected at most 1; rolled back");
  EXPECT_EQ(many.report.rows_done, 0);
  EXPECT_EQ(Run(kSql, {{"sql", sql}, {"expect_rows_min", "3"}}).Text(),
            "error  2 rows, expected at least 3; rolled back");
  EXPECT_EQ(Count(), "5");
  EXPECT_EQ(Run(kSql, {{"sql", sql}, {"expect_rows_min", "2"}, {"expect_rows_max", "2"}}).Text(),
            "ok");
  EXPECT_EQ(Count(), "3");
}

TEST_F(SqlTest, ReadOnlyMeansIt) {
  EXPECT_EQ(Run(kSql, {{"sql", "DELETE FROM public.things"}, {"read_only", "true"}}).Text(),
            "error 25006 cannot execute DELETE in a read-only transaction");
  EXPECT_EQ(
      Run(kSql, {{"sql", "SELECT FROM public.things"}, {"read_only", "true"}}).report.rows_done, 5);
  EXPECT_EQ(Count(), "5");
}

// The fence locks a row of the lease, which a read-only transaction refuses.
TEST_F(SqlTest, ReadOnlyIsFencedByARealLease) {
  Runtime runtime;
  JobSession leases(runtime, Target());
  std::vector<LeaseGrant> grants;
  RunCoro(runtime, TakeLease(leases, grants));
  ASSERT_EQ(grants.size(), 1U);
  std::vector<std::string> fences;
  control_.on_fence = [&](JobSession& db) -> Task<void> {
    auto fenced = co_await FenceByLeases(db, grants, "test");
    fences.emplace_back("ok");
    if (!fenced) fences.back() = ToText(fenced.error());
  };
  const std::map<std::string, std::string> options = {{"sql", "SELECT FROM public.things"},
                                                      {"read_only", "true"}};
  EXPECT_EQ(Run(kSql, options).Text(), "ok");
  EXPECT_EQ(Run(kSql, {{"sql", "DELETE FROM public.things"}, {"read_only", "true"}}).Text(),
            "error 25006 cannot execute DELETE in a read-only transaction");
  EXPECT_EQ(Run(kSql, {{"sql", "SELECT set_config('transaction_read_only', 'off', true)"},
                       {"read_only", "true"}})
                .Text(),
            "error 25001 transaction read-write mode must be set before any query");
  EXPECT_THAT(fences, ElementsAre("ok", "ok", "ok"));
  EXPECT_EQ(Run(kSql, {{"sql", "DELETE FROM public.things"}}).Text(), "ok");
  EXPECT_EQ(Count(), "0");
}

// A COMMIT that is not answered may be done: the next attempt must not do it again.
TEST_F(SqlTest, ADueTimesStatementIsDoneOnce) {
  Exec("INSERT INTO pgsteward.job_state (job, type, timetable) VALUES ('sql', 'sql', 't')");
  std::string due = "'2026-01-01 00:00+00'";
  int attempt = 0;
  control_.on_fence = [&](JobSession&) -> Task<void> {
    Exec(
        "INSERT INTO pgsteward.job_run (run_id, job, type, trigger, due_at, attempt, started_at, "
        "host, pid, holder, lease_epoch, timeline, status) VALUES ('" +
        run_id_ + "', 'sql', 'sql', 'retry', " + due + ", " + std::to_string(++attempt) +
        ", now(), 'h', 1, 'h', 1, 1, 'running')");
    co_return;
  };
  std::map<std::string, std::string> options = {
      {"sql", "INSERT INTO public.things SELECT max(n) + 1 FROM public.things"}};
  // What is rolled back leaves no mark.
  options["expect_rows_max"] = "0";
  EXPECT_EQ(Run(kSql, options).Text(), "error  1 rows, expected at most 0; rolled back");
  options.erase("expect_rows_max");
  EXPECT_EQ(Run(kSql, options).report.rows_done, 1);
  const std::string first = run_id_;
  // As when its daemon was killed between COMMIT and the word of it.
  Exec("UPDATE pgsteward.job_run SET status = 'aborted', details = '{}'");
  EXPECT_EQ(Count(), "6");
  const RunResult again = Run(kSql, options);
  EXPECT_EQ(again.Text(), "ok");
  EXPECT_EQ(again.report.rows_done, 0);
  EXPECT_EQ(again.report.details.at("executed_by"), first);
  EXPECT_EQ(Count(), "6");
  due = "'2026-01-02 00:00+00'";
  EXPECT_EQ(Run(kSql, options).report.rows_done, 1);
  // By hand it has no due time, and is done as often as somebody wants it.
  due = "NULL";
  EXPECT_EQ(Run(kSql, options).report.rows_done, 1);
  EXPECT_EQ(Run(kSql, options).report.rows_done, 1);
  EXPECT_EQ(Count(), "9");
}

TEST_F(SqlTest, TheDryRunExplains) {
  const RunResult dry = DryRun(kSql, {{"sql", "DELETE FROM public.things"}});
  EXPECT_EQ(dry.Text(), "ok");
  EXPECT_THAT(dry.report.plan, ElementsAre("run one delete statement in a transaction of its own",
                                           HasSubstr("Delete on things"), HasSubstr("Seq Scan")));
  EXPECT_EQ(Count(), "5");
  EXPECT_EQ(DryRun(kSql, {{"sql", "DELETE FROM public.gone"}}).Text(),
            "error 42P01 relation \"public.gone\" does not exist");
  EXPECT_THAT(DryRun(kSql, {{"sql", "DO 'BEGIN END'"}}).report.plan,
              ElementsAre("run one do statement in a transaction of its own",
                          "no plan: EXPLAIN does not know such statements"));
}

TEST_F(SqlTest, RefusalsSayWhy) {
  user_ = "postgres";
  const RunResult two = Run(kSql, {{"sql", "DELETE FROM public.things; SELECT 1"}});
  EXPECT_EQ(two.Text(), "error 42601 cannot insert multiple commands into a prepared statement");
  EXPECT_THAT(two.outcome.error().hint, HasSubstr("one job each"));
  const RunResult vacuum = Run(kSql, {{"sql", "VACUUM public.things"}});
  EXPECT_EQ(vacuum.Text(), "error 25001 VACUUM cannot run inside a transaction block");
  EXPECT_THAT(vacuum.outcome.error().hint, HasSubstr("vacuum_analyze"));
  EXPECT_EQ(Run(kSql, {{"sql", "DO 'BEGIN DELETE FROM public.things; COMMIT; END'"}}).Text(),
            "error 2D000 invalid transaction termination");
  EXPECT_EQ(
      Run(kSql, {{"sql", "COMMIT"}}).Text(),
      "error  a job cannot run commit: it begins, ends or needs a transaction of more than one "
      "statement");
  EXPECT_EQ(Run(kSql).Text(), "error  the option sql holds no statement");
  EXPECT_EQ(Count(), "5");
  EXPECT_EQ(Run(kSql, {{"sql", "DELETE FROM public.things"}}).Text(), "ok");
}

// A function that somebody planted where everybody may create must not run with the jobs' rights.
TEST_F(SqlTest, NamesAreLookedUpInTheCatalogOnly) {
  Exec("CREATE FUNCTION public.lower(int) RETURNS text LANGUAGE sql AS $$SELECT 'planted'$$");
  EXPECT_EQ(Run(kSql, {{"sql", "SELECT lower(5)"}}).Text(),
            "error 42883 function lower(integer) does not exist");
  EXPECT_EQ(Run(kSql, {{"sql", "SELECT FROM things"}}).Text(),
            "error 42P01 relation \"things\" does not exist");
  const std::string path = "pg_catalog, public";
  EXPECT_EQ(Run(kSql, {{"sql", "SELECT FROM things"}, {"search_path", path}}).report.rows_done, 5);
  EXPECT_EQ(Run(kSql, {{"sql",
                        "SELECT WHERE current_setting('search_path') = "
                        "'pg_catalog, public, pg_temp'"},
                       {"search_path", path},
                       {"expect_rows_min", "1"}})
                .Text(),
            "ok");
}

TEST_F(SqlTest, TimeoutsLocksAndTheLeaseEndIt) {
  const std::string sql = "DELETE FROM public.things";
  EXPECT_EQ(Run(kSql, {{"sql", "SELECT pg_sleep(30)"}, {"timeout", "1s"}}).Text().substr(0, 11),
            "error 57014");
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE things");
  EXPECT_EQ(Run(kSql, {{"sql", sql}, {"lock_timeout", "1s"}}).Text(),
            "error 55P03 canceling statement due to lock timeout");
  holder.Exec("ROLLBACK");
  control_.lose_lease_at = control_.fences + 1;
  EXPECT_EQ(Run(kSql, {{"sql", sql}}).Text(), "error  the lease is lost");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Count(), "5");
  control_.stop_reason = "paused";
  EXPECT_EQ(Run(kSql, {{"sql", sql}}).Text(), "partial paused");
  control_.stop_reason.clear();
  EXPECT_EQ(Run(kSql, {{"sql", sql}}).Text(), "ok");
  EXPECT_EQ(Count(), "0");
}

}  // namespace
}  // namespace pgsteward
