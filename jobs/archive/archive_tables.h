// What the live and the archive table of messages really are, as the catalog says: nothing of the
// move is taken for granted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/pg_session.h"
#include "core/task.h"

namespace pgsteward {

inline constexpr std::string_view kLiveTable = "public.messages";
inline constexpr std::string_view kArchiveTable = "public.messages_archive";

struct TableColumn {
  std::string name;
  std::string type;  // as format_type says: "character varying(255)"
  bool not_null = false;
  bool generated = false;  // the server computes it, nobody may write it
  bool has_default = false;
  // The role's rights on it.
  bool can_select = false;
  bool can_insert = false;
  bool can_update = false;
};

struct TableIndex {
  std::string name;
  // Keys in order; "" is an expression.
  std::vector<std::string> columns;
  // Whole table, checked at once, valid: good for ON CONFLICT.
  bool unique = false;
  bool primary = false;
  // A valid btree over the whole table whose keys all go one way: good for walking in order.
  bool walkable = false;
};

struct TableLink {
  std::string constraint;
  std::string column;  // of the referencing table; "" for several
  std::string table;   // the other one, quoted and qualified where needed
  // 'a' no action, 'r' restrict, 'c' cascade, 'n' set null, 'd' set default.
  char on_delete = 'a';
};

struct TableFacts {
  bool exists = false;
  char kind = ' ';  // pg_class.relkind: 'r' plain, 'p' partitioned
  bool has_children = false;
  // By RANGE over created_at alone.
  bool ranged_by_created_at = false;
  // Row level security would hide rows from the role.
  bool hides_rows = false;
  bool can_delete = false;
  // VACUUM and ANALYZE.
  bool can_maintain = false;
  std::vector<TableColumn> columns;  // in the table's order, without dropped ones
  std::vector<TableIndex> indexes;
  std::vector<TableLink> references;     // its own foreign keys
  std::vector<TableLink> referenced_by;  // of others to it

  const TableColumn* Find(std::string_view name) const;
  // With exactly these key columns, in any order, good for ON CONFLICT.
  bool HasUnique(std::vector<std::string> columns) const;
  // That leads with these columns, good for walking.
  bool HasWalkable(const std::vector<std::string>& columns) const;
};

struct ArchiveFacts {
  bool standby = false;
  std::string role;
  // Of schema pgsteward: holds and quarantine can be read, the latter be written.
  bool has_steward_tables = false;
  bool can_use_steward_tables = false;
  // Of public.chat_sessions: SELECT on id and user_id, UPDATE of message_count and updated_at.
  bool can_read_chats = false;
  bool can_count_chats = false;
  // UPDATE of any column, which is what locking a row needs.
  bool can_lock_chats = false;
  bool can_lock_users = false;
  TableFacts live;
  TableFacts archive;
  // A trigger or rule of the archive, or of a partition, may store another row than it was given.
  bool archive_may_change_rows = false;
  // All columns of both and the triggers of the archive, in one text: see CatalogSql().
  std::string catalog;
};

Task<Result<ArchiveFacts>> ReadArchiveFacts(Database& db);

// An SQL expression: ArchiveFacts::catalog as the tables are now. In a statement that names both
// tables, and so locks them before it takes its snapshot, it tells whether its column lists are
// still all there is, and whether the archive still keeps what it is given.
std::string CatalogSql();

struct ShapeFinding {
  std::string text;  // lower case, without full stop
  std::string hint;  // a sentence
};

struct ShapeReport {
  std::vector<ShapeFinding> problems;  // with any of them nothing may be moved
  std::vector<ShapeFinding> warnings;
};

// Whether rows of the live table can be moved to the archive and found there as they were. Pure.
ShapeReport CheckShape(const ArchiveFacts& facts);
// What is in the way when the triggers count each message, or when the server runs none, foreign
// keys' included. Pure.
std::vector<ShapeFinding> CheckMode(const ArchiveFacts& facts, bool counts_each, bool runs_none);

// What a statement that moves rows needs to know. Of facts without problems.
struct ArchiveShape {
  std::vector<std::string> columns;  // all of the live table
  // Those of them that are written into the archive: the server computes the others there too.
  std::vector<std::string> written;
  // Those that are written when rows go back into the live table.
  std::vector<std::string> written_back;
  std::string id_type;
  // (id), or (id, created_at) where the archive cannot have the first.
  std::vector<std::string> conflict_target;
  bool partitioned = false;
  bool has_archived_at = false;
  bool has_archive_run = false;
  // What is read back from the archive may differ from what was written, row by row.
  bool may_change_rows = false;
  std::string catalog;  // ArchiveFacts::catalog
};
ArchiveShape ShapeOf(const ArchiveFacts& facts);

}  // namespace pgsteward
