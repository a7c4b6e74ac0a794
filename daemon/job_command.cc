#include "daemon/job_command.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "core/duration.h"
#include "core/host.h"
#include "core/task_group.h"
#include "daemon/commands.h"
#include "daemon/job_choice.h"
#include "daemon/job_output.h"
#include "daemon/job_reader.h"
#include "daemon/job_times.h"
#include "daemon/operating.h"
#include "jobs/runner/job_store.h"
#include "jobs/runner/run_store.h"

namespace pgsteward {

namespace {

constexpr std::chrono::days kLongestPause{3660};

bool AsJson(const JobCommandOptions& options) { return options.output == "json"; }

// Reads what there is, from the journal when the database says nothing; the exit code.
Task<void> Gather(Runtime& runtime, const Config& config, const ServerConfig& server,
                  std::vector<JobFacts>& jobs, FactsDepth depth, int& exit_code) {
  JobSession db(runtime, JobTarget(server));
  auto read = co_await ReadFacts(db, jobs, depth);
  if (read) {
    const bool standby = !jobs.empty() && !jobs.front().problem.empty();
    if (standby) exit_code = kExitUnavailable;
    co_return;
  }
  exit_code = JobExitCode(read.error());
  Complain("server " + server.name, read.error());
  for (JobFacts& job : jobs) job.problem = read.error().message;
  if (exit_code != kExitUnavailable) co_return;
  const auto known = StatesFromJournal(runtime, SchedulerPolicyOf(config, server).journal, jobs);
  if (!known) Complain("journal of jobs", known.error());
  for (const JobFacts& job : jobs) {
    if (!job.from_journal) continue;
    std::cerr << "pgsteward: note: what is shown is what the daemon on this machine knew last\n";
    break;
  }
}

// Facts of the one job that is named. Empty: refused, or the database has no tables.
struct OneJob {
  JobChoice choice;
  std::vector<JobFacts> facts;
  int exit_code = kExitOk;
  bool usable() const { return !facts.empty(); }
};

Task<void> GatherOne(Runtime& runtime, OneJob& one) {
  co_await Gather(runtime, one.choice.loaded->config, *one.choice.server, one.facts,
                  FactsDepth::kAll, one.exit_code);
}

OneJob ReadOne(Runtime& runtime, const JobCommandOptions& options) {
  OneJob one;
  one.choice = ChooseJob(options);
  one.exit_code = one.choice.exit_code;
  if (one.exit_code != kExitOk) return one;
  one.facts.push_back(FactsOf(*one.choice.job));
  RunToEnd(runtime, GatherOne(runtime, one));
  return one;
}

// Whoever sits at the terminal, also behind sudo.
std::string Who() {
  std::string user;
  if (const char* behind = std::getenv("SUDO_USER")) {
    user = behind;
  } else if (const passwd* entry = ::getpwuid(::geteuid())) {
    user = entry->pw_name;
  } else {
    user = std::to_string(::geteuid());
  }
  return user + "@" + HostName();
}

// Until when --for and --until say; empty: until it is resumed.
Result<std::optional<WallTime>> PauseEnd(const JobCommandOptions& options, const TimeZone& zone) {
  const WallTime now = WallNow();
  if (!options.pause_for.empty()) {
    const auto duration = ParseDuration(options.pause_for);
    if (!duration) return duration.error();
    if (*duration > kLongestPause) {
      return Error(Errc::kBadConfig, "a pause of more than ten years", {},
                   "Leave --for out to pause until somebody resumes.");
    }
    return std::optional<WallTime>(now + *duration);
  }
  if (options.pause_until.empty()) return std::optional<WallTime>();
  const auto until = ParseLocalTime(options.pause_until, zone);
  if (!until) return until.error();
  if (*until <= now) {
    return Error(Errc::kBadConfig, "--until is in the past: " + zone.Format(*until), {},
                 "Times are of the job's time zone, " + zone.name() + ".");
  }
  return std::optional<WallTime>(*until);
}

// Connected to a primary with pgsteward's tables, the job registered there.
Task<Result<void>> OpenForChange(JobSession& db, std::vector<JobFacts>& facts) {
  auto read = co_await ReadFacts(db, facts, FactsDepth::kAll);
  if (!read) co_return read;
  const JobFacts& job = facts.front();
  if (!job.problem.empty()) co_return NotPrimary(job.problem);
  if (job.state) co_return Result<void>();
  const std::vector<JobPolicy> jobs(1, *job.policy);
  co_return co_await RegisterJobs(db, jobs);
}

Error Unregistered(const std::string& name) {
  return Error(Errc::kQueryFailed, "job \"" + name + "\" is not in the database", {},
               "Somebody has deleted its row just now: try again.");
}

Task<Result<void>> Pause(JobSession& db, std::vector<JobFacts>& facts,
                         const JobCommandOptions& options, std::optional<WallTime> until) {
  auto opened = co_await OpenForChange(db, facts);
  if (!opened) co_return opened;
  const std::string who = Who();
  auto paused = co_await PauseJob(db, options.name, until, who, options.reason);
  if (!paused) co_return paused.error();
  if (!*paused) co_return Unregistered(options.name);
  const TimeZone& zone = facts.front().policy->zone;
  std::cout << options.name << " is paused until "
            << (until ? zone.Format(*until) : "it is resumed") << "\n";
  if (facts.front().Running()) {
    std::cout << "its run " << facts.front().Running()->run_id
              << " stops at its next safe point, unless it was begun by hand\n";
  }
  co_return Result<void>();
}

Task<Result<void>> Resume(JobSession& db, std::vector<JobFacts>& facts,
                          const JobCommandOptions& options) {
  auto opened = co_await OpenForChange(db, facts);
  if (!opened) co_return opened;
  const bool was_paused = facts.front().PausedAt(WallNow());
  auto resumed = co_await ResumeJob(db, options.name);
  if (!resumed) co_return resumed.error();
  if (!*resumed) co_return Unregistered(options.name);
  std::cout << options.name << (was_paused ? " is resumed\n" : " was not paused\n");
  co_return Result<void>();
}

Task<void> DoPause(Runtime& runtime, const JobChoice& choice, const JobCommandOptions& options,
                   std::optional<WallTime> until, Result<void>& outcome) {
  JobSession db(runtime, JobTarget(*choice.server));
  std::vector<JobFacts> facts(1, FactsOf(*choice.job));
  outcome = co_await Pause(db, facts, options, until);
}

Task<void> DoResume(Runtime& runtime, const JobChoice& choice, const JobCommandOptions& options,
                    Result<void>& outcome) {
  JobSession db(runtime, JobTarget(*choice.server));
  std::vector<JobFacts> facts(1, FactsOf(*choice.job));
  outcome = co_await Resume(db, facts, options);
}

int EndOf(std::string_view what, const Result<void>& outcome) {
  if (outcome) return kExitOk;
  Complain(what, outcome.error());
  return JobExitCode(outcome.error());
}

// The zone of each run's job; UTC when the configuration does not know it any more.
std::vector<ShownRun> WithZones(std::vector<RunRecord> runs, const Config& config) {
  std::vector<ShownRun> shown;
  for (RunRecord& run : runs) {
    TimeZone zone;
    for (const JobConfig& job : config.jobs) {
      if (job.policy.name == run.job) zone = job.policy.zone;
    }
    shown.push_back({std::move(run), zone});
  }
  return shown;
}

Task<Result<std::vector<RunRecord>>> FetchHistory(Runtime& runtime, const ServerConfig& server,
                                                  const JobCommandOptions& options) {
  JobSession db(runtime, JobTarget(server));
  std::vector<JobFacts> none;
  auto opened = co_await ReadFacts(db, none, FactsDepth::kStates);
  if (!opened) co_return opened.error();
  TransactionSettings settings(std::chrono::seconds(30));
  settings.read_only = true;
  auto begun = co_await db.Begin(settings);
  if (!begun) co_return begun.error();
  auto runs = co_await ReadHistory(db, options.name, options.limit);
  co_await db.Rollback();
  co_return runs;
}

Task<void> DoHistory(Runtime& runtime, const JobChoice& choice, const JobCommandOptions& options,
                     int& exit_code) {
  const Config& config = choice.loaded->config;
  auto runs = co_await FetchHistory(runtime, *choice.server, options);
  std::vector<RunRecord> known;
  if (runs) {
    known = std::move(*runs);
  } else {
    exit_code = JobExitCode(runs.error());
    Complain("server " + choice.server->name, runs.error());
    if (exit_code != kExitUnavailable) co_return;
    const std::string path = SchedulerPolicyOf(config, *choice.server).journal;
    known = UntoldRuns(runtime, path, options.name);
    std::cerr << "pgsteward: note: only runs are shown whose end the database does not know yet\n";
  }
  if (runs && known.empty() && !options.name.empty() && !choice.job) {
    std::cerr << "pgsteward: no job \"" << options.name
              << "\" in the configuration, and none in the history of server "
              << choice.server->name << "\n";
    exit_code = kExitUsage;
    co_return;
  }
  const std::vector<ShownRun> shown = WithZones(std::move(known), config);
  std::cout << (AsJson(options) ? HistoryJson(shown) : HistoryTable(shown));
}

}  // namespace

int JobListCommand(const JobCommandOptions& options) {
  const JobChoice choice = ChooseServer(options);
  if (choice.exit_code != kExitOk) return choice.exit_code;
  const Config& config = choice.loaded->config;
  Runtime runtime;
  int exit_code = kExitOk;
  std::vector<JobFacts> all;
  for (const ServerConfig& server : config.servers) {
    if (!options.server.empty() && server.name != options.server) continue;
    std::vector<JobFacts> jobs;
    for (const JobConfig& job : config.jobs) {
      if (job.server == server.name) jobs.push_back(FactsOf(job));
    }
    if (jobs.empty()) continue;
    int code = kExitOk;
    RunToEnd(runtime, Gather(runtime, config, server, jobs, FactsDepth::kStates, code));
    if (exit_code == kExitOk) exit_code = code;
    for (JobFacts& job : jobs) all.push_back(std::move(job));
  }
  const WallTime now = WallNow();
  std::cout << (AsJson(options) ? JobsJson(all, now) : JobTable(all, now));
  return LeaveWith(runtime, exit_code);
}

int JobShowCommand(const JobCommandOptions& options) {
  Runtime runtime;
  const OneJob one = ReadOne(runtime, options);
  if (!one.usable()) return LeaveWith(runtime, one.exit_code);
  const JobFacts& job = one.facts.front();
  const WallTime now = WallNow();
  std::cout << (AsJson(options) ? JobJson(job, now) : JobSheet(job, now));
  return LeaveWith(runtime, one.exit_code);
}

int JobNextCommand(const JobCommandOptions& options) {
  Runtime runtime;
  const OneJob one = ReadOne(runtime, options);
  if (!one.usable()) return LeaveWith(runtime, one.exit_code);
  const JobFacts& job = one.facts.front();
  const WallTime now = WallNow();
  const auto due = ComingDueTimes(job, options.count, now);
  std::cout << (AsJson(options) ? NextJson(job, due) : NextTable(job, due, now));
  if (!job.policy->enabled && !due.empty()) {
    std::cerr << "pgsteward: note: " << job.policy->name << " is not enabled: none of these runs\n";
  }
  return LeaveWith(runtime, one.exit_code);
}

int JobWhyNotCommand(const JobCommandOptions& options) {
  Runtime runtime;
  const OneJob one = ReadOne(runtime, options);
  if (!one.usable()) return LeaveWith(runtime, one.exit_code);
  const JobFacts& job = one.facts.front();
  const WhyNot why = ExplainWhyNot(job, WallNow());
  std::cout << (AsJson(options) ? WhyNotJson(job, why) : WhyNotText(job, why));
  return LeaveWith(runtime, one.exit_code);
}

int JobHistoryCommand(const JobCommandOptions& options) {
  JobChoice choice = ChooseServer(options);
  if (choice.exit_code != kExitOk) return choice.exit_code;
  const Config& config = choice.loaded->config;
  // A job that was taken out of the configuration keeps its history for a while.
  for (const JobConfig& job : config.jobs) {
    if (job.policy.name == options.name) choice.job = &job;
  }
  if (choice.job && options.server.empty()) {
    choice.server = FindServer(config, choice.job->server);
  }
  Runtime runtime;
  int exit_code = kExitOk;
  RunToEnd(runtime, DoHistory(runtime, choice, options, exit_code));
  return LeaveWith(runtime, exit_code);
}

int JobPauseCommand(const JobCommandOptions& options) {
  const JobChoice choice = ChooseJob(options);
  if (choice.exit_code != kExitOk) return choice.exit_code;
  const auto until = PauseEnd(options, choice.job->policy.zone);
  if (!until) {
    Complain("job pause", until.error());
    return kExitUsage;
  }
  Runtime runtime;
  Result<void> outcome;
  RunToEnd(runtime, DoPause(runtime, choice, options, *until, outcome));
  return LeaveWith(runtime, EndOf("job pause", outcome));
}

int JobResumeCommand(const JobCommandOptions& options) {
  const JobChoice choice = ChooseJob(options);
  if (choice.exit_code != kExitOk) return choice.exit_code;
  Runtime runtime;
  Result<void> outcome;
  RunToEnd(runtime, DoResume(runtime, choice, options, outcome));
  return LeaveWith(runtime, EndOf("job resume", outcome));
}

}  // namespace pgsteward
