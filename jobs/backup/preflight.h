// What must be right before a backup begins, each with its cure; changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/task.h"
#include "jobs/backup/backup_options.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/pg_tools.h"
#include "jobs/job.h"

namespace pgsteward {

struct BackupFacts {
  std::vector<std::string> databases;
  PgTool pg_dump;
  PgTool pg_dumpall;
  PgTool pg_restore;
  int server_version = 0;
  std::string system_identifier;
  int timeline = 0;
  bool role_passwords = false;  // pg_authid may be read
  std::uint64_t database_bytes = 0;
  std::optional<Manifest> last;    // the newest backup of this job that can be read
  std::uint64_t needed_bytes = 0;  // predicted
  std::uint64_t free_bytes = 0;
  std::vector<Error> problems;
};

// An error: the facts themselves could not be read.
Task<Result<BackupFacts>> ReadBackupFacts(JobContext& context, const BackupSettings& settings);

// All problems as one error; their hints as one.
Error AllProblems(const std::vector<Error>& problems);

// What a backup of these databases will need: what the last one did and a tenth, or, without a last
// one, half of the databases. Pure.
std::uint64_t PredictBytes(const BackupFacts& facts);

}  // namespace pgsteward
