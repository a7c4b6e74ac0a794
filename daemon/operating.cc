#include "daemon/operating.h"

#include "daemon/measuring.h"
#include "jobs/runner/job_metrics.h"

namespace pgsteward {

namespace {

// A run tells its progress after each batch; the page needs it less often.
constexpr Duration kShowPause = std::chrono::seconds(1);
// Beyond its deadline, for tasks that must be cancelled.
constexpr Duration kCancelTime = std::chrono::seconds(2);

}  // namespace

PgTarget JobTarget(const ServerConfig& server) {
  PgTarget target = TargetOf(server, "", "job");
  if (!server.jobs_conninfo.empty()) {
    // Another role, with a password of its own.
    target.conninfo = server.jobs_conninfo;
    target.password_file.clear();
  }
  if (!server.jobs_password_file.empty()) target.password_file = server.jobs_password_file;
  return target;
}

SchedulerPolicy SchedulerPolicyOf(const Config& config, const ServerConfig& server) {
  SchedulerPolicy policy;
  policy.server = server.name;
  policy.target = JobTarget(server);
  for (const JobConfig& job : config.jobs) {
    if (job.server == server.name) policy.jobs.push_back(job.policy);
  }
  if (!config.jobs_state_directory.empty()) {
    policy.journal = config.jobs_state_directory + "/" + server.name + ".jobs";
  }
  policy.lease_ttl = config.jobs_lease;
  policy.keep_history = config.jobs_keep_history;
  return policy;
}

Operating::Operating(Runtime& runtime, const Config& config, Store& store)
    : runtime_(runtime), config_(config), store_(store), watches_(runtime), stops_(runtime) {
  for (const ServerConfig& server : config_.servers) {
    SchedulerPolicy policy = SchedulerPolicyOf(config_, server);
    if (policy.jobs.empty()) continue;
    schedulers_.push_back(std::make_unique<Scheduler>(runtime_, std::move(policy)));
  }
}

void Operating::Start() {
  for (const auto& scheduler : schedulers_) {
    scheduler->Start();
    watches_.Spawn("watch of jobs on " + scheduler->server(), Watch(*scheduler));
  }
}

Task<void> Operating::Watch(Scheduler& scheduler) {
  for (;;) {
    co_await scheduler.changed().WaitUntil(SteadyNow() + std::chrono::hours(1));
    store_.MarkDirty();
    co_await SleepUntil(SteadyNow() + kShowPause);
    store_.MarkDirty();  // what has changed meanwhile
  }
}

Task<void> Operating::StopOne(Scheduler& scheduler, Deadline deadline) {
  const bool ended = co_await scheduler.Stop(deadline);
  ended_ = ended_ && ended;
}

Task<bool> Operating::Stop(Deadline deadline) {
  if (stopped_) co_return ended_;
  stopped_ = true;
  for (const auto& scheduler : schedulers_) {
    stops_.Spawn("end of jobs on " + scheduler->server(), StopOne(*scheduler, deadline));
  }
  const bool all = co_await stops_.Join(deadline + kCancelTime);
  watches_.Stop();
  const bool unwatched = co_await watches_.Join(deadline + kCancelTime);
  ended_ = ended_ && all && unwatched;
  co_return ended_;
}

Families Operating::SelfMetrics() const {
  Families families;
  for (const auto& scheduler : schedulers_) {
    // Families of the same name are put together by the store.
    for (auto& family : JobMetrics(*scheduler)) families.push_back(std::move(family));
  }
  return families;
}

int Operating::running() const {
  int running = 0;
  for (const auto& scheduler : schedulers_) {
    for (const JobStatus& job : scheduler->Jobs()) running += job.running ? 1 : 0;
  }
  return running;
}

}  // namespace pgsteward
