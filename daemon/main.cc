#include <CLI/CLI.hpp>
#include <iostream>

#include "daemon/commands.h"
#include "daemon/commands_backup.h"
#include "daemon/commands_prove.h"
#include "daemon/job_command.h"
#include "daemon/schema_command.h"

namespace {

constexpr const char* kFooter =
    "Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 differences found, 4 lease held by somebody\n"
    "            else, 5 database not reachable or a standby, 6 work left, 7 not confirmed,\n"
    "            78 configuration refused, 130 interrupted (143 by SIGTERM).\n"
    "Documentation: docs/ in the source, /usr/share/doc/pgsteward when installed.";

// `options`, `config` and `exit_code` are used when the command runs.
void AddSchemaCommand(CLI::App& app, pgsteward::SchemaOptions& options, std::string& config,
                      int& exit_code) {
  auto* schema =
      app.add_subcommand("schema", "Apply, show or check the hub's schema and pgsteward's tables");
  schema->require_subcommand(1);
  const auto add = [&](const char* name, const char* help,
                       int (*run)(const pgsteward::SchemaOptions&)) {
    auto* command = schema->add_subcommand(name, help);
    auto* file = command->add_option("-c,--config", config, "Configuration file");
    file->capture_default_str();
    auto* server =
        command->add_option("--server", options.server, "Server name (default: the first)");
    command->add_option("--dsn", options.dsn, "Connection string, instead of a configuration")
        ->excludes(file)
        ->excludes(server);
    command
        ->add_option("--component", options.component,
                     "hub, pgsteward (its own tables) or all (default: all; with --to or "
                     "--baseline: hub)")
        ->check(CLI::IsMember({"hub", "pgsteward", "all"}));
    command->callback([&options, &config, &exit_code, run] {
      options.config_path = config;
      exit_code = run(options);
    });
    return command;
  };

  auto* apply =
      add("apply", "Bring the database to the newest version", &pgsteward::SchemaApplyCommand);
  auto* to = apply->add_option("--to", options.to,
                               "Last version of one component to apply (default: the newest)");
  auto* dry_run = apply->add_flag("--dry-run", options.dry_run,
                                  "Print what would be run, with -v the statements too");
  apply
      ->add_option("--baseline", options.baseline,
                   "Record the versions of one component up to this one as applied, run nothing")
      ->excludes(to)
      ->excludes(dry_run);
  apply->add_option("--wait", options.wait, "How long to wait while somebody else applies")
      ->capture_default_str();
  apply->add_option("--timeout", options.timeout, "Of each statement")->capture_default_str();
  apply->add_flag("-v,--verbose", options.verbose, "Show the server's notices");

  for (auto* command :
       {add("status", "Show which versions the database has", &pgsteward::SchemaStatusCommand),
        add("check", "List where the database differs from what its versions declare",
            &pgsteward::SchemaCheckCommand)}) {
    command->add_option("--output", options.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
  }
}

// Each with an example, as a person types it.
constexpr const char* kJobRunFooter =
    "Examples:\n"
    "  pgsteward job run session_cleanup --dry-run\n"
    "  pgsteward job run message_archive --confirm 3f1c0a9d2b7e\n"
    "A run by hand minds neither the schedule nor windows, blackouts, pauses and enabled: false, "
    "and\n"
    "says so. Ctrl-C asks for a stop at the next safe point, a second one leaves at once.\n"
    "Exit codes: 0 ok, 1 failed, 2 unknown job or argument, 4 lease held by somebody else,\n"
    "            5 database not reachable or a standby, 6 work left (the reason is printed),\n"
    "            7 the plan is not confirmed, 78 configuration refused, 130 interrupted.";
constexpr const char* kJobPauseFooter =
    "Examples:\n"
    "  pgsteward job pause message_archive --for 2h --reason \"index build\"\n"
    "  pgsteward job pause message_archive --until \"2026-12-01 08:00\"\n"
    "Times are of the job's time zone. A run of the schedule stops at its next safe point.";

// `options`, `config` and `exit_code` are used when the command runs.
void AddJobCommand(CLI::App& app, pgsteward::JobCommandOptions& options, std::string& config,
                   int& exit_code) {
  using Options = pgsteward::JobCommandOptions;
  auto* job = app.add_subcommand("job", "List, run, pause and explain the jobs");
  job->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const char* footer,
                       int (*run)(const Options&)) {
    auto* command = job->add_subcommand(name, help);
    command->footer(footer);
    command->add_option("-c,--config", config, "Configuration file")->capture_default_str();
    command->add_option("--server", options.server, "Server name (default: the job's)");
    command->callback([&options, &config, &exit_code, run] {
      options.config_path = config;
      exit_code = run(options);
    });
    return command;
  };
  const auto takes_name = [&options](CLI::App* command) {
    return command->add_option("name", options.name, "Job name of the configuration");
  };
  const auto takes_output = [&options](CLI::App* command) {
    command->add_option("--output", options.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
  };

  auto* list = add("list", "List the jobs, when they are due and how they fared",
                   "Example: pgsteward job list --output json", &pgsteward::JobListCommand);
  takes_output(list);
  auto* show = add("show", "Show all of one job", "Example: pgsteward job show message_archive",
                   &pgsteward::JobShowCommand);
  takes_name(show)->required();
  takes_output(show);

  auto* run =
      add("run", "Run a job now, in this process", kJobRunFooter, &pgsteward::JobRunCommand);
  takes_name(run)->required();
  takes_output(run);
  auto* dry_run =
      run->add_flag("--dry-run", options.dry_run, "Change nothing, print what would be done");
  run->add_option("--confirm", options.confirm, "Your word for the plan of this hash")
      ->excludes(dry_run);
  run->add_option("--arg", options.arguments, "name=value, for this run only; may come again")
      ->allow_extra_args(false);

  auto* history = add("history", "Show the runs, the newest first",
                      "Example: pgsteward job history message_archive --limit 5",
                      &pgsteward::JobHistoryCommand);
  takes_name(history);
  takes_output(history);
  history->add_option("--limit", options.limit, "At most so many")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();

  auto* pause =
      add("pause", "Keep a job from running", kJobPauseFooter, &pgsteward::JobPauseCommand);
  takes_name(pause)->required();
  auto* until = pause->add_option("--until", options.pause_until, "\"2026-12-01 08:00\"");
  pause->add_option("--for", options.pause_for, "30m, 2h, 7d (default: until resumed)")
      ->excludes(until);
  pause->add_option("--reason", options.reason, "For those who wonder");
  auto* resume = add("resume", "Let a paused job run again",
                     "Example: pgsteward job resume message_archive", &pgsteward::JobResumeCommand);
  takes_name(resume)->required();

  auto* why_not =
      add("why-not", "Explain why a job does not run now",
          "Example: pgsteward job why-not message_archive", &pgsteward::JobWhyNotCommand);
  takes_name(why_not)->required();
  takes_output(why_not);
  auto* next =
      add("next", "Show when a job is due next",
          "Example: pgsteward job next message_archive --count 10", &pgsteward::JobNextCommand);
  takes_name(next)->required();
  takes_output(next);
  next->add_option("--count", options.count, "So many due times")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
}

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
  std::string config = pgsteward::kDefaultConfig;
  const auto takes_config = [&config](CLI::App* command) {
    command->add_option("-c,--config", config, "Configuration file")->capture_default_str();
  };

  auto* serve = app.add_subcommand("serve", "Run the daemon: measure and serve metrics");
  takes_config(serve);
  serve->callback([&] { exit_code = pgsteward::ServeCommand(config, started); });

  auto* check = app.add_subcommand("check-config", "Check a configuration file");
  bool print = false;
  check->add_option("file,-c,--config", config, "Configuration file")->capture_default_str();
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

  pgsteward::SchemaOptions schema_options;
  AddSchemaCommand(app, schema_options, config, exit_code);

  pgsteward::JobCommandOptions job_options;
  AddJobCommand(app, job_options, config, exit_code);
  pgsteward::AddProveCommands(*pgsteward::AddBackupCommands(app, config, exit_code), config,
                              exit_code);

  auto* version = app.add_subcommand("version", "Print the version");
  version->callback([&] { exit_code = pgsteward::VersionCommand(); });

  // CLI11 would only say that a command is missing.
  const std::string word = argc > 1 ? argv[1] : "-";
  const auto is_word = [&word](const CLI::App* command) { return command->check_name(word); };
  if (word[0] != '-' && app.get_subcommands(is_word).empty()) {
    std::cerr << "pgsteward: unknown command \"" << word
              << "\"; hint: See the list with: pgsteward --help.\n";
    return pgsteward::kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? pgsteward::kExitOk : pgsteward::kExitUsage;
  }
  return exit_code;
}
