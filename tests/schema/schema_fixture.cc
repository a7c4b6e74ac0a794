#include "tests/schema/schema_fixture.h"

#include <stdexcept>
#include <thread>

#include "tests/support/private_postgres.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

using namespace std::chrono_literals;

namespace {

// Prepared transactions to block with one.
[[maybe_unused]] const auto* const kPostgres =
    ::testing::AddGlobalTestEnvironment(new PostgresEnvironment({
        .settings = {"max_prepared_transactions=2"},
    }));

constexpr char kTemplate[] = "applied_hub";

PgTarget Target(const std::string& conninfo) {
  PgTarget target;
  target.conninfo = conninfo;
  return target;
}

Task<Result<ApplyReport>> OpenAndApply(ApplySession& session, const SchemaComponent& component,
                                       std::string to) {
  auto opened = co_await session.Open();
  if (!opened) co_return opened.error();
  co_return co_await ApplySchema(session, component, std::move(to));
}

Task<Result<ApplyReport>> OpenAndRecord(ApplySession& session, const SchemaComponent& component,
                                        std::string version) {
  auto opened = co_await session.Open();
  if (!opened) co_return opened.error();
  co_return co_await BaselineSchema(session, component, std::move(version));
}

}  // namespace

OneConnection::OneConnection(Runtime& runtime, const std::string& conninfo) {
  auto opened = RunCoro(runtime, PgConnection::Open(runtime, Target(conninfo)));
  if (!opened) throw std::runtime_error(opened.error().error.message);
  connection_ = std::move(*opened);
}

Task<Result<PgResult>> OneConnection::Query(std::string sql, PgValues values, Duration timeout) {
  co_return co_await connection_->Query(std::move(sql), std::move(values), timeout);
}

ApplyOptions QuickOptions() {
  ApplyOptions options;
  options.wait = 30s;
  options.timeout = 60s;
  options.retry_pause = 1ms;
  options.daemon_version = "9.9.9";
  return options;
}

Applied Apply(const std::string& conninfo, const std::string& to, const ApplyOptions& options,
              const SchemaComponent& component) {
  Runtime runtime;
  RecordingListener listener;
  ApplySession session(runtime, Target(conninfo), options, listener);
  Applied applied;
  applied.report = RunCoro(runtime, OpenAndApply(session, component, to));
  RunCoro(runtime, session.Close());
  applied.lines = listener.lines;
  applied.notices = listener.notices;
  return applied;
}

Applied Baseline(const std::string& conninfo, const std::string& version,
                 const SchemaComponent& component) {
  Runtime runtime;
  RecordingListener listener;
  ApplySession session(runtime, Target(conninfo), QuickOptions(), listener);
  Applied applied;
  applied.report = RunCoro(runtime, OpenAndRecord(session, component, version));
  RunCoro(runtime, session.Close());
  applied.lines = listener.lines;
  return applied;
}

Result<std::vector<PlannedStep>> Plan(const std::string& conninfo, const std::string& to,
                                      const SchemaComponent& component) {
  Runtime runtime;
  OneConnection db(runtime, conninfo);
  return RunCoro(runtime, PlanSchema(db, component, to, 10s));
}

Result<SchemaStatus> Status(const std::string& conninfo, const SchemaComponent& component) {
  Runtime runtime;
  OneConnection db(runtime, conninfo);
  return RunCoro(runtime, ReadStatus(db, component, 10s));
}

Result<SchemaCheck> Check(const std::string& conninfo, const SchemaComponent& component) {
  Runtime runtime;
  OneConnection db(runtime, conninfo);
  return RunCoro(runtime, CheckSchema(db, component, 10s));
}

std::vector<std::string> States(const Result<SchemaStatus>& status) {
  std::vector<std::string> states;
  for (const VersionStatus& version : status.value().versions) {
    states.push_back(version.version + " " + std::string(VersionStateName(version.state)));
  }
  return states;
}

std::vector<std::string> Summary(const std::vector<SchemaDifference>& differences) {
  std::vector<std::string> lines;
  for (const SchemaDifference& difference : differences) {
    lines.push_back(difference.kind + " " + difference.name + " " +
                    std::string(DriftName(difference.drift)));
  }
  return lines;
}

void SchemaTest::SetUp() { Postgres().CreateDatabase("hub"); }

void SchemaTest::TearDown() { Postgres().DropDatabase("hub"); }

std::string SchemaTest::Conninfo(const std::string& user) const {
  // The last of two equal keywords counts.
  return Postgres().Conninfo("hub") + " user=" + user;
}

void SchemaTest::UseAppliedHub() {
  static bool made = false;
  if (!made) {
    Postgres().CreateDatabase(kTemplate);
    const Applied applied = Apply(Postgres().Conninfo(kTemplate));
    if (!applied.report) throw std::runtime_error(ToText(applied.report.error()));
    made = true;
  }
  Postgres().DropDatabase("hub");
  Postgres().CreateDatabase("hub", kTemplate);
}

void SchemaTest::WaitFor(const std::string& sql) const {
  PgClient client = Postgres().Connect("hub");
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (client.Value(sql) != "t") {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("not true: " + sql);
    std::this_thread::sleep_for(5ms);
  }
}

}  // namespace pgsteward
