#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "core/task_group.h"
#include "core/terminal_text.h"
#include "daemon/commands.h"
#include "daemon/console.h"
#include "daemon/job_choice.h"
#include "daemon/job_output.h"
#include "daemon/job_reader.h"
#include "daemon/job_times.h"
#include "daemon/operating.h"
#include "jobs/runner/execution.h"
#include "jobs/runner/job_store.h"

namespace pgsteward {

namespace {

constexpr Duration kBeat = std::chrono::milliseconds(500);  // of the line of progress
constexpr Duration kStopGrace = std::chrono::seconds(5);

// One run by hand, from the command line to the exit code.
struct ManualRun {
  const JobCommandOptions& options;
  JobChoice choice;
  std::map<std::string, std::string> arguments;
  Console console;
  int signal = 0;
  int exit_code = kExitOk;

  const JobPolicy& policy() const { return choice.job->policy; }
};

Result<std::map<std::string, std::string>> ReadArguments(const JobCommandOptions& options,
                                                         const JobSpec& spec) {
  std::map<std::string, std::string> arguments;
  std::string known;
  for (const std::string_view name : spec.arguments) {
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  for (const std::string& text : options.arguments) {
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    bool declared = false;
    for (const std::string_view each : spec.arguments) declared = declared || each == name;
    if (equals == std::string::npos || !declared) {
      return Error(Errc::kBadConfig, "no argument \"" + HarmlessLine(text) + "\"", {},
                   known.empty() ? "Jobs of type " + std::string(spec.name) + " take none."
                                 : "Write name=value; it takes: " + known + ".");
    }
    if (!arguments.emplace(name, text.substr(equals + 1)).second) {
      return Error(Errc::kBadConfig, "argument " + name + " twice");
    }
  }
  return arguments;
}

// As the shell reads it back.
std::string ShellWord(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:@,%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

// The command that was given, with another end.
std::string CommandWith(const ManualRun& run, const std::string& end) {
  std::string command = "pgsteward job run " + run.policy().name;
  if (run.options.config_path != kDefaultConfig) {
    command += " --config " + ShellWord(run.options.config_path);
  }
  for (const std::string& argument : run.options.arguments) {
    command += " --arg " + ShellWord(argument);
  }
  return command + " " + end;
}

// True: go on.
bool CheckConfirmation(ManualRun& run, const JobFacts& job) {
  const std::string hash = run.policy().PlanHash();
  const std::string& given = run.options.confirm;
  std::string problem;
  if (!given.empty() && given != hash) {
    problem = "the plan of " + run.policy().name + " is " + hash + " and not " +
              HarmlessLine(given) + ": its options have changed";
  } else if (given.empty() && !run.options.dry_run && job.NeedsConfirmation()) {
    problem = "the plan " + hash + " of " + run.policy().name + " has no person's word yet";
  }
  if (problem.empty()) return true;
  std::cerr << "pgsteward: job run: " << problem << "\n"
            << "  look at it:  " << CommandWith(run, "--dry-run") << "\n"
            << "  then run it: " << CommandWith(run, "--confirm " + hash) << "\n";
  run.exit_code = kExitNotConfirmed;
  return false;
}

// What would keep the scheduler from it, and not a person.
void TellWhatIsPassedOver(ManualRun& run, const JobFacts& job) {
  const WallTime now = WallNow();
  const JobPolicy& policy = run.policy();
  const auto tell = [&run](const std::string& text) {
    run.console.Line("note: " + text + "; a run by hand begins all the same");
  };
  if (!policy.enabled) tell(policy.name + " is not enabled");
  if (job.PausedAt(now)) {
    tell(policy.name + " is paused by " + job.state->paused_by + ", until " +
         LocalTime(policy.zone, *job.state->paused_until));
  }
  const std::string_view closed = policy.ClosedAt(now);
  if (closed == "window") tell("outside the window " + policy.window.Describe());
  if (closed == "blackout") tell("in the blackout " + policy.blackout.Describe());
}

Task<Result<void>> ReadJob(JobSession& db, std::vector<JobFacts>& facts) {
  auto read = co_await ReadFacts(db, facts, FactsDepth::kStates);
  if (!read) co_return read;
  const std::string& problem = facts.front().problem;
  if (!problem.empty()) co_return NotPrimary(problem);
  co_return Result<void>();
}

Task<void> ShowProgress(JobExecution& execution, Console& console) {
  const SteadyTime begun = SteadyNow();
  for (;;) {
    co_await SleepUntil(SteadyNow() + kBeat);
    console.Progress(
        ProgressLine(execution.progress(), Seconds(SteadyNow() - begun), execution.throttled_by()));
  }
}

// The first signal asks for a stop, the second one just leaves.
Task<void> HeedSignals(boost::asio::signal_set& signals, JobExecution& execution, ManualRun& run) {
  for (;;) {
    const int signal = co_await signals.async_wait(boost::asio::use_awaitable);
    if (run.signal != 0) {
      run.console.Line("left; the history will call the run aborted when its lease has ended");
      std::_Exit(kExitSignal + signal);
    }
    run.signal = signal;
    run.console.Line("stopping at the next safe point; once more to leave at once");
    execution.RequestStop("cancelled");
  }
}

int ExitCodeOf(const RunOutcome& outcome, int signal) {
  if (outcome.end == RunOutcome::End::kNotClaimed) return kExitBusy;
  if (outcome.end != RunOutcome::End::kRan) {
    return outcome.error ? JobExitCode(*outcome.error) : kExitFailure;
  }
  switch (outcome.record.report.status) {
    case RunStatus::kOk:
      return kExitOk;
    case RunStatus::kPartial:
      return kExitPartial;
    case RunStatus::kSkipped:
      return outcome.record.report.reason.rfind("not_confirmed", 0) == 0 ? kExitNotConfirmed
                                                                         : kExitPartial;
    case RunStatus::kCancelled:
      return signal != 0 ? kExitSignal + signal : kExitPartial;
    case RunStatus::kAborted:
      return kExitBusy;
    case RunStatus::kFailed:
    case RunStatus::kRunning:
      break;
  }
  // The database that went away meanwhile is told from a job that is wrong.
  const bool away = outcome.error && (outcome.error->code == Errc::kUnavailable ||
                                      outcome.error->code == Errc::kConnectionLost);
  return away ? kExitUnavailable : kExitFailure;
}

void ShowOutcome(ManualRun& run, const JobFacts& job, const RunOutcome& outcome) {
  run.console.Clear();
  run.exit_code = ExitCodeOf(outcome, run.signal);
  if (outcome.error) Complain("job run", *outcome.error);
  if (outcome.end != RunOutcome::End::kRan) return;
  if (!run.options.dry_run && !outcome.told) {
    run.console.Line("the database could not be told how the run ended: it will say aborted");
  }
  if (run.options.output == "json") {
    std::cout << RunJson(outcome.record, job, run.options.dry_run);
    return;
  }
  if (!run.options.dry_run) {
    std::cout << RunSummary(outcome.record);
    return;
  }
  std::cout << PlanLines(outcome.record.report.plan);
  if (outcome.record.report.status != RunStatus::kOk) std::cout << RunSummary(outcome.record);
  std::cout << "plan " << run.policy().PlanHash();
  if (job.NeedsConfirmation()) {
    std::cout << ", not confirmed; run it with: "
              << CommandWith(run, "--confirm " + run.policy().PlanHash());
  }
  std::cout << "\n";
}

Task<void> Execute(Runtime& runtime, ManualRun& run, const JobFacts& job) {
  const PgTarget target = JobTarget(*run.choice.server);
  // It knows which server the jobs ran on last.
  const std::string path = SchedulerPolicyOf(run.choice.loaded->config, *run.choice.server).journal;
  Journal journal(runtime, path, Journal::Use::kReadOnly);
  if (auto known = journal.Peek(); !known) Complain("journal of jobs", known.error());
  LeaseKeeper keeper(runtime, target, LeaseHolder(), run.choice.loaded->config.jobs_lease,
                     journal.Check());
  RunRequest request(run.policy());
  request.dry_run = run.options.dry_run;
  request.arguments = run.arguments;
  request.confirmed_plan = run.options.confirm;
  request.before = job.state;
  JobExecution execution(runtime, target, keeper, journal, std::move(request));
  execution.on_note = [&run](const std::string& text) { run.console.Line(text); };
  boost::asio::signal_set signals(runtime.loop, SIGINT, SIGTERM);
  TaskGroup tasks(runtime);
  tasks.Spawn("leases", keeper.Run());
  tasks.Spawn("progress", ShowProgress(execution, run.console));
  tasks.Spawn("signals", HeedSignals(signals, execution, run));
  const RunOutcome outcome = co_await execution.Run();
  tasks.Stop();
  co_await tasks.Join(SteadyNow() + kStopGrace);
  ShowOutcome(run, job, outcome);
}

Task<void> RunByHand(Runtime& runtime, ManualRun& run) {
  JobSession db(runtime, JobTarget(*run.choice.server));
  std::vector<JobFacts> facts(1, FactsOf(*run.choice.job));
  auto ready = co_await ReadJob(db, facts);
  const JobFacts& job = facts.front();
  if (ready && !CheckConfirmation(run, job)) co_return;
  if (ready && !run.options.dry_run && !job.state) {
    const std::vector<JobPolicy> jobs(1, *job.policy);
    ready = co_await RegisterJobs(db, jobs);
  }
  if (!ready) {
    Complain("job run", ready.error());
    run.exit_code = JobExitCode(ready.error());
    co_return;
  }
  db.Close();
  if (!run.options.dry_run) TellWhatIsPassedOver(run, job);
  co_await Execute(runtime, run, job);
}

}  // namespace

int JobRunCommand(const JobCommandOptions& options) {
  ManualRun run{options, ChooseJob(options), {}, {}};
  if (run.choice.exit_code != kExitOk) return run.choice.exit_code;
  auto arguments = ReadArguments(options, *run.policy().spec);
  if (!arguments) {
    Complain("--arg", arguments.error());
    return kExitUsage;
  }
  run.arguments = std::move(*arguments);
  Runtime runtime;
  RunToEnd(runtime, RunByHand(runtime, run));
  return LeaveWith(runtime, run.exit_code);
}

}  // namespace pgsteward
