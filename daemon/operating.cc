#include "daemon/operating.h"

#include <algorithm>
#include <utility>

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

struct Operating::Unit {
  Unit(Runtime& runtime, std::string text, SchedulerPolicy policy)
      : essence(std::move(text)), scheduler(runtime, std::move(policy)), watch(runtime) {}

  std::string essence;  // JobsEssence
  Scheduler scheduler;
  TaskGroup watch;
  bool started = false;
  bool ended = false;
};

Operating::Operating(Runtime& runtime, const Config& config, Store& store)
    : runtime_(runtime), store_(store), stops_(runtime) {
  Add(config);
}

Operating::~Operating() = default;

void Operating::Add(const Config& config) {
  for (const ServerConfig& server : config.servers) {
    std::string essence = JobsEssence(config, server);
    const bool there = std::any_of(units_.begin(), units_.end(), [&server](const auto& unit) {
      return unit->scheduler.server() == server.name;
    });
    if (essence.empty() || there) continue;
    units_.push_back(
        std::make_unique<Unit>(runtime_, std::move(essence), SchedulerPolicyOf(config, server)));
  }
}

void Operating::Start() {
  for (const auto& unit : units_) {
    if (std::exchange(unit->started, true)) continue;
    unit->scheduler.Start();
    unit->watch.Spawn("watch of jobs on " + unit->scheduler.server(), Watch(unit->scheduler));
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

Task<void> Operating::StopOne(Unit& unit, Deadline deadline) {
  const bool ended = co_await unit.scheduler.Stop(deadline);
  unit.watch.Stop();
  const bool unwatched = co_await unit.watch.Join(deadline + kCancelTime);
  unit.ended = ended && unwatched;
}

Task<bool> Operating::StopSome(std::vector<Unit*> units, Deadline deadline) {
  for (Unit* unit : units) {
    stops_.Spawn("end of jobs on " + unit->scheduler.server(), StopOne(*unit, deadline));
  }
  const bool joined = co_await stops_.Join(deadline + 2 * kCancelTime);
  const bool all = std::all_of(units.begin(), units.end(), [](Unit* unit) { return unit->ended; });
  if (joined) std::erase_if(units_, [](const auto& unit) { return unit->ended; });
  co_return joined&& all;
}

Task<bool> Operating::Become(Config config, Deadline deadline) {
  std::vector<Unit*> outdated;
  for (const auto& unit : units_) {
    const bool same =
        std::any_of(config.servers.begin(), config.servers.end(),
                    [&](const ServerConfig& s) { return JobsEssence(config, s) == unit->essence; });
    if (!same) outdated.push_back(unit.get());
  }
  const bool ended = co_await StopSome(std::move(outdated), deadline);
  Add(config);
  Start();
  co_return ended;
}

Task<bool> Operating::Stop(Deadline deadline) {
  std::vector<Unit*> all;
  for (const auto& unit : units_) all.push_back(unit.get());
  co_return co_await StopSome(std::move(all), deadline);
}

Families Operating::SelfMetrics() const {
  Families families;
  for (const auto& unit : units_) {
    // Families of the same name are put together by the store.
    for (auto& family : JobMetrics(unit->scheduler)) families.push_back(std::move(family));
    for (auto& family : unit->scheduler.Subjects()) families.push_back(std::move(family));
  }
  return families;
}

int Operating::jobs() const {
  std::size_t jobs = 0;
  for (const auto& unit : units_) jobs += unit->scheduler.Jobs().size();
  return static_cast<int>(jobs);
}

int Operating::running() const {
  int running = 0;
  for (const auto& unit : units_) {
    for (const JobStatus& job : unit->scheduler.Jobs()) running += job.running ? 1 : 0;
  }
  return running;
}

bool Operating::Same(const Config& config) const {
  std::size_t wanted = 0;
  for (const ServerConfig& server : config.servers) {
    const std::string essence = JobsEssence(config, server);
    if (essence.empty()) continue;
    ++wanted;
    const bool there = std::any_of(units_.begin(), units_.end(),
                                   [&](const auto& unit) { return unit->essence == essence; });
    if (!there) return false;
  }
  return wanted == units_.size();
}

}  // namespace pgsteward
