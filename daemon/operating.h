// The jobs of the configuration, a scheduler for each server that has some.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/store.h"
#include "core/task_group.h"
#include "daemon/config.h"
#include "jobs/runner/scheduler.h"

namespace pgsteward {

// The session target of a server's jobs.
PgTarget JobTarget(const ServerConfig& server);

// What the scheduler of a server is told, with its jobs, enabled or not.
SchedulerPolicy SchedulerPolicyOf(const Config& config, const ServerConfig& server);

class Operating {
 public:
  // The jobs of `config`, not yet started, but already on the page. `store` must outlive this.
  Operating(Runtime& runtime, const Config& config, Store& store);
  ~Operating();

  void Start();
  // Makes the jobs those of `config`: schedulers of servers about which something has changed, or
  // that have no jobs any more, are stopped as Stop() says, the others go on undisturbed. False
  // when one did not end in time: then it is neither forgotten nor started anew.
  Task<bool> Become(Config config, Deadline deadline);
  // Lets runs reach a safe point, then ends every task; false when one did not end in time. Takes
  // up to a second longer than the deadline.
  Task<bool> Stop(Deadline deadline);

  // pgsteward_job_* and pgsteward_jobs_* of all servers, and what jobs look after.
  Families SelfMetrics() const;
  int jobs() const;
  int running() const;
  // Whether `config` asks for exactly these jobs.
  bool Same(const Config& config) const;

 private:
  struct Unit;
  // Units for the servers of `config` that have jobs and no unit.
  void Add(const Config& config);
  Task<void> Watch(Scheduler& scheduler);
  Task<void> StopOne(Unit& unit, Deadline deadline);
  // Stops these, and forgets those that ended.
  Task<bool> StopSome(std::vector<Unit*> units, Deadline deadline);

  Runtime& runtime_;
  Store& store_;
  std::vector<std::unique_ptr<Unit>> units_;
  TaskGroup stops_;
};

}  // namespace pgsteward
