// The command line of `pgsteward backup`.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace pgsteward {

// Adds the group to `app` and returns it, for more commands of it. `config` and `exit_code` are
// used when a command runs.
CLI::App* AddBackupCommands(CLI::App& app, std::string& config, int& exit_code);

}  // namespace pgsteward
