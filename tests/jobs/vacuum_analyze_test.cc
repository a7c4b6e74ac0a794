#include <gmock/gmock.h>

#include "jobs/vacuum_choice.h"
#include "tests/jobs/job_fixture.h"

namespace pgsteward {

extern const JobSpec kVacuumAnalyze;

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TableChurn Churn(std::string table, long long live, long long dead,
                 std::optional<double> vacuumed_s = {}) {
  TableChurn churn;
  churn.table = std::move(table);
  churn.live = live;
  churn.dead = dead;
  churn.vacuumed_s = vacuumed_s;
  return churn;
}

std::vector<std::string> Names(const VacuumChoice& choice) {
  std::vector<std::string> names;
  for (const TableChurn& table : choice.chosen) names.push_back(table.table);
  return names;
}

ChurnPolicy Policy() {
  ChurnPolicy policy;
  policy.dead_rows = 100;
  policy.dead_fraction = 0.1;
  policy.not_within_s = 3600;
  policy.most_tables = 10;
  return policy;
}

TEST(VacuumChoiceTest, ThresholdsAndOrder) {
  const std::vector<TableChurn> tables = {Churn("exactly", 0, 100),
                                          Churn("one more", 909, 101),
                                          Churn("too thin", 910, 101),
                                          Churn("just now", 0, 500, 3599),
                                          Churn("long ago", 0, 500, 3600),
                                          Churn("b", 0, 700),
                                          Churn("a", 0, 700)};
  EXPECT_THAT(Names(ChooseChurned(tables, Policy())),
              ElementsAre("a", "b", "long ago", "one more"));
}

TEST(VacuumChoiceTest, ARunningVacuumIsPassedOverAndTheRestWaits) {
  std::vector<TableChurn> tables = {Churn("a", 0, 900), Churn("b", 0, 800), Churn("c", 0, 700),
                                    Churn("d", 0, 10)};
  tables[0].vacuum_running = true;
  tables[3].vacuum_running = true;
  ChurnPolicy policy = Policy();
  policy.most_tables = 1;
  const VacuumChoice choice = ChooseChurned(tables, policy);
  EXPECT_THAT(Names(choice), ElementsAre("b"));
  EXPECT_THAT(choice.passed_over,
              ElementsAre("a: a vacuum of it is running", "c: left for the next run"));
}

TEST(VacuumChoiceTest, ListedOnesAreTakenWhateverTheirState) {
  std::vector<TableChurn> tables = {Churn("b", 5, 0, 1), Churn("gone", 0, 0), Churn("a", 0, 9)};
  tables[1].exists = false;
  const VacuumChoice choice = ChooseListed(tables);
  EXPECT_THAT(Names(choice), ElementsAre("b", "a"));
  EXPECT_THAT(choice.passed_over, ElementsAre("gone: there is no such table"));
}

class VacuumAnalyzeTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    for (const char* name : {"small", "large"}) {
      Exec(std::string("CREATE TABLE ") + name + " (n int) WITH (autovacuum_enabled = off)");
    }
    Exec(
        "INSERT INTO small SELECT generate_series(1, 300); DELETE FROM small WHERE n > 100;"
        "INSERT INTO large SELECT generate_series(1, 3000); DELETE FROM large WHERE n > 1000");
    // Statistics come late.
    WaitFor(
        "SELECT sum(n_dead_tup) = 2200 FROM pg_stat_user_tables "
        "WHERE relname IN ('small', 'large')");
  }
  std::map<std::string, std::string> options_ = {{"dead_rows", "150"}};
};

TEST_F(VacuumAnalyzeTest, TakesTheNeediestFirst) {
  const Backlog backlog = MeasureBacklog(kVacuumAnalyze, options_).value();
  EXPECT_EQ(backlog.rows, 2);
  EXPECT_THAT(DryRun(kVacuumAnalyze, options_).report.plan,
              ElementsAre("vacuum public.large: 2000 dead of 3000 rows, never vacuumed",
                          "vacuum public.small: 200 dead of 300 rows, never vacuumed"));
  const RunResult run = Run(kVacuumAnalyze, options_);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 2);
  EXPECT_EQ(run.report.details.at("tables"), "public.large, public.small");
  EXPECT_THAT(control_.notes, ElementsAre("vacuum public.large", "vacuum public.small"));
  EXPECT_EQ(Value("SELECT reltuples FROM pg_class WHERE relname = 'large'"), "1000");
  WaitFor(
      "SELECT sum(n_dead_tup) = 0 FROM pg_stat_user_tables WHERE relname IN ('small', 'large')");
  EXPECT_THAT(DryRun(kVacuumAnalyze, options_).report.plan, ElementsAre("no table needs it"));
}

TEST_F(VacuumAnalyzeTest, StopsBetweenTables) {
  control_.on_progress = [&](const JobReport&) { control_.stop_reason = "window"; };
  const RunResult run = Run(kVacuumAnalyze, options_);
  EXPECT_EQ(run.Text(), "partial window");
  EXPECT_EQ(run.report.details.at("tables"), "public.large");
  control_.stop_reason.clear();
  control_.on_progress = nullptr;
  WaitFor("SELECT n_dead_tup = 0 FROM pg_stat_user_tables WHERE relname = 'large'");
  EXPECT_EQ(Run(kVacuumAnalyze, options_).report.details.at("tables"), "public.small");
}

TEST_F(VacuumAnalyzeTest, ALockedTableDoesNotStopTheOthers) {
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE large IN SHARE UPDATE EXCLUSIVE MODE");
  const RunResult run = Run(kVacuumAnalyze, options_);
  EXPECT_EQ(run.Text(),
            "partial passed_over: public.large: public.large was not vacuumed: skipping vacuum of "
            "\"large\" --- lock not available");
  EXPECT_EQ(run.report.details.at("tables"), "public.small");
  EXPECT_EQ(run.report.rows_skipped, 1);
  holder.Exec("ROLLBACK");
  EXPECT_EQ(Run(kVacuumAnalyze, options_).Text(), "ok");
}

// Somebody else's vacuum of the table, which is slowed down, is under way.
TEST_F(VacuumAnalyzeTest, ARunningVacuumIsRespected) {
  PgClient other = Connect();
  other.Exec("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1");
  other.ExecAsync("VACUUM large");
  WaitFor("SELECT count(*) = 1 FROM pg_stat_progress_vacuum");
  EXPECT_EQ(
      Run(kVacuumAnalyze, {{"tables", "public.large\npublic.small\npublic.gone"}}).Text(),
      "partial passed_over: public.large: a vacuum of it is running; public.gone: there is no "
      "such table");
  EXPECT_THAT(control_.notes, ElementsAre("vacuum public.small"));
  Exec("SELECT pg_cancel_backend(" + std::to_string(other.pid()) + ")");
  WaitFor("SELECT count(*) = 0 FROM pg_stat_progress_vacuum");
  EXPECT_EQ(Run(kVacuumAnalyze, {{"tables", "public.large"}}).Text(), "ok");
}

// Defect D12 once more: the role of the jobs owns nothing, and that is said.
TEST_F(VacuumAnalyzeTest, D12ARoleThatOwnsNothingFails) {
  user_ = "pgsteward_jobs";
  const RunResult run = Run(kVacuumAnalyze, options_);
  EXPECT_EQ(run.Text(), "error 42501 role pgsteward_jobs may not vacuum public.large");
  EXPECT_EQ(DryRun(kVacuumAnalyze, options_).report.plan.front(),
            "pass over public.large: role pgsteward_jobs may not vacuum public.large");
  Exec("ALTER TABLE large OWNER TO pgsteward_jobs");
  EXPECT_EQ(Run(kVacuumAnalyze, options_).Text(),
            "partial passed_over: public.small: role pgsteward_jobs may not vacuum public.small");
  Exec("ALTER TABLE small OWNER TO pgsteward_jobs");
  EXPECT_EQ(Run(kVacuumAnalyze, {{"tables", "public.small"}}).Text(), "ok");
}

}  // namespace
}  // namespace pgsteward
