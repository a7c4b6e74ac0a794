// The folders that a command line of `pgsteward backup verify` means.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/backup_prove_command.h"
#include "daemon/command_context.h"
#include "jobs/backup/encryption.h"
#include "jobs/backup/place.h"

namespace pgsteward {

struct BackupChoice {
  int exit_code = 0;                     // other than ok: refused, and why is said
  std::optional<LoadedConfig> loaded;    // where one was needed
  const ServerConfig* server = nullptr;  // of it
  std::vector<std::string> folders;      // oldest first
  std::optional<Identity> identity;
};

// `what` for messages: "backup verify". All of the place's where `all`. Blocks.
BackupChoice ChooseBackups(const std::string& what, const BackupOrigin& from, bool all);

}  // namespace pgsteward
