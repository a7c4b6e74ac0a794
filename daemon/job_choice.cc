#include "daemon/job_choice.h"

#include <iostream>

#include "core/log.h"
#include "daemon/commands.h"

namespace pgsteward {

namespace {

JobChoice Refused(int exit_code) {
  JobChoice choice;
  choice.exit_code = exit_code;
  return choice;
}

void ComplainOfName(const Config& config, const std::string& name) {
  std::string known;
  for (const JobConfig& job : config.jobs) known += (known.empty() ? "" : ", ") + job.policy.name;
  std::cerr << "pgsteward: no job \"" << name
            << "\" in the configuration; it has: " << (known.empty() ? "none" : known) << "\n";
}

}  // namespace

JobChoice ChooseServer(const JobCommandOptions& options) {
  // What goes wrong is said by the command itself.
  LogOptions quiet;
  quiet.level = LogLevel::kError;
  InitLog(quiet);
  JobChoice choice;
  choice.loaded = LoadOrComplain(options.config_path);
  if (!choice.loaded) return Refused(kExitConfig);
  choice.server = FindServer(choice.loaded->config, options.server);
  if (!choice.server) return Refused(kExitUsage);
  return choice;
}

JobChoice ChooseJob(const JobCommandOptions& options) {
  JobChoice choice = ChooseServer(options);
  if (choice.exit_code != kExitOk) return choice;
  const Config& config = choice.loaded->config;
  for (const JobConfig& job : config.jobs) {
    if (job.policy.name == options.name) choice.job = &job;
  }
  if (!choice.job) {
    ComplainOfName(config, options.name);
    return Refused(kExitUsage);
  }
  if (!options.server.empty() && choice.job->server != options.server) {
    std::cerr << "pgsteward: job \"" << options.name << "\" belongs to server \""
              << choice.job->server << "\"\n";
    return Refused(kExitUsage);
  }
  choice.server = FindServer(config, choice.job->server);
  return choice;
}

JobFacts FactsOf(const JobConfig& job) {
  JobFacts facts(job.policy);
  facts.server = job.server;
  return facts;
}

Error NotPrimary(const std::string& problem) {
  return Error(Errc::kUnavailable, problem, "25006",
               "Connect to the primary: target_session_attrs=read-write in the conninfo.");
}

int JobExitCode(const Error& error) {
  switch (error.code) {
    case Errc::kUnavailable:
    case Errc::kConnectionLost:
    case Errc::kTimeout:
      return kExitUnavailable;
    case Errc::kBusy:
      return kExitBusy;
    case Errc::kBadConfig:
      return kExitUsage;
    default:
      return kExitFailure;
  }
}

}  // namespace pgsteward
