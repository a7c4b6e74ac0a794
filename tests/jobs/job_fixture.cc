#include "tests/jobs/job_fixture.h"

#include <chrono>
#include <stdexcept>
#include <thread>

#include "schema/apply.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

namespace {

// Over TCP for the tests with a gate or a pooler in between.
[[maybe_unused]] const auto* const kPostgres =
    ::testing::AddGlobalTestEnvironment(new PostgresEnvironment(
        // A crash must not lose what was committed: that is another subject.
        {.tcp = true, .settings = {"synchronous_commit=on", "max_prepared_transactions=5"}}));

constexpr char kTemplate[] = "jobs_hub_template";

class Silent : public ApplyListener {
  void Started(const std::string&) override {}
  void Finished(const std::string&, Duration) override {}
  void Note(const std::string&) override {}
  void Notice(const std::string&) override {}
};

Task<Result<ApplyReport>> Apply(ApplySession& session) {
  auto opened = co_await session.Open();
  if (!opened) co_return opened.error();
  Result<ApplyReport> report = ApplyReport();
  for (const SchemaComponent* component : AllComponents()) {
    if (report) report = co_await ApplySchema(session, *component, "");
  }
  co_await session.Close();
  co_return report;
}

JobOptions Options(const JobSpec& spec, const std::map<std::string, std::string>& values) {
  JobOptions options(spec.options);
  for (const JobOption& option : spec.options) {
    const auto given = values.find(std::string(option.name));
    if (given == values.end()) continue;
    options.Set(option.name, NormalOption(option, given->second).value());
  }
  return options;
}

Task<Result<void>> OpenAndRun(JobContext& context, const JobSpec& spec, JobReport& report) {
  auto opened = co_await context.db.Open();
  if (!opened) co_return opened;
  co_return co_await spec.run(context, report);
}

Task<Result<Backlog>> OpenAndMeasure(JobSession& db, const JobSpec& spec, const JobOptions& options,
                                     const std::string& time_zone) {
  auto opened = co_await db.Open();
  if (!opened) co_return opened.error();
  co_return co_await spec.backlog(db, options, time_zone);
}

}  // namespace

std::string RunResult::Text() const {
  if (!outcome) return "error " + outcome.error().sqlstate + " " + outcome.error().message;
  const std::string status(RunStatusName(report.status));
  return report.reason.empty() ? status : status + " " + report.reason;
}

void JobTest::SetUpTestSuite() {
  static bool made = false;
  if (made) return;
  made = true;
  Postgres().CreateDatabase(kTemplate);
  Runtime runtime;
  Silent silent;
  PgTarget target;
  target.conninfo = Postgres().Conninfo(kTemplate);
  ApplySession session(runtime, target, ApplyOptions(), silent);
  const auto applied = RunCoro(runtime, Apply(session));
  if (!applied) throw std::runtime_error(ToText(applied.error()));
  Postgres().Exec("CREATE ROLE hub_owner");
  Postgres().Psql(kTemplate, {"-q", "-f", PGSTEWARD_SCHEMA "/job_roles.sql"});
}

void JobTest::SetUp() {
  static int number = 0;
  hub_ = "jobs" + std::to_string(++number);
  Postgres().CreateDatabase(hub_, kTemplate);
}

void JobTest::TearDown() { Postgres().DropDatabase(hub_); }

PgTarget JobTest::Target() const {
  PgTarget target;
  target.conninfo = Postgres().Conninfo(hub_) + " user=" + user_;
  target.part = "job/test";
  return target;
}

RunResult JobTest::Run(const JobSpec& spec, const std::map<std::string, std::string>& options,
                       const std::map<std::string, std::string>& arguments) {
  Runtime runtime;
  JobSession db(runtime, Target());
  const JobOptions values = Options(spec, options);
  run_id_ = Value("SELECT gen_random_uuid()");
  JobContext context{runtime, db, values, control_, std::string(spec.name), run_id_, time_zone_};
  context.arguments = arguments;
  context.server = server_;
  RunResult result;
  result.outcome = RunCoro(runtime, OpenAndRun(context, spec, result.report));
  return result;
}

RunResult JobTest::DryRun(const JobSpec& spec, const std::map<std::string, std::string>& options,
                          const std::map<std::string, std::string>& arguments) {
  Runtime runtime;
  JobSession db(runtime, Target());
  const JobOptions values = Options(spec, options);
  run_id_ = Value("SELECT gen_random_uuid()");
  JobContext context{runtime, db, values, control_, std::string(spec.name), run_id_, time_zone_};
  context.arguments = arguments;
  context.server = server_;
  context.dry_run = true;
  RunResult result;
  result.outcome = RunCoro(runtime, OpenAndRun(context, spec, result.report));
  return result;
}

Result<Backlog> JobTest::MeasureBacklog(const JobSpec& spec,
                                        const std::map<std::string, std::string>& options) {
  Runtime runtime;
  JobSession db(runtime, Target());
  const JobOptions values = Options(spec, options);
  return RunCoro(runtime, OpenAndMeasure(db, spec, values, time_zone_));
}

void JobTest::WaitFor(const std::string& sql) const {
  PgClient client = Postgres().Connect(hub_);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (client.Value(sql) != "t") {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("not true: " + sql);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace pgsteward
