// The connection of a run. It may go through a pooler in transaction mode, so that nothing outlives
// a transaction: each brings its own settings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/pg_connection.h"
#include "core/pg_session.h"

namespace pgsteward {

struct TransactionSettings {
  // Has constructors so that temporaries of it are safe in statements with co_await.
  TransactionSettings() = default;
  explicit TransactionSettings(Duration statement) : timeout(statement) {}

  Duration timeout = std::chrono::seconds(5);  // of each statement
  Duration lock_timeout = std::chrono::milliseconds(500);
  bool read_only = false;
  // Not one moment of the server for the whole transaction (READ COMMITTED) but one snapshot.
  bool repeatable_read = false;
  // More settings of the transaction: "pgsteward.archiving", "on".
  std::vector<std::pair<std::string, std::string>> local = {};
};

class JobSession : public Database {
 public:
  // `target.transaction_scoped` is set here.
  JobSession(Runtime& runtime, PgTarget target);

  // Connects, or connects again after a loss.
  Task<Result<void>> Open();
  bool open() const { return connection_ && connection_->usable(); }
  void Close() { connection_.reset(); }

  // READ COMMITTED unless the settings say so, row_security=off, jit=off, UTC, ISO dates,
  // search_path=pg_catalog, timeouts for statements, locks and idling. On an error, and also when
  // one was open already, no transaction is open.
  Task<Result<void>> Begin(TransactionSettings settings);
  // kConnectionLost means: perhaps committed. Any other error: not committed.
  Task<Result<void>> Commit();
  // Never fails: when it cannot be sent the connection is closed, and the server rolls back.
  Task<void> Rollback();

  // One statement: in the open transaction, else in one of its own with read-write default settings
  // and `timeout`. After an error of its own an open transaction is only good for Rollback().
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  // One statement that refuses to run in a transaction (VACUUM, DETACH CONCURRENTLY). Through a
  // pooler the server's own timeouts are in force, and ours by cancelling.
  Task<Result<PgResult>> Alone(std::string sql, Duration timeout);

  int server_version() const override { return connection_ ? connection_->server_version() : 0; }
  std::string database() const override;
  // A pooler lies between: the backend that answers is not the one that we connected to.
  bool pooled() const { return pooled_; }
  std::vector<PgNotice> TakeNotices();
  const PgTarget& target() const { return target_; }

 private:
  Runtime& runtime_;
  PgTarget target_;
  std::unique_ptr<PgConnection> connection_;
  bool in_transaction_ = false;
  bool pooled_ = false;
  Duration commit_timeout_ = {};
};

}  // namespace pgsteward
