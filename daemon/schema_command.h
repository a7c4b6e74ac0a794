// `pgsteward schema apply|status|check`. Each returns the exit code.
#pragma once

#include <string>

namespace pgsteward {

struct SchemaOptions {
  std::string config_path;
  std::string server;  // empty: the first of the configuration
  std::string dsn;     // instead of the configuration, when not empty
  std::string output = "table";
  // "hub", "pgsteward" or "all"; empty: all, but the hub with `to` or `baseline`, which are of one.
  std::string component;

  // of apply
  std::string to;        // last version; empty: the newest
  std::string baseline;  // record up to this version, apply nothing
  bool dry_run = false;
  bool verbose = false;
  std::string wait = "60s";
  std::string timeout = "1h";
};

int SchemaApplyCommand(const SchemaOptions& options);
int SchemaStatusCommand(const SchemaOptions& options);
int SchemaCheckCommand(const SchemaOptions& options);

}  // namespace pgsteward
