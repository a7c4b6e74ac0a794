// What belongs to a database itself and is in no dump of its content, as statements. Pure.
#pragma once

#include <string>
#include <vector>

#include "jobs/backup/manifest.h"

namespace pgsteward {

// One of Manifest's properties of a database; empty: as any database has it.
std::string PropertyOf(const BackupDatabase& database, const std::string& name);

// What CREATE DATABASE must know of the server that it is for.
struct DatabasePlace {
  int server_version = 0;       // 150018
  bool has_tablespace = false;  // of the name that the database's own had
};

// An empty one of that name, encoding and locale.
std::string CreateDatabaseStatement(const BackupDatabase& database, const std::string& name,
                                    const DatabasePlace& place);

// Owner, comment, limit of connections, settings and rights, for a database of that name. Each is
// a statement by itself.
std::vector<std::string> DatabaseStatements(const BackupDatabase& database,
                                            const std::string& name);

}  // namespace pgsteward
