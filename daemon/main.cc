#include <CLI/CLI.hpp>
#include <iostream>

#include "daemon/commands.h"

namespace {

constexpr const char* kDefaultConfig = "/etc/pgsteward/pgsteward.yaml";

constexpr const char* kFooter =
    "Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 differences found,\n"
    "            5 database not reachable, 78 configuration refused.\n"
    "Documentation: docs/ in the source, /usr/share/doc/pgsteward when installed.";

}  // namespace

int main(int argc, char** argv) {
  const pgsteward::WallTime started = pgsteward::WallNow();
  CLI::App app("Operations and monitoring daemon for PostgreSQL.", "pgsteward");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", [] {
    pgsteward::VersionCommand();
    return std::string();
  });

  int exit_code = 0;
  std::string config = kDefaultConfig;
  const auto takes_config = [&config](CLI::App* command) {
    command->add_option("-c,--config", config, "Configuration file")->capture_default_str();
  };

  auto* serve = app.add_subcommand("serve", "Run the daemon: measure and serve metrics");
  takes_config(serve);
  serve->callback([&] { exit_code = pgsteward::ServeCommand(config, started); });

  auto* check = app.add_subcommand("check-config", "Check a configuration file");
  bool print = false;
  check->add_option("file", config, "Configuration file")->capture_default_str();
  check->add_flag("--print", print, "Print the effective configuration, secrets masked");
  check->callback([&] { exit_code = pgsteward::CheckConfigCommand(config, print); });

  auto* metrics = app.add_subcommand("metrics", "Collect once and print the page of metrics");
  std::string collector;
  takes_config(metrics);
  metrics->add_option("--collector", collector, "Only this collector");
  metrics->callback([&] { exit_code = pgsteward::MetricsCommand(config, collector); });

  auto* collectors = app.add_subcommand("collectors", "List the collectors and what they read");
  collectors->callback([&] { exit_code = pgsteward::CollectorsCommand(); });

  auto* locks = app.add_subcommand("locks", "Show who waits for whom, how long and on what");
  pgsteward::LocksOptions locks_options;
  takes_config(locks);
  locks->add_option("--server", locks_options.server, "Server name (default: the first)");
  locks->add_option("--output", locks_options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  locks->add_flag("!--no-queries", locks_options.queries, "Leave the statements' text out");
  locks->callback([&] {
    locks_options.config_path = config;
    exit_code = pgsteward::LocksCommand(locks_options);
  });

  auto* version = app.add_subcommand("version", "Print the version");
  version->callback([&] { exit_code = pgsteward::VersionCommand(); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? pgsteward::kExitOk : pgsteward::kExitUsage;
  }
  return exit_code;
}
