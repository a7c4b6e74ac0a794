// PostgreSQL's own programs of the server's major version.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"

namespace pgsteward {

struct PgTool {
  std::string path;     // "/usr/lib/postgresql/15/bin/pg_dump"
  std::string version;  // "15.18"
  int major = 0;
};

// Looks for `name` ("pg_dump", "pg_dumpall", "pg_restore", "psql", "initdb", "pg_ctl",
// "pg_amcheck") in `directories` (of the configuration), the Debian and RPM folders of `major` and
// the PATH, and asks each for its --version. kUnsupported: none of that major; the message names
// what was found, the hint the package.
Task<Result<PgTool>> FindPgTool(Runtime& runtime, std::string name, int major,
                                std::vector<std::string> directories);

struct WantedTool {
  const char* name;
  std::string* path;  // is set
};
// All of these, or the error of the first that is not there.
Task<Result<void>> FindPgTools(Runtime& runtime, std::vector<WantedTool> wanted, int major,
                               std::vector<std::string> directories);

}  // namespace pgsteward
