// A connection that is there again after every fault, shared by everybody who measures.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/backoff.h"
#include "core/pg_connection.h"
#include "core/wait.h"

namespace pgsteward {

// What a collector needs of a database; tests have a fake.
class Database {
 public:
  virtual ~Database() = default;
  virtual Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) = 0;
  // server_version_num, 0 before the first connection.
  virtual int server_version() const = 0;
  // Name of the database, as the server says or, before the first connection, the conninfo.
  virtual std::string database() const = 0;
};

class PgSession : public Database {
 public:
  PgSession(Runtime& runtime, std::string server, PgTarget target, BackoffPolicy backoff = {});

  // The owner: connects, waits until the connection is lost, backs off, connects again, for ever.
  // Spawn it once. Logs each change of state once, not each attempt.
  Task<void> Run();

  // One statement at a time on the one connection; those with a shorter timeout go first, so that
  // a slow reading never keeps many quick ones waiting. kUnavailable at once while there is no
  // connection. `timeout` is for the statement; the wait for one's turn has a minute of its own.
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  int server_version() const override { return server_version_; }
  std::string database() const override { return database_; }

  ServerState state() const { return state_; }
  bool up() const { return state_ == ServerState::kUp; }
  // Why there is no session now.
  const std::string& reason() const { return reason_; }
  // Notified at every change of state().
  Event& changed() { return changed_; }
  // How often a connection was established, attempts that failed, and how long the last took.
  std::uint64_t connects() const { return connects_; }
  std::uint64_t connect_failures() const { return connect_failures_; }
  const std::string& server() const { return server_; }
  const PgTarget& target() const { return target_; }

 private:
  void SetState(ServerState state, std::string reason);
  Task<void> WaitLost();

  Runtime& runtime_;
  std::string server_;
  PgTarget target_;
  BackoffPolicy backoff_;
  AsyncMutex turn_;
  Event changed_;
  Event lost_;
  std::unique_ptr<PgConnection> connection_;
  ServerState state_ = ServerState::kConnecting;
  std::string reason_;
  int server_version_ = 0;
  std::string database_;
  std::uint64_t connects_ = 0;
  std::uint64_t connect_failures_ = 0;
};

}  // namespace pgsteward
