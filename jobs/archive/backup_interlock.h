// Whether a backup that has proven to be restorable holds what is about to be destroyed.
#pragma once

#include <optional>
#include <string>

#include "core/pg_session.h"

namespace pgsteward {

// Until when rows are in the newest proven backup, as timestamptz text with microseconds and
// offset; empty where there is none. Every row whose transaction had committed by then is in it.
//
// Read from a table that whoever proves backups keeps, pgsteward.proven_backup:
//   proven_at    timestamptz not null   when a restore of it was last checked
//   covers_until timestamptz not null   the moment of its snapshot, by the database server's clock
// One row for each backup that still exists: a backup that is deleted takes its row along. More
// columns may stand beside these two. No such table: no backup is proven.
Task<Result<std::optional<std::string>>> NewestProvenBackup(Database& db);

}  // namespace pgsteward
