#include "jobs/runner/backlog_watch.h"

#include <algorithm>
#include <utility>

#include "core/log.h"

namespace pgsteward {

namespace {

// What wakes us comes in bursts.
constexpr Duration kBurst = std::chrono::milliseconds(200);

}  // namespace

BacklogWatch::BacklogWatch(Runtime& runtime, PgTarget target, const std::vector<JobPolicy>& jobs,
                           std::string server, Duration interval, std::function<bool()> wanted)
    : runtime_(runtime),
      target_(std::move(target)),
      jobs_(jobs),
      server_(std::move(server)),
      interval_(interval),
      wanted_(std::move(wanted)),
      woken_(runtime) {}

Task<void> BacklogWatch::Run() {
  JobSession db(runtime_, target_);
  for (;;) {
    SteadyTime next = SteadyNow() + interval_;
    for (const JobPolicy& job : jobs_) {
      if (!job.enabled || !job.spec->backlog || !wanted_()) continue;
      if (SteadyNow() >= measured_[job.name].due) {
        measured_[job.name].due = SteadyNow() + interval_;
        co_await Measure(db, job);
      }
      next = std::min(next, measured_[job.name].due);
    }
    db.Close();
    co_await woken_.WaitUntil(next);
    co_await SleepUntil(SteadyNow() + kBurst);
  }
}

void BacklogWatch::Outdate(const std::string& job) {
  measured_[job].due = SteadyTime{};
  woken_.Notify();
}

const BacklogWatch::Measured* BacklogWatch::Find(const std::string& job) const {
  const auto found = measured_.find(job);
  return found == measured_.end() ? nullptr : &found->second;
}

Task<void> BacklogWatch::Measure(JobSession& db, const JobPolicy& job) {
  Result<Backlog> backlog = Error(Errc::kUnavailable, "not connected");
  Result<void> opened;
  if (!db.open()) opened = co_await db.Open();
  if (opened) {
    backlog = co_await job.spec->backlog(db, job.options, job.zone.name());
  } else {
    backlog = opened.error();
  }
  Measured& measured = measured_[job.name];
  const std::string error = backlog ? "" : ToText(backlog.error());
  if (!error.empty() && error != measured.error) {
    LogWarning("backlog not measured", {{"server", server_}, {"job", job.name}, {"err", error}});
  }
  measured.error = error;
  measured.backlog.reset();
  if (backlog) measured.backlog = *backlog;
}

}  // namespace pgsteward
