#include "daemon/job_output.h"

#include <algorithm>
#include <cmath>

#include "core/duration.h"
#include "core/terminal_text.h"
#include "daemon/job_times.h"
#include "daemon/text_table.h"

namespace pgsteward {

namespace {

constexpr std::string_view kNothing = "-";

std::string OrNothing(std::string text) { return text.empty() ? std::string(kNothing) : text; }

double SecondsBetween(WallTime begin, WallTime end) {
  return std::chrono::duration<double>(end - begin).count();
}

// Without the zone and the rules, which `show` tells.
std::string ShortSchedule(const Timetable& timetable) {
  const std::string text = timetable.Describe();
  return text.substr(0, text.find(", "));
}

std::string At(const JobFacts& job, WallTime time, WallTime now) {
  return LocalTime(job.policy->zone, time) + " (" + Relative(time, now) + ")";
}

std::string At(const JobFacts& job, std::optional<WallTime> time, WallTime now) {
  return time ? At(job, *time, now) : std::string(kNothing);
}

std::string LastRun(const JobFacts& job, WallTime now) {
  if (!job.state) return job.problem.empty() ? "never" : "unknown";
  const JobState& state = *job.state;
  if (state.last_status.empty()) return "never";
  std::string text = HarmlessLine(state.last_status);
  const auto since = state.last_finished_at ? state.last_finished_at : state.last_started_at;
  if (since) text += " " + Relative(*since, now);
  return text;
}

std::string Pause(const JobFacts& job, WallTime now) {
  if (!job.PausedAt(now)) return std::string(kNothing);
  const JobState& state = *job.state;
  std::string text = IsForEver(*state.paused_until)
                         ? "until resumed"
                         : "until " + LocalTime(job.policy->zone, *state.paused_until);
  if (!state.paused_by.empty()) text += " by " + HarmlessLine(state.paused_by);
  return text;
}

std::string PlanText(const JobFacts& job) {
  const JobPolicy& policy = *job.policy;
  const std::string hash = policy.PlanHash();
  if (!policy.spec->needs_confirmation) return hash + " (needs no confirmation)";
  if (!policy.confirm) return hash + " (confirm: false)";
  if (!job.KnowsConfirmation()) return hash + " (confirmation unknown)";
  return hash + (job.NeedsConfirmation() ? " (not confirmed)" : " (confirmed)");
}

std::string LeaseText(const JobFacts& job, const LeaseRow& lease, WallTime now) {
  std::string text = lease.name + " epoch " + std::to_string(lease.epoch) + ", ";
  text += lease.held ? "held by " + HarmlessLine(lease.holder) + " since " +
                           At(job, lease.acquired_at, now)
                     : "free, last held by " + HarmlessLine(lease.holder) + " until " +
                           At(job, lease.expires_at, now);
  return text;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// Its error, or else its reason, on one line.
std::string Explanation(const RunRecord& run) {
  std::string text = HarmlessLine(run.report.reason);
  if (run.error_text.empty()) return text;
  text += (text.empty() ? "" : ": ") + HarmlessLine(run.error_text);
  if (!run.error_sqlstate.empty()) text += " (SQLSTATE " + HarmlessLine(run.error_sqlstate) + ")";
  return text;
}

std::string TriggerText(const RunRecord& run) {
  std::string text(TriggerName(run.trigger));
  if (run.attempt > 1) text += " " + std::to_string(run.attempt);
  return text;
}

class Sheet {
 public:
  void Line(const std::string& name, const std::string& value) { rows_.push_back({name, value}); }
  std::string Text() const { return AlignedTable(rows_); }

 private:
  std::vector<TableRow> rows_;
};

void AddPolicy(Sheet& sheet, const JobPolicy& policy) {
  sheet.Line("schedule", policy.timetable.Describe());
  sheet.Line("window", policy.window.Describe());
  sheet.Line("blackout", policy.blackout.empty() ? "none" : policy.blackout.Describe());
  sheet.Line("overlap", std::string(OverlapName(policy.overlap)));
  sheet.Line("misfire", std::string(MisfireName(policy.misfire)) + ", grace " +
                            FormatDuration(policy.Grace()));
  sheet.Line("retries", std::to_string(policy.retries));
  sheet.Line("deadline", FormatDuration(policy.deadline));
  sheet.Line("groups", OrNothing(Joined(policy.groups)));
}

void AddState(Sheet& sheet, const JobFacts& job, WallTime now) {
  if (!job.state) {
    sheet.Line("state", job.problem.empty() ? "no daemon has seen the job yet" : "unknown");
    return;
  }
  const JobState& state = *job.state;
  if (state.retry_at) {
    sheet.Line("retry", "attempt " + std::to_string(state.attempt + 1) + " at " +
                            At(job, *state.retry_at, now));
  }
  sheet.Line("last due", At(job, state.last_due, now));
  sheet.Line("last run", LastRun(job, now));
  if (state.last_finished_at) {
    sheet.Line("  took", ShortDuration(state.last_duration_s) + ", " +
                             std::to_string(state.last_rows) + " rows");
  }
  sheet.Line("last success", At(job, state.last_success_at, now));
  sheet.Line("failures", std::to_string(state.consecutive_failures) + " in a row");
  sheet.Line("missed", OrNothing(MissedText(state)));
}

}  // namespace

std::string JobTable(const std::vector<JobFacts>& jobs, WallTime now) {
  if (jobs.empty()) return "no jobs are configured\n";
  std::vector<TableRow> rows = {
      {"NAME", "TYPE", "SERVER", "ENABLED", "SCHEDULE", "NEXT DUE", "LAST RUN", "PAUSED"}};
  for (const JobFacts& job : jobs) {
    rows.push_back({job.policy->name, std::string(job.policy->spec->name), job.server,
                    job.policy->enabled ? "yes" : "no", ShortSchedule(job.policy->timetable),
                    At(job, job.NextDue(now), now), LastRun(job, now), Pause(job, now)});
  }
  return AlignedTable(rows);
}

std::string ShownOption(const JobOption& option, const JobOptions& options) {
  if (option.kind == OptionKind::kFile) {
    return options.Text(option.name).empty() ? "" : "<secret>";
  }
  if (option.kind == OptionKind::kTexts) {
    std::vector<std::string> texts;
    for (const std::string& text : options.Texts(option.name)) texts.push_back(HarmlessLine(text));
    return Joined(texts);
  }
  return HarmlessLine(options.Text(option.name));
}

std::string JobSheet(const JobFacts& job, WallTime now) {
  const JobPolicy& policy = *job.policy;
  Sheet sheet;
  sheet.Line("name", policy.name);
  sheet.Line("type", std::string(policy.spec->name) + ": " + std::string(policy.spec->summary));
  sheet.Line("server", job.server);
  sheet.Line("enabled", policy.enabled ? "yes" : "no");
  AddPolicy(sheet, policy);
  sheet.Line("plan", PlanText(job));
  sheet.Line("next due", At(job, job.NextDue(now), now));
  sheet.Line("paused", Pause(job, now));
  if (job.PausedAt(now) && !job.state->pause_reason.empty()) {
    sheet.Line("  because", HarmlessLine(job.state->pause_reason));
  }
  AddState(sheet, job, now);
  const RunRecord* running = job.Running();
  sheet.Line("running", running
                            ? running->run_id + " of " + HarmlessLine(running->holder) + " since " +
                                  At(job, running->started, now) + ", " + TriggerText(*running)
                            : std::string(kNothing));
  for (const LeaseRow& lease : job.leases) sheet.Line("lease", LeaseText(job, lease, now));
  for (const JobOption& option : policy.options.declared()) {
    const bool usual = policy.options.Text(option.name) == option.fallback;
    sheet.Line("option", std::string(option.name) + " = " + ShownOption(option, policy.options) +
                             (usual ? " (default)" : ""));
  }
  return sheet.Text();
}

std::string HistoryTable(const std::vector<ShownRun>& runs) {
  if (runs.empty()) return "no runs yet\n";
  std::vector<TableRow> rows = {
      {"STARTED", "JOB", "STATUS", "TRIGGER", "DUE", "DURATION", "ROWS", "REASON"}};
  for (const auto& [run, zone] : runs) {
    const bool running = run.report.status == RunStatus::kRunning;
    rows.push_back(
        {zone.Format(run.started), HarmlessLine(run.job),
         std::string(RunStatusName(run.report.status)), TriggerText(run),
         run.due ? zone.Format(*run.due) : std::string(kNothing),
         running ? std::string(kNothing) : ShortDuration(SecondsBetween(run.started, run.finished)),
         std::to_string(run.report.rows_done), Explanation(run)});
  }
  return AlignedTable(rows);
}

std::string RunSummary(const RunRecord& run) {
  const JobReport& report = run.report;
  std::string text = run.job + ": " + std::string(RunStatusName(report.status)) + ", " +
                     std::to_string(report.rows_done) + " rows";
  if (report.rows_skipped > 0) text += ", " + std::to_string(report.rows_skipped) + " skipped";
  if (report.rows_quarantined > 0) {
    text += ", " + std::to_string(report.rows_quarantined) + " in quarantine";
  }
  text += " in " + std::to_string(report.batches) + " batches, " +
          ShortDuration(SecondsBetween(run.started, run.finished));
  for (const auto& [reason, seconds] : run.throttled) {
    text += ", throttled " + ShortDuration(seconds) + " by " + HarmlessLine(reason);
  }
  text += "\n";
  const std::string why = Explanation(run);
  if (!why.empty()) text += "  reason: " + why + "\n";
  for (const auto& [name, value] : report.details) {
    text += "  " + HarmlessLine(name) + ": " + HarmlessLine(value) + "\n";
  }
  return text;
}

std::string PlanLines(const std::vector<std::string>& plan) {
  std::string text;
  for (const std::string& line : plan) {
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    text += std::string(indent, ' ') + HarmlessLine(std::string_view(line).substr(indent)) + "\n";
  }
  return text;
}

std::string NextTable(const JobFacts& job, const std::vector<DueTime>& due, WallTime now) {
  if (due.empty()) return job.policy->name + " has no schedule: it runs only by hand\n";
  const TimeZone utc;
  std::vector<TableRow> rows = {{"DUE", "UTC", "WHEN", "REMARK"}};
  for (const DueTime& time : due) {
    rows.push_back({job.policy->zone.Format(time.at), utc.Format(time.at), Relative(time.at, now),
                    time.remark});
  }
  return AlignedTable(rows);
}

std::string WhyNotText(const JobFacts& job, const WhyNot& why) {
  std::string text;
  for (const std::string& reason : why.reasons) text += reason + "\n";
  if (!why.passed.empty()) {
    text += "\nIts last due times:\n";
    std::vector<TableRow> rows;
    for (const DueTime& due : why.passed) {
      rows.push_back({"  " + job.policy->zone.Format(due.at), due.remark});
    }
    text += AlignedTable(rows);
  }
  if (!why.missed.empty()) {
    text += "\nNot run since " + why.known_since + ": " + why.missed + "\n";
  }
  return text;
}

std::string ProgressLine(const JobReport& so_far, double seconds, const std::string& throttled_by) {
  const long long rate = seconds < 1
                             ? so_far.rows_done
                             : std::llround(static_cast<double>(so_far.rows_done) / seconds);
  std::string text = std::to_string(so_far.rows_done) + " rows, " + std::to_string(rate) +
                     " rows/s, " + std::to_string(so_far.batches) + " batches, " +
                     ShortDuration(seconds);
  if (!throttled_by.empty()) text += "; throttled by " + HarmlessLine(throttled_by);
  return text;
}

}  // namespace pgsteward
