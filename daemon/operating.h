// The jobs of one configuration, a scheduler for each server that has some: built whole, started,
// stopped whole.
#pragma once

#include <memory>
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
  // `config` is copied; `store` must outlive this.
  Operating(Runtime& runtime, const Config& config, Store& store);

  void Start();
  // Lets runs reach a safe point, then ends every task; false when one did not end in time. Takes
  // up to a second longer than the deadline. Once stopped it says the same again, at once.
  Task<bool> Stop(Deadline deadline);

  // pgsteward_job_* and pgsteward_jobs_* of all servers.
  Families SelfMetrics() const;
  int jobs() const { return static_cast<int>(config_.jobs.size()); }
  int running() const;
  // Whether `other` asks for exactly these jobs.
  bool Same(const Config& other) const { return SameJobs(config_, other); }

 private:
  Task<void> Watch(Scheduler& scheduler);
  Task<void> StopOne(Scheduler& scheduler, Deadline deadline);

  Runtime& runtime_;
  Config config_;
  Store& store_;
  std::vector<std::unique_ptr<Scheduler>> schedulers_;
  bool stopped_ = false;
  bool ended_ = true;
  TaskGroup watches_;
  TaskGroup stops_;
};

}  // namespace pgsteward
