// The command line of `pgsteward backup verify`.
#pragma once

#include <CLI/App.hpp>
#include <string>

namespace pgsteward {

// Adds it to the group `backup`. `config` and `exit_code` are used when a command runs.
void AddProveCommands(CLI::App& backup, std::string& config, int& exit_code);

}  // namespace pgsteward
