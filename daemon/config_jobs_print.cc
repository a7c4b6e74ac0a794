#include <algorithm>

#include "core/duration.h"
#include "core/pg_conninfo.h"
#include "daemon/config_jobs.h"
#include "daemon/config_values.h"

namespace pgsteward {

namespace {

using std::chrono::seconds;

std::string Line(std::string_view key, const std::string& value) {
  return "    " + std::string(key) + ": " + value + "\n";
}

std::string SwitchLine(std::string_view key, bool on) { return Line(key, on ? "true" : "false"); }

std::string TimeLine(std::string_view key, Duration value) {
  return Line(key, FormatDuration(std::chrono::duration_cast<seconds>(value)));
}

std::string OptionLine(const JobOption& option, const JobOptions& options, SecretText secrets) {
  const std::string text = options.Text(option.name);
  const bool plain = option.kind == OptionKind::kInteger || option.kind == OptionKind::kNumber ||
                     option.kind == OptionKind::kSwitch;
  if (option.kind == OptionKind::kTexts) {
    return Line(option.name, QuotedList(options.Texts(option.name)));
  }
  if (plain && !text.empty()) return Line(option.name, text);
  const bool secret = secrets == SecretText::kMasked && CheckConninfo(text) && HasPassword(text);
  return Line(option.name, Quoted(secret ? MaskPasswords(text) : text));
}

std::string JobLines(const JobConfig& job, SecretText secrets) {
  const JobPolicy& policy = job.policy;
  std::string text = "  " + Quoted(policy.name) + ":\n";
  text += Line("type", std::string(policy.spec->name));
  text += Line("server", Quoted(job.server));
  text += SwitchLine("enabled", policy.enabled);
  text += Line("schedule", Quoted(job.schedule));
  text += Line("time_zone", Quoted(policy.zone.name()));
  text += Line("gap", std::string(GapRuleName(job.gap)));
  text += Line("fold", std::string(FoldRuleName(job.fold)));
  text += TimeLine("jitter", job.jitter);
  text += Line("window", QuotedList(job.window));
  text += Line("blackout", QuotedList(job.blackout));
  text += Line("overlap", std::string(OverlapName(policy.overlap)));
  text += Line("misfire", std::string(MisfireName(policy.misfire)));
  text += TimeLine("misfire_grace", policy.Grace());
  text += Line("misfire_max", std::to_string(policy.misfire_max));
  text += Line("retries", std::to_string(policy.retries));
  text += TimeLine("retry_pause", policy.retry_pause.first);
  text += TimeLine("retry_pause_most", policy.retry_pause.longest);
  text += TimeLine("deadline", policy.deadline);
  text += policy.max_age ? TimeLine("max_age", *policy.max_age) : Line("max_age", "none");
  text += Line("groups", QuotedList(policy.groups));
  text += SwitchLine("confirm", policy.confirm);
  std::vector<const JobOptions*> parts = {&policy.options};
  if (!policy.spec->throttle_table.empty()) parts.insert(parts.begin(), &policy.throttle);
  for (const JobOptions* options : parts) {
    for (const JobOption& option : options->declared()) {
      text += OptionLine(option, *options, secrets);
    }
  }
  return text;
}

}  // namespace

std::string PrintJobs(const Config& config, SecretText secrets) {
  std::string text = "jobs_state_directory: " + Quoted(config.jobs_state_directory) + "\n";
  text += "jobs_keep_history: " + config.jobs_keep_history + "\n";
  text += "jobs_lease: " + FormatDuration(config.jobs_lease) + "\n";
  text += config.jobs.empty() ? "jobs: {}\n" : "jobs:\n";
  for (const JobConfig& job : config.jobs) text += JobLines(job, secrets);
  return text;
}

std::string JobsEssence(const Config& config, const ServerConfig& server) {
  Config only = config;
  std::erase_if(only.jobs, [&server](const JobConfig& job) { return job.server != server.name; });
  if (only.jobs.empty()) return {};
  std::string text = PrintJobs(only, SecretText::kPlain);
  for (const std::string* part : {&server.name, &server.conninfo, &server.password_file,
                                  &server.jobs_conninfo, &server.jobs_password_file}) {
    text += Quoted(*part) + "\n";
  }
  return text + FormatDuration(server.connect_timeout) + "\n";
}

}  // namespace pgsteward
