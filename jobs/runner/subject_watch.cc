#include "jobs/runner/subject_watch.h"

#include <utility>

#include "core/log.h"

namespace pgsteward {

namespace {

constexpr Duration kInterval = std::chrono::seconds(60);
// What wakes us comes in bursts.
constexpr Duration kBurst = std::chrono::milliseconds(200);

}  // namespace

SubjectWatch::SubjectWatch(Runtime& runtime, const std::vector<JobPolicy>& jobs, std::string server)
    : runtime_(runtime), jobs_(jobs), server_(std::move(server)), woken_(runtime) {}

Task<void> SubjectWatch::Run() {
  for (;;) {
    for (const JobPolicy& job : jobs_) {
      if (job.enabled && job.spec->subject) co_await ReadOne(job);
    }
    co_await woken_.WaitUntil(SteadyNow() + kInterval);
    co_await SleepUntil(SteadyNow() + kBurst);
  }
}

Task<void> SubjectWatch::ReadOne(const JobPolicy& job) {
  SubjectContext context{runtime_, job.options, server_, job.name};
  auto families = co_await job.spec->subject(std::move(context));
  Read& read = reads_[job.name];
  const std::string error = families ? "" : ToText(families.error());
  if (!error.empty() && error != read.error) {
    LogWarning("metrics of a job's subject not read",
               {{"server", server_}, {"job", job.name}, {"err", error}});
  }
  read.error = error;
  read.families = families ? std::move(*families) : Families();
}

Families SubjectWatch::All() const {
  Families all;
  auto success = GaugeFamily("pgsteward_job_subject_success",
                             "1 when what the job looks after could be read the last time.");
  for (const auto& [job, read] : reads_) {
    const Labels labels = {{"server", server_}, {"job_name", job}};
    AddSample(success, labels, read.error.empty() ? 1 : 0);
    for (prometheus::MetricFamily family : read.families) {
      for (auto& metric : family.metric) {
        metric.label.insert(metric.label.begin(), labels.begin(), labels.end());
      }
      all.push_back(std::move(family));
    }
  }
  if (!success.metric.empty()) all.push_back(std::move(success));
  return all;
}

}  // namespace pgsteward
