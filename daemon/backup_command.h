// `pgsteward backup ...`: taking one, and what lies in the target of a job of type backup.
// Each returns the exit code; docs/commands.md says what they mean.
#pragma once

#include <string>

namespace pgsteward {

struct BackupCommandOptions {
  std::string config_path;
  std::string job;     // of type backup; empty: the only one
  std::string server;  // of which the job must be; empty: any
  std::string backup;  // an id, or "latest"
  std::string output = "table";
  std::string target;    // of init: a folder
  bool dry_run = false;  // of run and expire
  std::string reason;    // of keep
};

// Makes the folder in which backups will lie.
int BackupInitCommand(const BackupCommandOptions& options);
// `pgsteward job run` of the job of type backup.
int BackupRunCommand(const BackupCommandOptions& options);
int BackupListCommand(const BackupCommandOptions& options);
int BackupShowCommand(const BackupCommandOptions& options);
int BackupExpireCommand(const BackupCommandOptions& options);
int BackupKeepCommand(const BackupCommandOptions& options);
int BackupUnkeepCommand(const BackupCommandOptions& options);

}  // namespace pgsteward
