#include "jobs/backup/restore_target.h"

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <string_view>
#include <utility>

#include "core/pg_text.h"
#include "core/random.h"
#include "core/task_group.h"
#include "core/wait.h"
#include "jobs/backup/database_statements.h"

namespace pgsteward {

namespace asio = boost::asio;

namespace {

constexpr Duration kStatementTimeout = std::chrono::minutes(10);
constexpr Duration kClearEvery = std::chrono::milliseconds(100);
constexpr Duration kRetryPause = std::chrono::seconds(1);
constexpr int kRenameAttempts = 3;   // the server itself waits 5 s for sessions to go
constexpr int kReturnAttempts = 30;  // of a server that is away

// Of databases by oid; autovacuum the server ends itself. Of that server only: a connection string
// with several hosts may lead to another one.
constexpr std::string_view kClearSql = R"sql(
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datid = ANY ($1::oid[]) AND pid <> pg_backend_pid() AND pg_postmaster_start_time()::text = $2
)sql";

constexpr std::string_view kOidsSql = R"sql(
SELECT array_agg(oid)::text, pg_postmaster_start_time()::text
FROM pg_database WHERE datname = ANY ($1::text[])
)sql";

constexpr std::string_view kEndFormerSql = R"sql(
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1::int AND application_name = 'pgsteward:restore'
)sql";

constexpr std::string_view kInTheWaySql = R"sql(
SELECT 'replication slot ' || slot_name FROM pg_replication_slots WHERE database = $1
UNION ALL
SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = $1
LIMIT 1
)sql";

// While the databases are being renamed no new session gets in, but those that are there must go.
Task<void> KeepClearing(Runtime& runtime, PgTarget target, std::string oids, std::string server) {
  std::unique_ptr<PgConnection> db;
  for (;;) {
    if (!db || !db->usable()) {
      PgTarget again = target;
      auto opened = co_await PgConnection::Open(runtime, std::move(again));
      db = opened ? std::move(*opened) : nullptr;
    }
    if (db) {
      PgValues values;
      values.emplace_back(oids);
      values.emplace_back(server);
      co_await db->Query(std::string(kClearSql), std::move(values), kRetryPause);
    }
    co_await SleepUntil(SteadyNow() + kClearEvery);
  }
}

bool IsInUse(const Error& error) {
  return error.sqlstate == "55006" || error.sqlstate == "55P03";  // sessions, or a lock of theirs
}

// The second one when two take the name at the same moment.
bool IsTaken(const Error& error) { return error.sqlstate == "42P04" || error.sqlstate == "23505"; }

bool IsAway(const Error& error) {
  return error.code == Errc::kConnectionLost || error.code == Errc::kUnavailable ||
         error.code == Errc::kTimeout;
}

}  // namespace

std::string NameBeside(const std::string& name, const std::string& word) {
  const std::string suffix = "_" + word + "_" + RandomHex(6);
  std::size_t length = std::min(name.size(), kLongestName - suffix.size());
  // Not within a character.
  while (length < name.size() && length > 0 &&
         (static_cast<unsigned char>(name[length]) & 0xC0U) == 0x80U) {
    --length;
  }
  return name.substr(0, length) + suffix;
}

Task<Result<void>> RestoreTarget::Open() {
  PgTarget target = target_;
  auto opened = co_await PgConnection::Open(runtime_, std::move(target));
  if (!opened) co_return opened.error().error;
  db_ = std::move(*opened);
  server_version_ = db_->server_version();
  const int former = std::exchange(backend_pid_, db_->backend_pid());
  if (former != 0) co_return co_await EndFormer(former);
  co_return Result<void>();
}

// It may still be at what it was lost under, and commit that.
Task<Result<void>> RestoreTarget::EndFormer(int pid) {
  for (int i = 0; i < kReturnAttempts; ++i) {
    PgValues values;
    values.emplace_back(std::to_string(pid));
    auto ended = co_await db_->Query(std::string(kEndFormerSql), std::move(values), kRetryPause);
    if (!ended) co_return ended.error();
    if (ended->rows() == 0) co_return Result<void>();
    co_await SleepUntil(SteadyNow() + kClearEvery);
  }
  co_return Error(Errc::kTimeout, "a session that was lost does not end");
}

void RestoreTarget::Rest() {
  db_.reset();
  backend_pid_ = 0;
}

Task<Result<void>> RestoreTarget::CheckReplaceable(std::string name) {
  PgValues values;
  values.emplace_back(name);
  auto rows = co_await Sql(std::string(kInTheWaySql), std::move(values));
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) co_return Result<void>();
  co_return Error(Errc::kBusy, name + " has a " + std::string(rows->Text(0, 0)), {},
                  "It would stay with the old database, under its new name: end it first, or "
                  "restore beside it with --as OTHER_NAME.");
}

Task<Result<void>> RestoreTarget::Reopen() {
  // A session that idled for hours may be lost without our knowing.
  if (db_ && db_->usable()) co_await db_->Query("SELECT 1", PgValues(), kStatementTimeout);
  if (db_ && db_->usable()) co_return Result<void>();
  co_return co_await Open();
}

Task<Result<PgResult>> RestoreTarget::Sql(std::string sql, PgValues values) {
  auto opened = co_await Reopen();
  if (!opened) co_return opened.error();
  co_return co_await db_->Query(std::move(sql), std::move(values), kStatementTimeout);
}

Task<Result<void>> RestoreTarget::RunScript(std::string script) {
  auto opened = co_await Reopen();
  if (!opened) co_return opened.error();
  auto done = co_await db_->Script(std::move(script), kStatementTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<std::set<std::string>>> RestoreTarget::Names(std::string sql) {
  auto rows = co_await Sql(std::move(sql));
  if (!rows) co_return rows.error();
  std::set<std::string> names;
  for (int row = 0; row < rows->rows(); ++row) names.emplace(rows->Text(row, 0));
  co_return names;
}

Task<Result<void>> RestoreTarget::Create(const BackupDatabase& database, std::string name) {
  auto spaces = co_await Names("SELECT spcname FROM pg_tablespace");
  if (!spaces) co_return spaces.error();
  DatabasePlace place;
  place.server_version = server_version_;
  place.has_tablespace = spaces->contains(PropertyOf(database, "tablespace"));
  std::string sql = CreateDatabaseStatement(database, name, place);
  auto made = co_await Sql(std::move(sql));
  if (!made) co_return made.error();
  co_return Result<void>();
}

Task<Result<void>> RestoreTarget::Rename(std::string from, std::string to) {
  std::vector<std::string> renamed = {from};
  std::string script =
      "ALTER DATABASE " + QuoteIdentifier(from) + " RENAME TO " + QuoteIdentifier(to);
  auto done = co_await RunRenaming(std::move(script), std::move(renamed));
  if (!done && IsTaken(done.error())) {
    co_return Error(Errc::kBusy, "there is a database " + to + " already");
  }
  co_return done;
}

Task<Result<void>> RestoreTarget::Replace(std::string name, std::string by, std::string old) {
  auto checked = co_await CheckReplaceable(name);
  if (!checked) co_return checked;
  std::vector<std::string> renamed = {name, by};
  const std::string quoted = QuoteIdentifier(name);
  // One script is one transaction.
  std::string script = "ALTER DATABASE " + quoted + " RENAME TO " + QuoteIdentifier(old) +
                       "; ALTER DATABASE " + QuoteIdentifier(by) + " RENAME TO " + quoted;
  co_return co_await RunRenaming(std::move(script), std::move(renamed));
}

Task<Result<void>> RestoreTarget::RunRenaming(std::string script,
                                              std::vector<std::string> databases) {
  PgValues values;
  values.emplace_back(ArrayText(databases));
  auto rows = co_await Sql(std::string(kOidsSql), std::move(values));
  if (!rows) co_return rows.error();
  std::string oids(rows->Text(0, 0));
  std::string server(rows->Text(0, 1));
  TaskGroup group(runtime_);
  PgTarget target = target_;
  group.Spawn("end sessions",
              KeepClearing(runtime_, std::move(target), std::move(oids), std::move(server)));
  Result<void> done = Result<void>();
  std::exception_ptr failure;
  try {
    done = co_await RunScript(script);
    for (int i = 1; !done && IsInUse(done.error()) && i < kRenameAttempts; ++i) {
      done = co_await RunScript(script);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  // The group must not end before its task, also when this is cancelled.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  group.Stop();
  while (!group.empty()) co_await group.Join(SteadyNow() + kStatementTimeout);
  co_await asio::this_coro::reset_cancellation_state();
  if (failure) std::rethrow_exception(failure);
  if (done || !IsAway(done.error())) co_return done;
  const std::string last = databases.back();
  auto there = co_await HasDatabase(last);
  if (there && !*there) co_return Result<void>();
  co_return done;
}

// Waits for a server that is away.
Task<Result<bool>> RestoreTarget::HasDatabase(std::string name) {
  auto names = co_await Names("SELECT datname FROM pg_database");
  for (int i = 1; !names && i < kReturnAttempts; ++i) {
    co_await SleepUntil(SteadyNow() + kRetryPause);
    names = co_await Names("SELECT datname FROM pg_database");
  }
  if (!names) co_return names.error();
  co_return names->contains(name);
}

Task<Result<void>> RestoreTarget::Drop(std::string name) {
  const std::string drop = "DROP DATABASE IF EXISTS " + QuoteIdentifier(name) + " WITH (FORCE)";
  std::string sql = drop;
  auto dropped = co_await Sql(std::move(sql));
  for (int i = 1; !dropped && IsAway(dropped.error()) && i < kReturnAttempts; ++i) {
    co_await SleepUntil(SteadyNow() + kRetryPause);
    std::string again = drop;
    dropped = co_await Sql(std::move(again));
  }
  if (!dropped) co_return dropped.error();
  co_return Result<void>();
}

}  // namespace pgsteward
