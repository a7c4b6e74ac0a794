// What `pgsteward <command>` does. Each returns the exit code.
#pragma once

#include <string>

#include "core/clock.h"

namespace pgsteward {

inline constexpr const char* kDefaultConfig = "/etc/pgsteward/pgsteward.yaml";

// Documented in docs/commands.md; systemd must not restart on kExitUsage and kExitConfig.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDifferences = 3;
inline constexpr int kExitBusy = 4;         // somebody else holds the lease
inline constexpr int kExitUnavailable = 5;  // the database cannot be reached, or is a standby
inline constexpr int kExitPartial = 6;      // work is left; the reason is printed
inline constexpr int kExitNotConfirmed = 7;
inline constexpr int kExitConfig = 78;   // sysexits.h EX_CONFIG
inline constexpr int kExitSignal = 128;  // plus its number: 130 for SIGINT, 143 for SIGTERM

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
