// What a program of PostgreSQL needs to connect as we do, as files that only it reads: neither its
// arguments nor its environment show a password.
#pragma once

#include <string>

#include "core/error.h"

namespace pgsteward {

struct PgTarget;

struct PgService {
  // A service file with one service "pgsteward", without database, password and application name.
  std::string service_file;
  // A line of a password file; empty: libpq's own password file has it, or none is needed.
  std::string password_file;
};

// Blocks: reads password and service files. kBadConfig: a value cannot stand in such a file.
Result<PgService> ServiceOf(const PgTarget& target);

// "service='pgsteward' dbname='...'": the name quoted, whatever it holds.
std::string ServiceConninfo(const std::string& database);

}  // namespace pgsteward
