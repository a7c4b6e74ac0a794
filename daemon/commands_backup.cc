#include "daemon/commands_backup.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "daemon/backup_command.h"

namespace pgsteward {

namespace {

constexpr const char* kExpireFooter =
    "Examples:\n"
    "  pgsteward backup expire --dry-run\n"
    "Each backup with the reason why it stays or goes. What goes is moved to .trash, and deleted\n"
    "when it has lain there for the job's trash_delay. The job of backups does the same itself,\n"
    "before and after each backup.\n"
    "Exit codes: 0 ok, 1 failed, 2 wrong usage, 4 somebody else changes the backups, 5 target or\n"
    "            database not reachable, 6 frozen (the reason is printed), 78 configuration "
    "refused.";
constexpr const char* kRunFooter =
    "Examples:\n"
    "  pgsteward backup run --dry-run\n"
    "  pgsteward backup run\n"
    "The same as pgsteward job run of the job of type backup, with its exit codes.";
constexpr const char* kKeepFooter =
    "Example: pgsteward backup keep 20261125T030000Z-7f3a --reason \"before the migration\"";
constexpr const char* kUnkeepFooter =
    "Example: pgsteward backup unkeep 20261125T030000Z-7f3a\n"
    "Of a backup with an anomaly: somebody has looked, the older one need not stay for it.";

using Options = BackupCommandOptions;

class Group {
 public:
  Group(CLI::App& group, std::string& config, int& exit_code)
      : group_(group), options_(std::make_shared<Options>()), config_(config), exit_(exit_code) {}

  CLI::App* Add(const char* name, const char* help, const char* footer,
                int (*run)(const Options&)) {
    CLI::App* command = group_.add_subcommand(name, help);
    command->footer(footer);
    command->add_option("-c,--config", config_, "Configuration file")->capture_default_str();
    command->add_option("--job", options_->job, "Job of type backup (default: the only one)");
    command->add_option("--server", options_->server, "Server name (default: the job's)");
    command->callback([options = options_, &config = config_, &exit_code = exit_, run] {
      options->config_path = config;
      exit_code = run(*options);
    });
    return command;
  }
  void TakesBackup(CLI::App* command) {
    command->add_option("backup", options_->backup, "Its id, or \"latest\"")->required();
  }
  void TakesOutput(CLI::App* command) {
    command->add_option("--output", options_->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
  }
  Options& options() { return *options_; }

 private:
  CLI::App& group_;
  std::shared_ptr<Options> options_;
  std::string& config_;
  int& exit_;
};

}  // namespace

CLI::App* AddBackupCommands(CLI::App& app, std::string& config, int& exit_code) {
  CLI::App* backup = app.add_subcommand("backup", "Take, list, keep and try out backups");
  backup->require_subcommand(1);
  Group group(*backup, config, exit_code);
  CLI::App* init = backup->add_subcommand("init", "Make the folder in which backups will lie");
  init->footer("Example: sudo -u pgsteward pgsteward backup init /var/backups/pgsteward");
  auto target = std::make_shared<Options>();
  init->add_option("target", target->target, "A folder that is not there yet, or empty")
      ->required();
  init->callback([target, &exit_code] { exit_code = BackupInitCommand(*target); });
  CLI::App* run =
      group.Add("run", "Take a backup now, in this process", kRunFooter, &BackupRunCommand);
  run->add_flag("--dry-run", group.options().dry_run, "Change nothing, print what would be done");
  group.TakesOutput(run);
  group.TakesOutput(group.Add("list", "List the backups, the newest first",
                              "Example: pgsteward backup list --output json", &BackupListCommand));
  CLI::App* show = group.Add("show", "Show all of one backup",
                             "Example: pgsteward backup show latest", &BackupShowCommand);
  group.TakesBackup(show);
  group.TakesOutput(show);
  CLI::App* expire = group.Add("expire", "Delete the backups that no rule of retention keeps",
                               kExpireFooter, &BackupExpireCommand);
  expire->add_flag("--dry-run", group.options().dry_run, "Change nothing, print the plan");
  group.TakesOutput(expire);
  CLI::App* keep =
      group.Add("keep", "Keep a backup, whatever its age", kKeepFooter, &BackupKeepCommand);
  group.TakesBackup(keep);
  keep->add_option("--reason", group.options().reason, "For those who wonder");
  CLI::App* unkeep = group.Add("unkeep", "Let retention decide about a backup again", kUnkeepFooter,
                               &BackupUnkeepCommand);
  group.TakesBackup(unkeep);
  return backup;
}

}  // namespace pgsteward
