// `pgsteward job ...`. Each returns the exit code; docs/commands.md says what they mean.
#pragma once

#include <string>
#include <vector>

namespace pgsteward {

struct JobCommandOptions {
  std::string config_path;
  std::string server;  // empty: the job's own; of list and history: all, the first
  std::string name;    // of the job
  std::string output = "table";

  int limit = 20;  // of history
  int count = 5;   // of next

  // of run
  bool dry_run = false;
  std::string confirm;                 // the plan's hash
  std::vector<std::string> arguments;  // "name=value"

  // of pause
  std::string pause_for;
  std::string pause_until;
  std::string reason;
};

int JobListCommand(const JobCommandOptions& options);
int JobShowCommand(const JobCommandOptions& options);
int JobRunCommand(const JobCommandOptions& options);
int JobHistoryCommand(const JobCommandOptions& options);
int JobPauseCommand(const JobCommandOptions& options);
int JobResumeCommand(const JobCommandOptions& options);
int JobWhyNotCommand(const JobCommandOptions& options);
int JobNextCommand(const JobCommandOptions& options);

}  // namespace pgsteward
