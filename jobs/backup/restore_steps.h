// One database of a backup into a server, by the stock programs. Blocks; for a thread of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/stream_child.h"
#include "jobs/backup/encryption.h"
#include "jobs/backup/feed.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/own_thread.h"
#include "jobs/backup/run_as.h"

namespace pgsteward {

struct RestoreSource {
  std::string folder;
  const Manifest* manifest = nullptr;
  std::optional<Identity> identity = {};
};

// How a program is started that is connected to `database`: the arguments that say to which
// server, the environment, the user. `argv` begins with the program's path.
using ProgramOf =
    std::function<StreamChildSpec(std::vector<std::string> argv, const std::string& database)>;

struct RestoreStep {
  ProgramOf program;
  std::string pg_restore;  // paths
  std::string psql;
  // Restored as it was, name, settings and rights included, from a session in `maintenance`; or
  // only its content, into this empty database.
  std::string maintenance = {};
  std::string into = {};
  // More than one: pg_restore needs a file then, and a plaintext one without a name is made in the
  // folder `spool` meanwhile.
  int jobs = 1;
  std::string spool = {};
  RunAs spool_owner = {};
  FeedProgress progress = {};  // bytes of the dump
};

// Empty when the backup has none.
Result<std::string> ReadGlobals(const RestoreSource& source, StopSwitch& stop);
Result<void> RunSql(const RestoreStep& step, std::string_view sql, const std::string& database,
                    StopSwitch& stop);
// The bytes of its dump. The first error ends it.
Result<std::uint64_t> RestoreDatabase(const RestoreSource& source, const BackupDatabase& database,
                                      const RestoreStep& step, StopSwitch& stop);

}  // namespace pgsteward
