#include "tests/collectors/locks_fixture.h"

#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/run_coro.h"

namespace pgsteward {

namespace {

// Connections: more than blocking examines.
[[maybe_unused]] const auto* const kPostgres =
    ::testing::AddGlobalTestEnvironment(new PostgresEnvironment(
        {.tcp = false, .max_connections = 240, .settings = {"max_prepared_transactions=10"}}));

}  // namespace

MeasuringDatabase::MeasuringDatabase(const std::string& conninfo, Duration lock_timeout) {
  PgTarget target;
  target.conninfo = conninfo;
  target.lock_timeout = lock_timeout;
  auto opened = RunCoro(runtime_, PgConnection::Open(runtime_, std::move(target)));
  if (!opened) throw std::runtime_error("cannot connect: " + opened.error().error.message);
  connection_ = std::move(*opened);
}

Task<Result<PgResult>> MeasuringDatabase::Query(std::string sql, PgValues values,
                                                Duration timeout) {
  ++statements_;
  if (rewrite) sql = rewrite(std::move(sql));
  return connection_->Query(std::move(sql), std::move(values), timeout);
}

void LocksTest::SetUp() {
  static int number = 0;
  dbname_ = "locks" + std::to_string(++number);
  Postgres().CreateDatabase(dbname_);
}

void LocksTest::TearDown() {
  // A prepared transaction that a failed test left behind would hold the database.
  const PgResult left = Postgres().Exec("SELECT gid FROM pg_prepared_xacts");
  for (int row = 0; row < left.rows(); ++row) {
    Exec("ROLLBACK PREPARED '" + std::string(left.Text(row, 0)) + "'");
  }
  Postgres().DropDatabase(dbname_);
}

void LocksTest::WaitForWaiters(int count) const {
  PgClient client = Connect();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const std::string wanted = std::to_string(count);
  for (;;) {
    const std::string waiting = client.Value("SELECT count(*) FROM pg_locks WHERE NOT granted");
    if (waiting == wanted) return;
    if (std::chrono::steady_clock::now() > give_up) {
      FAIL() << waiting << " locks are waited for instead of " << wanted;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Families LocksTest::Collect(const CollectorSpec& spec, MeasuringDatabase& db) {
  CollectorContext context{db, options_, spec.timeout, memory_};
  auto families = RunCoro(db.runtime(), pgsteward::Collect(spec, context));
  if (families) return *families;
  ADD_FAILURE() << spec.name << ": " << ToText(families.error());
  return {};
}

Families LocksTest::Collect(const CollectorSpec& spec) {
  MeasuringDatabase db(Conninfo());
  return Collect(spec, db);
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

}  // namespace pgsteward
