#include "jobs/job_session.h"

#include <algorithm>

#include "core/pg_conninfo.h"
#include "core/pg_text.h"

namespace pgsteward {

namespace {

// BEGIN and ROLLBACK wait for nobody; COMMIT for the disk, synchronous standbys and deferred
// constraints, and for these the statement_timeout is in force.
constexpr Duration kControlTimeout = std::chrono::seconds(30);

std::string Milliseconds(Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

std::string BeginSql(const TransactionSettings& settings) {
  // The server gives up a little before we do: its error is cheaper than our cancel.
  const Duration margin = std::min<Duration>(settings.timeout / 10, std::chrono::milliseconds(500));
  std::string sql = "BEGIN ISOLATION LEVEL ";
  sql += settings.repeatable_read ? "REPEATABLE READ" : "READ COMMITTED";
  sql += settings.read_only ? " READ ONLY" : " READ WRITE";
  sql += "; SET LOCAL search_path = pg_catalog; SET LOCAL row_security = off; SET LOCAL jit = off;";
  sql +=
      "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = "
      "'postgres'; SET LOCAL standard_conforming_strings = on;";
  sql += "SET LOCAL lock_timeout = " + Milliseconds(settings.lock_timeout) + ";";
  sql += "SET LOCAL idle_in_transaction_session_timeout = '30s';";
  for (const auto& [name, value] : settings.local) {
    sql += "SELECT pg_catalog.set_config(" + QuoteLiteral(name) + ", " + QuoteLiteral(value) +
           ", true);";
  }
  sql += "SET LOCAL statement_timeout = " + Milliseconds(settings.timeout - margin);
  return sql;
}

Error WithJobHint(Error error) {
  if (error.sqlstate == "42501") {
    error.hint = "Grant the role what schema/job_roles.sql grants, BYPASSRLS included.";
  } else if (error.sqlstate == "57014") {
    error.hint = "The statement ran into its timeout, or somebody cancelled it.";
  } else if (error.sqlstate == "25006") {
    error.hint = "Connect to the primary: target_session_attrs=read-write in the conninfo.";
  }
  return error;
}

}  // namespace

JobSession::JobSession(Runtime& runtime, PgTarget target)
    : runtime_(runtime), target_(std::move(target)) {
  target_.transaction_scoped = true;
}

Task<Result<void>> JobSession::Open() {
  in_transaction_ = false;
  connection_.reset();
  auto opened = co_await PgConnection::Open(runtime_, target_);
  if (!opened) co_return opened.error().error;
  connection_ = std::move(*opened);
  // Qualified: the search_path is still the one that the database's owner has set.
  auto pid = co_await connection_->Query("SELECT pg_catalog.pg_backend_pid()", PgValues(),
                                         kControlTimeout);
  if (!pid) {
    connection_.reset();
    co_return pid.error();
  }
  pooled_ = pid->Integer(0, 0) != connection_->backend_pid();
  co_return Result<void>();
}

Task<Result<void>> JobSession::Begin(TransactionSettings settings) {
  if (!open()) co_return Error(Errc::kConnectionLost, "not connected");
  if (connection_->in_transaction()) {
    // A mistake of the caller. Its own BEGIN would only warn, and join the two.
    co_await Rollback();
    co_return Error(Errc::kQueryFailed, "a transaction was open and is rolled back");
  }
  std::string sql = BeginSql(settings);
  commit_timeout_ = std::max(kControlTimeout, settings.timeout);
  auto begun = co_await connection_->Script(std::move(sql), kControlTimeout);
  if (begun) {
    in_transaction_ = true;
    co_return Result<void>();
  }
  // BEGIN may have been done and a setting refused.
  Error failure = begun.error();
  co_await Rollback();
  if (failure.sqlstate == "0A000" && !settings.read_only) {
    // READ WRITE of a standby.
    failure = Error(Errc::kUnavailable, "the server is a standby", "25006");
  }
  co_return WithJobHint(std::move(failure));
}

Task<Result<void>> JobSession::Commit() {
  if (!open()) co_return Error(Errc::kConnectionLost, "not connected");
  if (!connection_->in_transaction()) co_return Error(Errc::kQueryFailed, "no transaction is open");
  in_transaction_ = false;
  auto done = co_await connection_->Script("COMMIT", commit_timeout_);
  if (!done) {
    Error failure = WithJobHint(done.error());
    const bool unanswered = failure.code == Errc::kTimeout && failure.sqlstate.empty();
    if (unanswered) {
      // Cancelled by us: whoever waits for a standby has committed all the same.
      connection_.reset();
      failure.code = Errc::kConnectionLost;
    }
    if (failure.code == Errc::kConnectionLost) {
      failure.hint = "The transaction is perhaps committed; the next run finds out.";
    }
    co_return failure;
  }
  // A transaction that had failed answers ROLLBACK and no error.
  if (done->command_tag() != "COMMIT") {
    co_return Error(Errc::kQueryFailed, "the transaction had failed and was rolled back");
  }
  co_return Result<void>();
}

Task<void> JobSession::Rollback() {
  in_transaction_ = false;
  if (!open()) {
    // The server keeps the transaction and its locks for as long as it sees the connection.
    connection_.reset();
    co_return;
  }
  if (!connection_->in_transaction()) co_return;
  auto done = co_await connection_->Script("ROLLBACK", kControlTimeout);
  if (!done) connection_.reset();
}

Task<Result<PgResult>> JobSession::Query(std::string sql, PgValues values, Duration timeout) {
  if (!open()) co_return Error(Errc::kConnectionLost, "not connected");
  if (in_transaction_) {
    auto rows = co_await connection_->Query(std::move(sql), std::move(values), timeout);
    if (!rows) co_return WithJobHint(rows.error());
    co_return rows;
  }
  auto begun = co_await Begin(TransactionSettings(timeout));
  if (!begun) co_return begun.error();
  auto rows = co_await connection_->Query(std::move(sql), std::move(values), timeout);
  if (!rows) {
    Error failure = WithJobHint(rows.error());
    co_await Rollback();
    co_return failure;
  }
  auto committed = co_await Commit();
  if (!committed) co_return committed.error();
  co_return rows;
}

Task<Result<PgResult>> JobSession::Alone(std::string sql, Duration timeout) {
  if (!open()) co_return Error(Errc::kConnectionLost, "not connected");
  if (in_transaction_) co_return Error(Errc::kQueryFailed, "a transaction is open");
  auto done = co_await connection_->Query(std::move(sql), PgValues(), timeout);
  if (!done) co_return WithJobHint(done.error());
  co_return done;
}

std::string JobSession::database() const {
  return connection_ ? connection_->database() : TargetDatabase(target_);
}

std::vector<PgNotice> JobSession::TakeNotices() {
  return connection_ ? connection_->TakeNotices() : std::vector<PgNotice>();
}

}  // namespace pgsteward
