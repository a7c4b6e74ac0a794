// Which job of type backup a command line of `pgsteward backup` means.
#pragma once

#include <optional>

#include "daemon/backup_command.h"
#include "daemon/command_context.h"

namespace pgsteward {

struct BackupJob {
  int exit_code = 0;  // other than ok: refused, and why is said
  std::optional<LoadedConfig> loaded;
  const JobConfig* job = nullptr;
  const ServerConfig* server = nullptr;
};

BackupJob FindBackupJob(const BackupCommandOptions& options);

}  // namespace pgsteward
