#include "tests/collectors/collector_fixture.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/run_coro.h"

namespace pgsteward {

namespace {

// Enough for more groups of sessions than stat_activity exports.
const auto* const kPostgres = ::testing::AddGlobalTestEnvironment(new PostgresEnvironment(
    {.tcp = false, .max_connections = 160, .settings = {"wal_level=logical"}}));

std::string ReadSchemaFile(const std::string& name) {
  std::ifstream file(std::string(PGSTEWARD_SCHEMA) + "/" + name + ".sql");
  if (!file) throw std::runtime_error("cannot read schema/" + name + ".sql");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

void ApplyHubSchema(const std::string& dbname) {
  PgClient client = Postgres().Connect(dbname);
  for (const char* name :
       {"v1.0.0/create_tables", "v1.0.0/create_functions", "v1.0.0/create_views",
        "v1.0.0/create_triggers", "v1.0.0/create_indexes", "v1.0.0/initial_data",
        "v1.1.0/google_drive_files", "v1.2.0/messages_archive", "v1.2.0/guarded_triggers",
        "v1.2.0/activity_counts", "v1.2.0/row_level_security", "v1.2.0/email_encryption"}) {
    client.Exec(ReadSchemaFile(name));
  }
  for (const char* name : {"v1.0.0/concurrent_indexes", "v1.2.0/concurrent_indexes"}) {
    // CREATE INDEX CONCURRENTLY must be alone.
    const std::string text = ReadSchemaFile(name);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(";\n", begin), text.size());
      client.Exec(text.substr(begin, end - begin));
      begin = end + 2;
    }
  }
}

ConnectedDatabase::ConnectedDatabase(const std::string& dbname, const std::string& user) {
  PgTarget target;
  target.conninfo = Postgres().Conninfo(dbname) + " user=" + user;
  auto opened = RunCoro(runtime_, PgConnection::Open(runtime_, std::move(target)));
  if (!opened) throw std::runtime_error("cannot connect: " + opened.error().error.message);
  connection_ = std::move(*opened);
}

Task<Result<PgResult>> ConnectedDatabase::Query(std::string sql, PgValues values,
                                                Duration timeout) {
  return connection_->Query(std::move(sql), std::move(values), timeout);
}

void CollectorTest::SetUpTestSuite() {
  if (Postgres().Value("SELECT count(*) FROM pg_roles WHERE rolname = 'monitor'") == "1") return;
  Postgres().Exec(
      "CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor; CREATE ROLE plain LOGIN");
  Postgres().CreateDatabase("hub_template");
  ApplyHubSchema("hub_template");
  Postgres().Exec("GRANT SELECT ON ALL TABLES IN SCHEMA public TO monitor", "hub_template");
}

void CollectorTest::SetUp() {
  static int number = 0;
  hub_ = "hub" + std::to_string(++number);
  Postgres().CreateDatabase(hub_, "hub_template");
}

void CollectorTest::TearDown() { Postgres().DropDatabase(hub_); }

Result<Families> CollectorTest::Run(std::string_view collector, const std::string& user,
                                    const std::string& dbname) {
  const CollectorSpec* spec = FindCollector(collector);
  if (!spec) throw std::runtime_error("no collector " + std::string(collector));
  ConnectedDatabase db(dbname.empty() ? hub_ : dbname, user);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (;;) {
    const auto nameless =
        RunCoro(db.runtime(), db.Query("SELECT count(*) FROM pg_stat_activity "
                                       "WHERE application_name = '' AND datname IS NOT NULL",
                                       PgValues(), spec->timeout));
    if (nameless && nameless->Text(0, 0) == "0") break;
    if (std::chrono::steady_clock::now() > give_up) {
      throw std::runtime_error("sessions of the test do not end");
    }
  }
  CollectorContext context{db, options_, spec->timeout, memory_};
  return RunCoro(db.runtime(), Collect(*spec, context));
}

std::vector<std::string> CollectorTest::Lines(std::string_view collector, std::string_view metric,
                                              const std::string& user) {
  const auto families = Run(collector, user);
  if (!families) {
    ADD_FAILURE() << collector << ": " << ToText(families.error());
    return {};
  }
  return LinesOf(*families, metric);
}

std::vector<std::string> LinesOf(const Families& families, std::string_view metric) {
  for (const auto& family : families) {
    if (family.name != metric) continue;
    std::istringstream text(RenderSamples(family, {}).text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
  ADD_FAILURE() << "no family " << metric;
  return {};
}

int CollectorTest::ServerMajor() const {
  return std::stoi(Postgres().Value("SHOW server_version_num")) / 10000;
}

void CollectorTest::WaitFor(const std::string& sql) const {
  PgClient client = Postgres().Connect(hub_);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (client.Value(sql) != "t") {
    if (std::chrono::steady_clock::now() > give_up) {
      FAIL() << "never became true: " << sql;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace pgsteward
