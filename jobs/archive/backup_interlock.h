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
//   covers_until timestamptz not null   the earlier of two moments by the database server's clock:
//                                       that of its snapshot, and the start of the oldest
//                                       transaction that had an xid and was not over then
// The second, because archived_at is the start of the transaction that wrote a row and not its
// commit: a row of one that was under way is not in the snapshot, and looks older than it.
// One row for each backup that still exists: a backup that is deleted takes its row along. More
// columns may stand beside these two. No such table: no backup is proven.
Task<Result<std::optional<std::string>>> NewestProvenBackup(Database& db);

}  // namespace pgsteward
