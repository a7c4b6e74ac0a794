#include "jobs/runner/job_metrics.h"

#include <array>
#include <set>

namespace pgsteward {

namespace {

double Unix(std::optional<WallTime> time) { return time ? UnixSeconds(*time) : 0; }

// The families of one scheduler, in the order in which they are filled below.
struct Page {
  prometheus::MetricFamily info = GaugeFamily("pgsteward_job_info", "Always 1; what the job is.");
  prometheus::MetricFamily enabled =
      GaugeFamily("pgsteward_job_enabled", "1 when the configuration switches the job on.");
  prometheus::MetricFamily confirmed =
      GaugeFamily("pgsteward_job_confirmed",
                  "1 when a person has accepted the plan as it is now. Only of jobs that need it.");
  prometheus::MetricFamily running =
      GaugeFamily("pgsteward_job_running", "1 while the job runs here.");
  prometheus::MetricFamily paused =
      GaugeFamily("pgsteward_job_paused", "1 while a person has paused the job.");
  prometheus::MetricFamily last_start = GaugeFamily("pgsteward_job_last_start_timestamp_seconds",
                                                    "Begin of the last run, 0 if never.");
  prometheus::MetricFamily last_completion =
      GaugeFamily("pgsteward_job_last_completion_timestamp_seconds",
                  "End of the last run, whatever became of it, 0 if never.");
  prometheus::MetricFamily last_success =
      GaugeFamily("pgsteward_job_last_success_timestamp_seconds",
                  "End of the last run that did all its work, 0 if never.");
  prometheus::MetricFamily last_run =
      GaugeFamily("pgsteward_job_last_run_status",
                  "How the last run ended: 1 for its status, 0 for the others.");
  prometheus::MetricFamily successful =
      GaugeFamily("pgsteward_job_last_run_successful",
                  "1 when the last run that ended was ok or partial, 0 when it was not. Absent "
                  "before the first run.");
  prometheus::MetricFamily duration =
      GaugeFamily("pgsteward_job_last_duration_seconds", "Duration of the last run that ended.");
  prometheus::MetricFamily max_duration =
      GaugeFamily("pgsteward_job_max_duration_seconds", "How long a run may take.");
  prometheus::MetricFamily last_rows =
      GaugeFamily("pgsteward_job_last_rows", "Rows that the last run that ended has handled.");
  prometheus::MetricFamily next_run =
      GaugeFamily("pgsteward_job_next_run_timestamp_seconds",
                  "When the job is due next. Absent for a job that is not scheduled.");
  prometheus::MetricFamily deadline =
      GaugeFamily("pgsteward_job_deadline_timestamp_seconds",
                  "The job is overdue when it has not succeeded by this time. Absent for a job "
                  "that is not scheduled.");
  prometheus::MetricFamily failures_in_a_row = GaugeFamily(
      "pgsteward_job_consecutive_failures", "Failed and aborted runs since the last success.");
  prometheus::MetricFamily backlog =
      GaugeFamily("pgsteward_job_backlog_rows", "Rows that the job would handle now.");
  prometheus::MetricFamily oldest = GaugeFamily("pgsteward_job_backlog_oldest_age_seconds",
                                                "How long the oldest of them is overdue.");
  prometheus::MetricFamily held_up =
      GaugeFamily("pgsteward_job_held_up", "1 while a due run cannot begin, by reason.");
  prometheus::MetricFamily throttled_now = GaugeFamily(
      "pgsteward_job_throttled", "1 while the running job waits for a throttle gate, by reason.");
  prometheus::MetricFamily runs =
      CounterFamily("pgsteward_job_runs_total", "Runs that ended, by status.");
  prometheus::MetricFamily missed =
      CounterFamily("pgsteward_job_missed_total", "Due times that were not run, by reason.");
  prometheus::MetricFamily retries =
      CounterFamily("pgsteward_job_retries_total", "Runs that were another attempt.");
  prometheus::MetricFamily rows = CounterFamily("pgsteward_job_rows_total", "Rows handled.");
  prometheus::MetricFamily quarantined =
      CounterFamily("pgsteward_job_rows_quarantined_total",
                    "Rows that were left because they cannot be handled; table "
                    "pgsteward.quarantine says which.");
  prometheus::MetricFamily throttled =
      CounterFamily("pgsteward_job_throttled_seconds_total",
                    "Time that runs waited for throttle gates, by reason.");

  Families All() {
    Families all;
    for (auto* family : {&info,        &confirmed,  &enabled,         &running,
                         &paused,      &last_start, &last_completion, &last_success,
                         &last_run,    &successful, &duration,        &max_duration,
                         &last_rows,   &next_run,   &deadline,        &failures_in_a_row,
                         &backlog,     &oldest,     &held_up,         &throttled_now,
                         &runs,        &missed,     &retries,         &rows,
                         &quarantined, &throttled}) {
      all.push_back(std::move(*family));
    }
    return all;
  }
};

constexpr std::array<RunStatus, 6> kEnded = {RunStatus::kOk,        RunStatus::kPartial,
                                             RunStatus::kFailed,    RunStatus::kSkipped,
                                             RunStatus::kCancelled, RunStatus::kAborted};

Labels With(Labels labels, const std::string& name, std::string value) {
  labels.push_back({name, std::move(value)});
  return labels;
}

double Counter(const JobState& state, const std::string& name) {
  const auto found = state.counters.find(name);
  return found == state.counters.end() ? 0 : found->second;
}

// Of all runs, the one under way included.
void AddThrottled(Page& page, const JobStatus& job, const Labels& labels) {
  const auto now = job.running ? job.running->throttled() : std::map<std::string, double>();
  for (const std::string_view gate : kThrottleGates) {
    const std::string reason(gate);
    const auto held = now.find(reason);
    AddSample(page.throttled, With(labels, "reason", reason),
              Counter(job.state, "throttled." + reason) + (held == now.end() ? 0 : held->second));
  }
}

void AddLastRun(Page& page, const JobState& state, const Labels& labels) {
  AddSample(page.last_start, labels, Unix(state.last_started_at));
  AddSample(page.last_completion, labels, Unix(state.last_finished_at));
  AddSample(page.last_success, labels, Unix(state.last_success_at));
  AddSample(page.failures_in_a_row, labels, state.consecutive_failures);
  for (const RunStatus status : kEnded) {
    const std::string name(RunStatusName(status));
    AddSample(page.last_run, With(labels, "status", name), state.last_status == name ? 1 : 0);
    AddSample(page.runs, With(labels, "status", name), Counter(state, "runs." + name));
  }
  const auto last = FindRunStatus(state.last_status);
  if (!last || *last == RunStatus::kRunning) return;
  const bool fine = *last == RunStatus::kOk || *last == RunStatus::kPartial;
  AddSample(page.successful, labels, fine ? 1 : 0);
  AddSample(page.duration, labels, state.last_duration_s);
  AddSample(page.last_rows, labels, static_cast<double>(state.last_rows));
}

void AddSchedule(Page& page, const JobStatus& job, const Labels& labels) {
  const JobPolicy& policy = *job.policy;
  if (!policy.enabled || policy.timetable.manual()) return;
  if (job.state.next_due) AddSample(page.next_run, labels, UnixSeconds(*job.state.next_due));
  const WallTime since =
      std::max(job.state.last_success_at.value_or(WallTime()), job.state.registered_at);
  if (const auto overdue = policy.OverdueAt(since)) {
    AddSample(page.deadline, labels, UnixSeconds(*overdue));
  }
}

void AddJob(Page& page, const JobStatus& job, const Labels& labels) {
  const JobPolicy& policy = *job.policy;
  AddSample(page.info,
            With(With(labels, "type", std::string(policy.spec->name)), "schedule",
                 policy.timetable.Describe()),
            1);
  AddSample(page.enabled, labels, policy.enabled ? 1 : 0);
  AddSample(page.running, labels, job.running ? 1 : 0);
  const bool paused = job.state.paused_until && *job.state.paused_until > WallNow();
  AddSample(page.paused, labels, paused ? 1 : 0);
  AddSample(page.max_duration, labels, static_cast<double>(policy.deadline.count()));
  AddLastRun(page, job.state, labels);
  AddSchedule(page, job, labels);
  if (job.backlog) {
    AddSample(page.backlog, labels, static_cast<double>(job.backlog->rows));
    AddSample(page.oldest, labels, job.backlog->oldest_age_s);
  }
  if (!job.held_up.empty()) {
    AddSample(page.held_up, With(labels, "reason", job.held_up.substr(0, job.held_up.find(':'))),
              1);
  }
  if (job.running && !job.running->throttled_by().empty()) {
    AddSample(page.throttled_now, With(labels, "reason", job.running->throttled_by()), 1);
  }
  for (const std::string_view reason : kMissedReasons) {
    AddSample(page.missed, With(labels, "reason", std::string(reason)),
              Counter(job.state, "missed." + std::string(reason)));
  }
  AddSample(page.retries, labels, Counter(job.state, "retries"));
  AddSample(page.rows, labels, Counter(job.state, "rows"));
  AddSample(page.quarantined, labels, Counter(job.state, "quarantined"));
  if (!policy.spec->throttle_table.empty()) AddThrottled(page, job, labels);
  if (policy.spec->needs_confirmation && policy.confirm) {
    const auto accepted = job.state.memory.find("accepted_plan");
    const bool confirmed =
        accepted != job.state.memory.end() && accepted->second == policy.PlanHash();
    AddSample(page.confirmed, labels, confirmed ? 1 : 0);
  }
}

}  // namespace

Families JobMetrics(const Scheduler& scheduler) {
  const Labels server = {{"server", scheduler.server()}};
  Page page;
  for (const JobStatus& job : scheduler.Jobs()) {
    AddJob(page, job, With(server, "job_name", job.policy->name));
  }
  Families families = page.All();
  auto states = GaugeFamily("pgsteward_jobs_state",
                            "Whether jobs run here and why not: 1 for the current state.");
  for (int i = 0; i < kJobsStateCount; ++i) {
    const auto state = static_cast<JobsState>(i);
    AddSample(states, With(server, "state", std::string(JobsStateName(state))),
              scheduler.state() == state ? 1 : 0);
  }
  families.push_back(std::move(states));
  const auto add = [&families, &server](std::string_view name, std::string_view help,
                                        double value) {
    auto family = GaugeFamily(name, help);
    AddSample(family, server, value);
    families.push_back(std::move(family));
  };
  add("pgsteward_jobs_leader", "1 when this daemon runs the server's jobs.",
      scheduler.state() == JobsState::kLeader ? 1 : 0);
  add("pgsteward_jobs_lease_epoch", "Epoch of the lease under which it does; 0 when it does not.",
      static_cast<double>(scheduler.epoch()));
  add("pgsteward_jobs_untold_runs",
      "Runs whose end stands in the local journal because the database could not be told.",
      static_cast<double>(scheduler.untold()));
  add("pgsteward_scheduler_last_tick_timestamp_seconds",
      "When the scheduler of jobs looked the last time.", UnixSeconds(scheduler.last_look()));
  add("pgsteward_scheduler_lag_seconds", "How late the scheduler looked the last time.",
      Seconds(scheduler.lag()));
  return families;
}

}  // namespace pgsteward
