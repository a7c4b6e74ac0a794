// The SQL that moves a batch of messages, made for the tables as they are. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "jobs/archive/archive_tables.h"
#include "jobs/archive/trigger_mode.h"

namespace pgsteward {

// How a batch finds its first row.
enum class BatchStart {
  kOldest,  // no row was seen yet
  kAfter,   // behind the row (created_at, id)
  kOnly,    // only the row with that id
};

// One statement, so that rows are either in one place or in the other, whatever happens:
//   $1 cutoff, $2 rows at most, then those of BatchStart: $3 id, $4 created_at;
//   $5 run, $6 and $7 first and last created_at that the run has moved so far, or null;
//   $8 shape.catalog, $9 rows moved at most.
// (SeenSql() takes the first four.) Parameters that a start does not need are null.
// It looks at the next rows in the order of (created_at, id), passes over those that are held, in
// quarantine or locked by others, and moves the rest. One row comes back, its columns:
enum MoveColumn {
  kSeen,
  kCandidates,  // of them, not held and not in quarantine
  kMoved,       // deleted from the live table
  kStored,      // of them, in the archive now, as they were
  kFresh,       // of them, not there already
  kDoubled,     // of them, there already under the same id and another created_at
  kMovedSum,    // sums of RowHashSql modulo 2^64
  kStoredSum,   // null where the archive stores rows as it is given them
  kStaleSum,    // of the stored that were there already
  kFirst,       // created_at, of all that the run has moved
  kLast,
  kCursorId,  // of the last row seen
  kCursorCreatedAt,
  // Whether the catalog is what the statement was made for. If not, a value may have stayed behind,
  // or have been changed: nothing may be committed.
  kSameCatalog,
};
std::string MoveSql(const ArchiveShape& shape, TriggerMode mode, BatchStart start);

// What MoveSql would look at, without doing anything: seen, id and created_at of the last row.
std::string SeenSql(const ArchiveShape& shape, BatchStart start);

// Of the archived rows of a run: how many, and the sum of their hashes. $1 run, $2 and $3 first and
// last created_at.
std::string VerifySql(const ArchiveShape& shape);

// Which rows `m` are old enough: created_at before $1.
std::string OldSql(const ArchiveShape& shape);
// Which rows `m` a hold keeps.
std::string KeptSql();
std::string QuarantinedSql();

// Settings of transactions that compare and sum up rows as text.
std::vector<std::pair<std::string, std::string>> RowTextSettings();
// A hash of all columns of the live table, of the row `alias`, in text form: NULL is not the empty
// text, 1.0 in JSON is not 1.00.
std::string RowHashSql(const ArchiveShape& shape, const std::string& alias);
// True where each column that is written has the same text form in both rows. Not by =, which some
// types lack and others take lightly.
std::string SameRowSql(const ArchiveShape& shape, const std::string& one, const std::string& other);

}  // namespace pgsteward
