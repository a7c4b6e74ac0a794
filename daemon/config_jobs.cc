#include "daemon/config_jobs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/duration.h"
#include "core/shown.h"
#include "daemon/config_files.h"
#include "daemon/config_values.h"
#include "jobs/backup/place.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr DurationRange kJitter{seconds(0), days(1)};
constexpr DurationRange kGrace{seconds(1), days(366)};
constexpr DurationRange kPause{seconds(1), days(1)};
constexpr DurationRange kDeadline{seconds(1), days(30)};
constexpr DurationRange kMaxAge{seconds(1), days(3660), true};
// Shorter ones would be lost by a busy server's hiccups; longer ones delay every take-over.
constexpr DurationRange kLease{seconds(3), minutes(10)};
constexpr int kMostMisfires = 1000;
constexpr int kMostRetries = 100;
constexpr std::array<std::string_view, 2> kGaps = {"run_at_end", "skip"};
constexpr std::array<std::string_view, 2> kFolds = {"first", "both"};
constexpr std::array<std::string_view, 3> kOverlaps = {"skip", "queue_one", "cancel_previous"};
constexpr std::array<std::string_view, 3> kMisfires = {"run_once", "skip", "run_all"};

Error Bad(std::string message, std::string hint = {}) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

// What stands in the configuration: the whole of it, and one job.
struct Reading {
  const std::string& config_path;
  std::span<const JobSpec* const> types;
  const Config& config;
};

const JobSpec* FindType(const Reading& reading, ConfigMap& map, const Located<std::string>& name) {
  const bool said = map.Has("type");
  auto type = map.Text("type");
  if (said && !type) return nullptr;
  if (!type) type = name;
  std::vector<std::string_view> words;
  for (const JobSpec* spec : reading.types) {
    if (spec->name == type->value) return spec;
    words.push_back(spec->name);
  }
  const std::string_view meant = Suggestion(type->value, words);
  std::string hint = said ? "The types are " : "Write type: one of ";
  hint += JoinWords(words, said ? " and " : " or ") + ".";
  if (!meant.empty()) hint = "Did you mean \"" + std::string(meant) + "\"?";
  map.AddError(type->at, said ? "type" : "",
               Bad("there is no type of jobs " + Shown(type->value), hint));
  return nullptr;
}

void ReadServerOf(const Reading& reading, ConfigMap& map, JobConfig& job) {
  const auto& servers = reading.config.servers;
  if (!servers.empty()) job.server = servers.front().name;
  const auto server = map.Text("server");
  if (!server || servers.empty()) return;
  std::vector<std::string_view> names;
  for (const ServerConfig& each : servers) names.push_back(each.name);
  if (std::find(names.begin(), names.end(), server->value) == names.end()) {
    map.AddError(server->at, "server",
                 Bad("there is no server " + Shown(server->value),
                     "The servers are " + JoinWords(names, " and ") + "."));
    return;
  }
  job.server = server->value;
}

void ReadZone(const Reading& reading, ConfigMap& map, JobConfig& job) {
  // A wrong zone of all was complained of where it stands.
  if (const auto all = TimeZone::Find(reading.config.options.time_zone)) job.policy.zone = *all;
  const auto name = map.Text("time_zone");
  if (!name) return;
  const auto zone = TimeZone::Find(name->value);
  if (zone) {
    job.policy.zone = *zone;
  } else {
    map.AddError(name->at, "time_zone",
                 Bad(Shown(name->value) + " is not a time zone of this machine",
                     "Write an IANA name such as UTC or Europe/Berlin."));
  }
}

void ReadTimetable(ConfigMap& map, JobConfig& job) {
  JobPolicy& policy = job.policy;
  const auto schedule = map.Text("schedule");
  if (schedule) job.schedule = schedule->value;
  if (const auto gap = map.Choice("gap", kGaps)) job.gap = static_cast<GapRule>(gap->value);
  if (const auto fold = map.Choice("fold", kFolds)) job.fold = static_cast<FoldRule>(fold->value);
  const auto jitter = map.Duration("jitter", kJitter);
  if (jitter) job.jitter = jitter->value;
  TimetableOptions options{.zone = policy.zone,
                           .gap = job.gap,
                           .fold = job.fold,
                           .jitter = job.jitter,
                           .seed = job.server + "/" + policy.name};
  auto timetable = ParseTimetable(job.schedule, options);
  if (!timetable) {
    map.AddError(schedule ? schedule->at : map.at(), "schedule", timetable.error());
    return;
  }
  policy.timetable = *timetable;
  if (policy.timetable.manual()) {
    // Somebody who writes "manual" knows what he wants.
    if (policy.enabled && !schedule) {
      map.AddError(map.at(), "",
                   Bad("the job is enabled and has no schedule",
                       "Write schedule: when it runs, or schedule: manual if only by hand."));
    }
    return;
  }
  if (job.jitter >= policy.timetable.period()) {
    map.AddError(jitter->at, "jitter",
                 Bad(FormatDuration(job.jitter) + " is not shorter than the time between two runs",
                     "Write less than " + FormatDuration(policy.timetable.period()) + "."));
  }
}

WindowSet ReadWindows(ConfigMap& map, std::string_view key, const TimeZone& zone,
                      std::vector<std::string>& written) {
  const auto texts = map.Texts(key);
  if (!texts) return {};
  std::vector<TimeWindow> windows;
  for (const auto& [text, at] : *texts) {
    const auto window = ParseTimeWindow(text);
    if (window) {
      windows.push_back(*window);
      written.push_back(text);
    } else {
      map.AddError(at, key, window.error());
    }
  }
  if (windows.empty()) return {};
  return WindowSet(zone, std::move(windows));
}

void ReadMisfire(ConfigMap& map, JobPolicy& policy) {
  if (const auto overlap = map.Choice("overlap", kOverlaps)) {
    policy.overlap = static_cast<Overlap>(overlap->value);
  }
  if (const auto misfire = map.Choice("misfire", kMisfires)) {
    policy.misfire = static_cast<Misfire>(misfire->value);
  }
  if (const auto grace = map.Duration("misfire_grace", kGrace)) {
    policy.misfire_grace = grace->value;
  }
  if (const auto most = map.Integer("misfire_max", 1, kMostMisfires)) {
    policy.misfire_max = most->value;
  }
}

void ReadRetries(ConfigMap& map, JobPolicy& policy) {
  if (const auto retries = map.Integer("retries", 0, kMostRetries)) policy.retries = retries->value;
  if (const auto pause = map.Duration("retry_pause", kPause)) {
    policy.retry_pause.first = pause->value;
    policy.retry_pause.longest = std::max<Duration>(policy.retry_pause.longest, pause->value);
  }
  if (const auto longest = map.Duration("retry_pause_most", kPause)) {
    policy.retry_pause.longest = longest->value;
    if (policy.retry_pause.first > policy.retry_pause.longest) {
      map.AddError(longest->at, "retry_pause_most",
                   Bad(FormatDuration(longest->value) + " is shorter than retry_pause"));
    }
  }
}

void ReadLimits(ConfigMap& map, JobPolicy& policy) {
  if (const auto deadline = map.Duration("deadline", kDeadline)) policy.deadline = deadline->value;
  if (const auto age = map.Duration("max_age", kMaxAge)) {
    policy.max_age = age->value;
    if (age->value < policy.timetable.period()) {
      map.AddWarning(age->at, "max_age",
                     Bad(FormatDuration(age->value) + " is shorter than the time between two runs",
                         "The job will be overdue before each run."));
    }
  }
}

void ReadGroups(ConfigMap& map, JobPolicy& policy) {
  const auto groups = map.Texts("groups");
  if (!groups) return;
  policy.groups.clear();
  for (const auto& [group, at] : *groups) {
    if (const auto right = CheckJobName(group); !right) {
      map.AddError(at, "groups", right.error());
    } else if (std::find(policy.groups.begin(), policy.groups.end(), group) !=
               policy.groups.end()) {
      map.AddError(at, "groups", Bad(Shown(group) + " stands here twice", "Keep one of them."));
    } else {
      policy.groups.push_back(group);
    }
  }
}

void ReadJob(const Reading& reading, ConfigMap& map, const Located<std::string>& name,
             std::vector<JobConfig>& jobs) {
  if (const auto right = CheckJobName(name.value); !right) {
    map.AddError(name.at, "",
                 Error(right.error().code, "the name of a job: " + right.error().message, {},
                       right.error().hint));
    return;
  }
  const JobSpec* spec = FindType(reading, map, name);
  if (!spec) return;
  JobConfig job(*spec);
  JobPolicy& policy = job.policy;
  policy.name = name.value;
  if (const auto enabled = map.Switch("enabled")) policy.enabled = enabled->value;
  ReadServerOf(reading, map, job);
  policy.server = job.server;
  ReadZone(reading, map, job);
  ReadTimetable(map, job);
  policy.window = ReadWindows(map, "window", policy.zone, job.window);
  policy.blackout = ReadWindows(map, "blackout", policy.zone, job.blackout);
  ReadMisfire(map, policy);
  ReadRetries(map, policy);
  ReadLimits(map, policy);
  ReadGroups(map, policy);
  if (const auto confirm = map.Switch("confirm")) policy.confirm = confirm->value;
  ReadJobOptions(map, reading.config_path, policy.enabled, policy.options);
  if (!policy.spec->throttle_table.empty()) {
    ReadJobOptions(map, reading.config_path, policy.enabled, policy.throttle);
  }
  map.RefuseOthers();
  jobs.push_back(std::move(job));
}

// Two that believe to be alone with what that option names.
void RefuseEqual(ConfigMap& map, const std::vector<JobConfig>& all, std::size_t last) {
  const JobPolicy& policy = all[last].policy;
  const std::string option(policy.spec->sole_option);
  if (option.empty() || policy.options.Text(option).empty()) return;
  const std::string value = NormalTarget(policy.options.Text(option));
  for (std::size_t i = 0; i < last; ++i) {
    const JobPolicy& other = all[i].policy;
    if (other.spec != policy.spec || all[i].server != all[last].server ||
        NormalTarget(other.options.Text(option)) != value) {
      continue;
    }
    map.AddError(
        map.at(), option,
        Bad("is also that of job " + Shown(other.name) + ", of the same server",
            "Each would count the other's as its own: give one of them another " + option + "."));
  }
}

// Only somebody who runs jobs needs the directory.
void CheckStateDirectory(ConfigMap& root, const YAML::Mark& at, const Config& config) {
  const std::string& path = config.jobs_state_directory;
  const bool used = std::any_of(config.jobs.begin(), config.jobs.end(),
                                [](const JobConfig& job) { return job.policy.enabled; });
  if (!used || path.empty()) return;
  struct stat status {};
  const bool there = ::stat(path.c_str(), &status) == 0;
  if (there && S_ISDIR(status.st_mode) && ::access(path.c_str(), W_OK | X_OK) == 0) return;
  root.AddWarning(at, "jobs_state_directory",
                  Bad(!there                     ? "the directory does not exist"
                      : !S_ISDIR(status.st_mode) ? "is not a directory"
                                                 : "the directory cannot be written to",
                      "Without it the end of a run is forgotten when the database is away and "
                      "pgsteward ends."));
}

}  // namespace

void ReadJobs(ConfigMap& root, const std::string& config_path,
              std::span<const JobSpec* const> types, Config& config) {
  const auto directory = root.Text("jobs_state_directory");
  if (directory) config.jobs_state_directory = ResolvePath(config_path, directory->value);
  if (const auto age = root.Text("jobs_keep_history")) {
    const auto normal = ParseAge(age->value);
    if (normal) {
      config.jobs_keep_history = *normal;
    } else {
      root.AddError(age->at, "jobs_keep_history", normal.error());
    }
  }
  if (const auto lease = root.Duration("jobs_lease", kLease)) config.jobs_lease = lease->value;
  auto maps = root.Map("jobs");
  if (!maps) return;
  const Reading reading{config_path, types, config};
  std::vector<JobConfig> jobs;
  for (const Located<std::string>& name : maps->Keys()) {
    auto map = maps->Map(name.value);
    if (!map) continue;
    const std::size_t before = jobs.size();
    ReadJob(reading, *map, name, jobs);
    if (jobs.size() > before) RefuseEqual(*map, jobs, before);
  }
  config.jobs = std::move(jobs);
  CheckStateDirectory(root, directory ? directory->at : maps->at(), config);
}

}  // namespace pgsteward
