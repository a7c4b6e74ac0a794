// Databases of a backup into a server that runs: under a name that is free, or in the place of one
// whose name was typed, which stays beside it under another name.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/pg_connection.h"
#include "core/runtime.h"
#include "core/task.h"
#include "jobs/backup/encryption.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/own_thread.h"

namespace pgsteward {

struct RestoreRequest {
  std::string folder;  // of the backup
  std::optional<Identity> identity = {};
  PgTarget target;  // a role that may make databases and give them to their owners: a superuser
  std::vector<std::string> tool_directories = {};
  std::vector<std::string> databases = {};  // only these; empty: all
  std::string as = {};                      // the one database's new name
  std::string overwrite = {};  // the name of the database that is to be replaced, typed again
  bool globals = false;        // roles and tablespaces that are not there yet
  bool check = true;           // count all rows afterwards
  int jobs = 1;
  std::string spool = {};  // a folder with room for a decrypted dump, when jobs > 1
  StopWanted stop_wanted = {};
  std::function<void(const std::string&)> note = {};
  std::function<void(double done)> progress = {};
};

struct RestoreOutcome {
  std::vector<std::string> problems;  // of the checks: it is there, and not what was backed up
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, double>> phases;
  long long tables = 0;
  long long rows = 0;
};

// kBusy: a database of that name is there, and was not named to be overwritten. Each database is
// restored under a name of ours beside the one it will have, and takes that when it is whole: what
// was there is not touched before, and what was begun and could not be ended is removed again. A
// dump in plain format makes its database itself, under its own name, and stays there half.
Task<Result<RestoreOutcome>> RestoreIntoServer(Runtime& runtime, RestoreRequest request);

}  // namespace pgsteward
