#include <array>
#include <cstdio>

#include "core/json.h"
#include "daemon/job_output.h"
#include "daemon/job_times.h"

namespace pgsteward {

namespace {

std::string Number(double number) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", number);
  return text.data();
}

std::string JsonArray(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const std::string& value : values) text += (text.size() > 1 ? ", " : "") + value;
  return text + "]";
}

// One per line, for those who read along.
std::string JsonLines(const std::vector<std::string>& values) {
  if (values.empty()) return "[]";
  std::string text = "[";
  for (const std::string& value : values) text += (text.size() > 1 ? ",\n    " : "\n    ") + value;
  return text + "\n  ]";
}

class JsonObject {
 public:
  // `value` is JSON.
  JsonObject& Raw(std::string_view name, const std::string& value) {
    text_ += (text_.empty() ? "" : ", ") + JsonQuoted(name) + ": " + value;
    return *this;
  }
  JsonObject& Text(std::string_view name, std::string_view value) {
    return Raw(name, JsonQuoted(value));
  }
  JsonObject& TextOrNull(std::string_view name, std::string_view value) {
    return Raw(name, value.empty() ? "null" : JsonQuoted(value));
  }
  JsonObject& Time(std::string_view name, std::optional<WallTime> time) {
    return Raw(name, time ? JsonQuoted(IsoTime(*time)) : "null");
  }
  JsonObject& Integer(std::string_view name, long long number) {
    return Raw(name, std::to_string(number));
  }
  JsonObject& Seconds(std::string_view name, double seconds) { return Raw(name, Number(seconds)); }
  JsonObject& Switch(std::string_view name, bool on) { return Raw(name, on ? "true" : "false"); }
  std::string ToText() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string NumbersJson(const std::map<std::string, double>& numbers) {
  JsonObject object;
  for (const auto& [name, number] : numbers) object.Seconds(name, number);
  return object.ToText();
}

std::vector<std::string> Quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> quoted;
  for (const std::string& text : texts) quoted.push_back(JsonQuoted(text));
  return quoted;
}

JsonObject Listed(const JobFacts& job, WallTime now) {
  const JobPolicy& policy = *job.policy;
  const JobState state = job.state.value_or(JobState());
  JsonObject object;
  object.Text("name", policy.name)
      .Text("type", policy.spec->name)
      .Text("server", job.server)
      .Switch("enabled", policy.enabled)
      .Text("schedule", policy.timetable.Describe())
      .Text("time_zone", policy.zone.name())
      .TextOrNull("problem", job.problem)
      .Switch("known", job.state.has_value())
      .Switch("from_journal", job.from_journal)
      .Time("next_due", job.NextDue(now))
      .Time("retry_at", state.retry_at)
      .TextOrNull("last_run", state.last_run)
      .TextOrNull("last_status", state.last_status)
      .Time("last_started", state.last_started_at)
      .Time("last_finished", state.last_finished_at)
      .Time("last_success", state.last_success_at)
      .Seconds("last_duration_seconds", state.last_duration_s)
      .Integer("last_rows", state.last_rows)
      .Integer("consecutive_failures", state.consecutive_failures);
  const bool paused = job.PausedAt(now);
  object.Switch("paused", paused)
      .Time("paused_until", paused ? state.paused_until : std::nullopt)
      .TextOrNull("paused_by", paused ? state.paused_by : "")
      .TextOrNull("pause_reason", paused ? state.pause_reason : "");
  return object;
}

JsonObject Recorded(const RunRecord& run) {
  const JobReport& report = run.report;
  const bool ended = report.status != RunStatus::kRunning;
  JsonObject object;
  object.Text("run_id", run.run_id)
      .Text("job", run.job)
      .Text("type", run.type)
      .Text("trigger", TriggerName(run.trigger))
      .Time("due", run.due)
      .Integer("attempt", run.attempt)
      .Time("started", run.started)
      .Time("finished", ended ? std::optional<WallTime>(run.finished) : std::nullopt)
      .Raw("duration_seconds",
           ended ? Number(std::chrono::duration<double>(run.finished - run.started).count())
                 : "null")
      .Text("status", RunStatusName(report.status))
      .TextOrNull("reason", report.reason)
      .TextOrNull("cutoff", report.cutoff)
      .Integer("rows_done", report.rows_done)
      .Integer("rows_skipped", report.rows_skipped)
      .Integer("rows_quarantined", report.rows_quarantined)
      .Integer("batches", report.batches)
      .Raw("throttled", NumbersJson(run.throttled))
      .Raw("details", FlatJson(report.details))
      .TextOrNull("error_sqlstate", run.error_sqlstate)
      .TextOrNull("error_text", run.error_text)
      .Text("host", run.host)
      .Integer("pid", run.pid)
      .Text("holder", run.holder)
      .Integer("lease_epoch", run.epoch)
      .Integer("timeline", run.timeline);
  return object;
}

std::string LeasesJson(const std::vector<LeaseRow>& leases) {
  std::vector<std::string> items;
  for (const LeaseRow& lease : leases) {
    JsonObject object;
    object.Text("name", lease.name)
        .Switch("held", lease.held)
        .Text("holder", lease.holder)
        .Integer("epoch", lease.epoch)
        .Time("acquired", lease.acquired_at)
        .Time("expires", lease.expires_at);
    items.push_back(object.ToText());
  }
  return JsonArray(items);
}

std::string PlanJson(const JobFacts& job) {
  const JobPolicy& policy = *job.policy;
  JsonObject object;
  const bool needed = policy.spec->needs_confirmation && policy.confirm;
  object.Text("hash", policy.PlanHash()).Switch("needs_confirmation", needed);
  object.Raw("confirmed", !needed || !job.KnowsConfirmation() ? "null"
                          : job.NeedsConfirmation()           ? "false"
                                                              : "true");
  return object.ToText();
}

std::string DueJson(const std::vector<DueTime>& due, const TimeZone& zone, std::string_view word) {
  std::vector<std::string> items;
  for (const DueTime& time : due) {
    JsonObject object;
    object.Time("due", time.at).Text("local", zone.FormatWithOffset(time.at));
    object.TextOrNull(word, time.remark);
    items.push_back(object.ToText());
  }
  return JsonLines(items);
}

}  // namespace

std::string JobsJson(const std::vector<JobFacts>& jobs, WallTime now) {
  std::vector<std::string> items;
  for (const JobFacts& job : jobs) items.push_back(Listed(job, now).ToText());
  return "{\n  \"jobs\": " + JsonLines(items) + "\n}\n";
}

std::string JobJson(const JobFacts& job, WallTime now) {
  const JobPolicy& policy = *job.policy;
  const JobState state = job.state.value_or(JobState());
  JsonObject options;
  for (const JobOption& option : policy.options.declared()) {
    if (option.kind == OptionKind::kFile) {
      options.Text(option.name, ShownOption(option, policy.options));
    } else if (option.kind == OptionKind::kTexts) {
      options.Raw(option.name, JsonArray(Quoted(policy.options.Texts(option.name))));
    } else {
      options.Text(option.name, policy.options.Text(option.name));
    }
  }
  const RunRecord* running = job.Running();
  JsonObject object = Listed(job, now);
  object.Text("window", policy.window.Describe())
      .TextOrNull("blackout", policy.blackout.empty() ? "" : policy.blackout.Describe())
      .Text("overlap", OverlapName(policy.overlap))
      .Text("misfire", MisfireName(policy.misfire))
      .Integer("misfire_grace_seconds", policy.Grace().count())
      .Integer("retries", policy.retries)
      .Integer("deadline_seconds", policy.deadline.count())
      .Raw("groups", JsonArray(Quoted(policy.groups)))
      .Raw("plan", PlanJson(job))
      .Time("last_due", state.last_due)
      .Integer("attempt", state.attempt)
      .Integer("queued", state.queued)
      .Raw("counters", NumbersJson(state.counters))
      .Raw("running", running ? Recorded(*running).ToText() : "null")
      .Raw("leases", LeasesJson(job.leases))
      .Raw("options", options.ToText());
  return object.ToText() + "\n";
}

std::string HistoryJson(const std::vector<ShownRun>& runs) {
  std::vector<std::string> items;
  for (const ShownRun& shown : runs) items.push_back(Recorded(shown.run).ToText());
  return "{\n  \"runs\": " + JsonLines(items) + "\n}\n";
}

std::string RunJson(const RunRecord& run, const JobFacts& job, bool dry_run) {
  JsonObject object = Recorded(run);
  object.Switch("dry_run", dry_run).Raw("plan", PlanJson(job));
  if (dry_run) object.Raw("plan_lines", JsonLines(Quoted(run.report.plan)));
  return object.ToText() + "\n";
}

std::string NextJson(const JobFacts& job, const std::vector<DueTime>& due) {
  return "{\n  \"job\": " + JsonQuoted(job.policy->name) +
         ",\n  \"enabled\": " + (job.policy->enabled ? "true" : "false") +
         ",\n  \"due\": " + DueJson(due, job.policy->zone, "remark") + "\n}\n";
}

std::string WhyNotJson(const JobFacts& job, const WhyNot& why) {
  return "{\n  \"job\": " + JsonQuoted(job.policy->name) +
         ",\n  \"reasons\": " + JsonLines(Quoted(why.reasons)) +
         ",\n  \"passed\": " + DueJson(why.passed, job.policy->zone, "outcome") +
         ",\n  \"missed\": " + (why.missed.empty() ? "null" : JsonQuoted(why.missed)) + "\n}\n";
}

}  // namespace pgsteward
