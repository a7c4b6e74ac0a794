#include "jobs/vacuum.h"

#include <gmock/gmock.h>

#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Task<Result<void>> OpenAndVacuum(JobContext& context, std::string table) {
  auto opened = co_await context.db.Open();
  if (!opened) co_return opened;
  co_return co_await VacuumTable(context, std::move(table), VacuumOptions());
}

class VacuumTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    Exec(
        "DO $$ BEGIN CREATE ROLE vacuum_plain LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;"
        "CREATE TABLE \"Old things\" (n int); INSERT INTO \"Old things\" SELECT generate_series(1, "
        "9);"
        "DELETE FROM \"Old things\" WHERE n > 3");
  }
  std::string Vacuum(const std::string& table, bool dry_run = false) {
    Runtime runtime;
    JobSession db(runtime, Target());
    const JobOptions options({});
    JobContext context{runtime, db, options, control_, "vacuum", "", "UTC", dry_run};
    const auto done = RunCoro(runtime, OpenAndVacuum(context, table));
    return done ? "ok" : std::string(ErrcName(done.error().code)) + " " + ToText(done.error());
  }
  // Of the only page that the nine rows lie in: what VACUUM marks.
  std::string AllVisible() {
    Exec("CREATE EXTENSION IF NOT EXISTS pg_visibility");
    return Value("SELECT all_visible FROM pg_visibility_map_summary('\"Old things\"')");
  }
};

// The server only warns, and somebody may have silenced it.
TEST_F(VacuumTest, WhereWarningsAreHiddenNothingIsTakenForDone) {
  Exec("ALTER DATABASE " + hub_ + " SET client_min_messages = error");
  EXPECT_EQ(Vacuum("public.\"Old things\""),
            "query_failed client_min_messages hides the warnings by which VACUUM and ANALYZE say "
            "that they did nothing; hint: ALTER ROLE postgres SET client_min_messages = warning, "
            "or of the database.");
  EXPECT_EQ(AllVisible(), "0");
  Exec("ALTER DATABASE " + hub_ + " RESET client_min_messages");
  EXPECT_EQ(Vacuum("public.\"Old things\""), "ok");
  EXPECT_EQ(AllVisible(), "1");
}

TEST_F(VacuumTest, VacuumsAndAnalyzes) {
  EXPECT_EQ(AllVisible(), "0");
  EXPECT_EQ(Vacuum("public.\"Old things\"", true), "ok");
  EXPECT_EQ(AllVisible(), "0");
  EXPECT_THAT(control_.notes, IsEmpty());
  EXPECT_EQ(Vacuum("public.\"Old things\""), "ok");
  EXPECT_EQ(AllVisible(), "1");
  EXPECT_EQ(Value("SELECT reltuples FROM pg_class WHERE relname = 'Old things'"), "3");
  EXPECT_THAT(control_.notes, ElementsAre("vacuum public.\"Old things\""));
}

// Defect D12: the server says VACUUM, with a warning that nobody reads.
TEST_F(VacuumTest, D12NotTheOwnerIsAnError) {
  user_ = "vacuum_plain";
  EXPECT_EQ(Vacuum("public.\"Old things\""),
            "query_failed role vacuum_plain may not vacuum public.\"Old things\" (SQLSTATE 42501); "
            "hint: VACUUM needs the owner of the table or of the database: GRANT the owner's role "
            "to vacuum_plain.");
  EXPECT_EQ(AllVisible(), "0");
  Exec("ALTER TABLE \"Old things\" OWNER TO vacuum_plain");
  EXPECT_EQ(Vacuum("public.\"Old things\""), "ok");
  EXPECT_EQ(AllVisible(), "1");
}

TEST_F(VacuumTest, APartitionOfSomebodyElseIsAnError) {
  Exec(
      "CREATE TABLE parted (n int) PARTITION BY RANGE (n);"
      "CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM (0) TO (9);"
      "CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM (9) TO (19);"
      "ALTER TABLE parted OWNER TO vacuum_plain; ALTER TABLE p1 OWNER TO vacuum_plain");
  user_ = "vacuum_plain";
  EXPECT_EQ(Vacuum("public.parted").substr(0, 77),
            "query_failed role vacuum_plain may not vacuum public.p2 (SQLSTATE 42501); hin");
  Exec("ALTER TABLE p2 OWNER TO vacuum_plain");
  EXPECT_EQ(Vacuum("public.parted"), "ok");
}

TEST_F(VacuumTest, ALockedTableIsPassedOverAndReported) {
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE \"Old things\" IN ROW EXCLUSIVE MODE");
  EXPECT_EQ(Vacuum("public.\"Old things\""), "ok");
  holder.Exec("LOCK TABLE \"Old things\" IN SHARE UPDATE EXCLUSIVE MODE");
  EXPECT_EQ(
      Vacuum("public.\"Old things\""),
      "busy public.\"Old things\" was not vacuumed: skipping vacuum of \"Old things\" --- lock "
      "not available (SQLSTATE 55P03); hint: Another session holds a lock on it; the next run "
      "tries again.");
  holder.Exec("ROLLBACK");
  EXPECT_EQ(Vacuum("public.\"Old things\""), "ok");
}

TEST_F(VacuumTest, OnlyTablesAndOnlyWhileWeMay) {
  EXPECT_EQ(Vacuum("public.users_active").substr(0, 51),
            "query_failed there is no table public.users_active ");
  control_.lose_lease_at = control_.fences + 1;
  EXPECT_EQ(Vacuum("public.\"Old things\""), "busy the lease is lost");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Vacuum("public.\"Old things\""), "ok");
}

}  // namespace
}  // namespace pgsteward
