// What a purge of the archive may destroy.
#pragma once

#include <optional>
#include <string>

#include "jobs/archive/archive_tables.h"
#include "jobs/job.h"

namespace pgsteward {

struct PurgeScope {
  std::string cutoff;           // rows created before it, as timestamptz text
  long long cutoff_micros = 0;  // since 1970
  // Only rows that were in the archive by then; empty: all. What came later, an old import too, may
  // be in no backup.
  std::optional<std::string> covered_until;
  bool has_archived_at = false;
  // Why nothing may be purged: "no_backup: ...". Empty: go on.
  std::string refused;

  // Condition on the row m; `cutoff` and `covered` are expressions.
  std::string UncoveredSql(const std::string& covered) const;
};

// Asks once per run: cut-off and backup. kBadConfig when older_than is not set.
Task<Result<PurgeScope>> ReadPurgeScope(Database& db, const JobOptions& options,
                                        const std::string& time_zone, const ArchiveFacts& facts);

// Shape, rights and what hangs on the archive's rows: an error when they may not be deleted.
Result<void> CheckPurgeable(const ArchiveFacts& facts);

}  // namespace pgsteward
