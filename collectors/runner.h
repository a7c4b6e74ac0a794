// Runs collectors on their beats and owns what they have in common: time, deadline, errors, one
// log line per change, self-metrics, the store.
#pragma once

#include <any>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "collectors/collector.h"
#include "core/pg_session.h"
#include "core/store.h"
#include "core/task_group.h"

namespace pgsteward {

// One collector on one database, as configured.
struct CollectorPlan {
  const CollectorSpec* spec;
  std::chrono::seconds interval;
  std::chrono::seconds timeout;
  int stale_after_intervals = 3;
};

// What is known of a collector after its last run.
struct CollectorStatus {
  bool ran = false;
  bool success = false;
  bool skipped = false;  // the server lacks what it reads: not a failure, tried at every beat
  Duration duration{};
  WallTime last_success{};
  std::string error;           // of the last run, empty after success
  std::string logged;          // the error that the log told last, empty after success
  std::size_t duplicates = 0;  // samples left out of the last success
};

class CollectorRunner {
 public:
  // The session, options and store must outlive the runner's task. `phase` is the common beat of
  // all collectors of a server: they run one after the other, so that a page shows one moment.
  CollectorRunner(PgSession& session, const CollectorOptions& options, Store& store,
                  CollectorPlan plan, SteadyTime phase);

  // For ever: at each beat, and at once when the session comes up.
  Task<void> Run();
  // One run: collects, publishes, notes the status.
  Task<void> RunOnce();

  // Its task died of a bug of ours.
  void NoteBug();

  const CollectorPlan& plan() const { return plan_; }
  const CollectorStatus& status() const { return status_; }
  const PgSession& session() const { return session_; }
  SnapshotKey key() const;

 private:
  void Note(const Result<Families>& outcome, Duration duration);
  void LogChange(const Error& error);

  PgSession& session_;
  const CollectorOptions& options_;
  Store& store_;
  CollectorPlan plan_;
  SteadyTime phase_;
  CollectorStatus status_;
  std::any memory_;
};

// pg_scrape_collector_*, pgsteward_collector_* of these runners.
Families CollectorSelfMetrics(const std::vector<std::unique_ptr<CollectorRunner>>& runners);

}  // namespace pgsteward
