// What the command line of `pgsteward job` names, of the configuration.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/command_context.h"
#include "daemon/job_command.h"
#include "daemon/job_facts.h"

namespace pgsteward {

struct JobChoice {
  int exit_code = 0;  // other than ok: refused, and why is said
  std::optional<LoadedConfig> loaded;
  const JobConfig* job = nullptr;        // when one is named
  const ServerConfig* server = nullptr;  // the job's, or the one named, else the first
};

// The job must exist, on the server when one is named.
JobChoice ChooseJob(const JobCommandOptions& options);
// No job, but perhaps a server.
JobChoice ChooseServer(const JobCommandOptions& options);

// The facts that the configuration gives.
JobFacts FactsOf(const JobConfig& job);

// Of facts whose problem is that.
Error NotPrimary(const std::string& problem);

// The reaction to an error: away or a standby, held by somebody else, anything else.
int JobExitCode(const Error& error);

}  // namespace pgsteward
