// `pgsteward backup list|show|expire|keep|unkeep`: what lies in the target of a job of type backup.
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
  bool dry_run = false;  // of expire
  std::string reason;    // of keep
};

int BackupListCommand(const BackupCommandOptions& options);
int BackupShowCommand(const BackupCommandOptions& options);
int BackupExpireCommand(const BackupCommandOptions& options);
int BackupKeepCommand(const BackupCommandOptions& options);
int BackupUnkeepCommand(const BackupCommandOptions& options);

}  // namespace pgsteward
