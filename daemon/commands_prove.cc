#include "daemon/commands_prove.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "daemon/backup_prove_command.h"

namespace pgsteward {

namespace {

constexpr const char* kVerifyFooter =
    "Examples:\n"
    "  pgsteward backup verify --all\n"
    "  pgsteward backup verify /mnt/backups/hub/20261125T030000Z-7f3a --identity offline.key\n"
    "Without an identity: sizes and checksums. With one: decrypts, decompresses and has "
    "pg_restore\n"
    "read every dump to its end.\n"
    "Exit codes: 0 whole, 1 failed, 2 wrong usage, 3 damaged (each file is named), 78 "
    "configuration\n"
    "            refused.";
constexpr const char* kRestoreFooter =
    "Examples:\n"
    "  pgsteward backup restore latest --database hub --as hub_yesterday --identity offline.key\n"
    "  pgsteward backup restore latest --database hub --overwrite hub --identity offline.key\n"
    "  pgsteward backup restore ./20261125T030000Z-7f3a --cluster /srv/pg/15 --identity "
    "offline.key\n"
    "  pgsteward backup restore latest --cluster /srv/pg/15 --plan\n"
    "A database that is there is never touched unless --overwrite repeats its name; it then stays\n"
    "beside the restored one under another name. --jobs of more than 1 decrypts the dumps into\n"
    "--scratch first: pg_restore needs a file for that.\n"
    "Exit codes: 0 restored, 1 failed, 2 wrong usage, 3 restored, and it is not what was backed "
    "up,\n"
    "            4 a database of that name is there, 78 configuration refused.";

void AddOrigin(CLI::App* command, BackupOrigin& from, std::string& config) {
  command->add_option("backup", from.backup, "Its id, \"latest\", or the path of its folder")
      ->capture_default_str();
  command->add_option("-c,--config", config, "Configuration file")->capture_default_str();
  command->add_option("--server", from.server, "Server name (default: the first)");
  command->add_option("--target", from.target,
                      "Folder of the backups (default: that of the server's jobs)");
  auto* identity =
      command->add_option("--identity", from.identity_file, "File of an age identity, mode 0600");
  command->add_option("--gpg-home", from.gpg_home, "Folder of a gpg key, mode 0700")
      ->excludes(identity);
  command->add_option("--tools", from.tool_directories,
                      "Where PostgreSQL's programs are, before the usual folders");
}

}  // namespace

void AddProveCommands(CLI::App& backup, std::string& config, int& exit_code) {
  auto verify_options = std::make_shared<BackupVerifyOptions>();
  CLI::App* verify = backup.add_subcommand("verify", "Check that a backup is what was stored");
  verify->footer(kVerifyFooter);
  AddOrigin(verify, verify_options->from, config);
  verify->add_flag("--all", verify_options->all, "All backups of the server");
  verify->add_option("--output", verify_options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verify->callback([verify_options, &config, &exit_code] {
    verify_options->from.config_path = config;
    exit_code = BackupVerifyCommand(*verify_options);
  });

  auto options = std::make_shared<BackupRestoreOptions>();
  CLI::App* restore =
      backup.add_subcommand("restore", "Restore databases into a server or a new cluster");
  restore->footer(kRestoreFooter);
  AddOrigin(restore, options->from, config);
  restore->add_option("--database", options->databases, "Only this one (again for more)");
  auto* cluster =
      restore->add_option("--cluster", options->cluster, "Make a new cluster in this folder");
  restore->add_option("--dsn", options->dsn, "Connection string of the server, as a superuser")
      ->excludes(cluster);
  auto* as = restore->add_option("--as", options->as, "Another name for the database");
  as->excludes(cluster);
  restore->add_option("--overwrite", options->overwrite, "The name of the database to replace")
      ->excludes(cluster);
  restore->add_flag("--globals", options->globals,
                    "Also make roles and tablespaces that are not there (a new cluster: always)");
  restore->add_option("--jobs", options->jobs, "pg_restore --jobs")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  restore->add_option("--scratch", options->scratch, "Folder for what is needed meanwhile")
      ->capture_default_str();
  restore->add_option("--run-as", options->run_as, "Owner of a new cluster, when we are root")
      ->capture_default_str();
  restore->add_flag("!--no-check", options->check, "Do not compare the rows with the manifest");
  restore->add_flag("--plan", options->plan, "Print the plain commands and do nothing");
  restore->callback([options, &config, &exit_code] {
    options->from.config_path = config;
    exit_code = BackupRestoreCommand(*options);
  });
}

}  // namespace pgsteward
