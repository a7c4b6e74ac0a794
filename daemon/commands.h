// What `pgsteward <command>` does. Each returns the exit code.
#pragma once

#include <string>

#include "core/clock.h"

namespace pgsteward {

// Documented in docs/commands.md; systemd must not restart on kExitUsage and kExitConfig.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDifferences = 3;
inline constexpr int kExitUnavailable = 5;  // the database cannot be reached
inline constexpr int kExitConfig = 78;      // sysexits.h EX_CONFIG

int ServeCommand(const std::string& config_path, WallTime started);
int CheckConfigCommand(const std::string& config_path, bool print);
// Collects once and prints the page; all collectors when `collector` is empty.
int MetricsCommand(const std::string& config_path, const std::string& collector);
int CollectorsCommand();
int VersionCommand();

struct LocksOptions {
  std::string config_path;
  std::string server;  // empty: the first
  std::string output = "table";
  bool queries = true;
};
int LocksCommand(const LocksOptions& options);

}  // namespace pgsteward
