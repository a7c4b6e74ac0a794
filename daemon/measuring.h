// The sessions and collectors of one configuration: built whole, started, stopped whole.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/runner.h"
#include "core/pg_session.h"
#include "core/store.h"
#include "core/task_group.h"
#include "daemon/config.h"

namespace pgsteward {

// The session target of a server: `database` is empty for the one its conninfo names.
PgTarget TargetOf(const ServerConfig& server, const std::string& database, std::string_view part);

struct ServerStatus {
  std::string name;
  ServerState state;
  std::string reason;  // empty when up
};

class Measuring {
 public:
  // `config` is copied; `store` must outlive this.
  Measuring(Runtime& runtime, const Config& config, Store& store);

  void Start();
  // Ends every task; false when one did not end by the deadline (it is named in the log).
  Task<bool> Stop(Deadline deadline);
  // One run of every collector, or of the one named, once each server was tried; for the command
  // line.
  Task<void> CollectOnce(std::string collector);

  // pg_up, pgsteward_server_state, connection counters, collector status.
  Families SelfMetrics() const;
  std::vector<ServerStatus> Servers() const;
  int failing_collectors() const;
  int collectors() const { return static_cast<int>(runners_.size()); }
  // Whether the server of that name is reached the same way in `other`.
  bool SameServer(const Config& other, const std::string& name) const;
  // Whether this configuration publishes snapshots under `key`.
  bool Publishes(const SnapshotKey& key) const;

 private:
  PgSession& AddSession(const ServerConfig& server, const std::string& database);
  void AddRunners(PgSession& session, bool main_database);
  Task<void> WatchSession(PgSession& session);
  // Spawns `make()`, after `delay`; when it dies of a bug, calls `on_bug` and starts it again after
  // a pause.
  void Supervise(std::string name, std::function<Task<void>()> make, std::function<void()> on_bug,
                 Duration delay = {});

  Runtime& runtime_;
  Config config_;
  Store& store_;
  SteadyTime phase_;
  std::vector<std::unique_ptr<PgSession>> sessions_;  // a server's main database first
  std::vector<PgSession*> main_sessions_;
  std::vector<std::unique_ptr<CollectorRunner>> runners_;
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace pgsteward
