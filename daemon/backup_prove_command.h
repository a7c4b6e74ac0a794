// `pgsteward backup verify` and `pgsteward backup restore`. Each returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace pgsteward {

// Which backups: by the configuration's jobs, or without a configuration by a folder.
struct BackupOrigin {
  std::string config_path;
  std::string server;             // empty: the first
  std::string target;             // instead of that of the configuration's jobs
  std::string backup = "latest";  // an id, or a path of a backup's folder
  std::string identity_file;
  std::string gpg_home;
  std::vector<std::string> tool_directories;
};

struct BackupVerifyOptions {
  BackupOrigin from;
  bool all = false;
  std::string output = "table";
};
int BackupVerifyCommand(const BackupVerifyOptions& options);

struct BackupRestoreOptions {
  BackupOrigin from;
  std::vector<std::string> databases;  // empty: all
  std::string dsn;                     // of the server; empty: the configuration's
  std::string as;
  std::string overwrite;
  std::string cluster;  // a new one, instead of a server
  std::string run_as = "postgres";
  std::string scratch = "/var/tmp";
  bool globals = false;
  bool check = true;
  bool plan = false;
  int jobs = 1;
};
int BackupRestoreCommand(const BackupRestoreOptions& options);

}  // namespace pgsteward
