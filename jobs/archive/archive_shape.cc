#include "core/pg_text.h"
#include "jobs/archive/archive_tables.h"

namespace pgsteward {

namespace {

class Report {
 public:
  void Problem(std::string text, std::string hint) {
    report_.problems.push_back({std::move(text), std::move(hint)});
  }
  void Warning(std::string text, std::string hint) {
    report_.warnings.push_back({std::move(text), std::move(hint)});
  }
  ShapeReport Take() { return std::move(report_); }

 private:
  ShapeReport report_;
};

std::string Grant(const std::string& what, std::string_view table, const std::string& role) {
  return "GRANT " + what + " ON " + std::string(table) + " TO " + QuoteIdentifier(role) +
         "; or run schema/job_roles.sql.";
}

const TableColumn kNoColumn;

const TableColumn& ColumnOf(const TableFacts& table, std::string_view name) {
  const TableColumn* column = table.Find(name);
  return column ? *column : kNoColumn;
}

void CheckKind(const ArchiveFacts& facts, Report& report) {
  // Rows are locked and deleted by ctid, which says nothing about which partition or child.
  if (facts.live.kind != 'r') {
    report.Problem(std::string(kLiveTable) + " is not an ordinary table",
                   "Detach whole partitions instead of archiving their rows.");
  } else if (facts.live.has_children) {
    report.Problem("other tables inherit from " + std::string(kLiveTable),
                   "ALTER TABLE ... NO INHERIT " + std::string(kLiveTable) + " for each of them.");
  }
  if (facts.archive.kind != 'r' && facts.archive.kind != 'p') {
    report.Problem(std::string(kArchiveTable) + " is not a table",
                   "Rename it and run pgsteward schema apply.");
  } else if (facts.archive.kind == 'p' && !facts.archive.ranged_by_created_at) {
    report.Problem(std::string(kArchiveTable) + " is partitioned, but not by range of created_at",
                   "Partition it by RANGE (created_at), or not at all.");
  }
}

void CheckColumns(const ArchiveFacts& facts, Report& report) {
  for (const std::string_view name : {"id", "session_id", "user_id", "created_at"}) {
    if (!facts.live.Find(name)) {
      report.Problem(std::string(kLiveTable) + " has no column " + std::string(name),
                     "This job is for the documented table; see pgsteward schema check.");
    }
  }
  const TableColumn& created = ColumnOf(facts.live, "created_at");
  if (!created.type.empty() && created.type != "timestamp with time zone") {
    report.Problem("created_at of " + std::string(kLiveTable) + " is of type " + created.type,
                   "It must be a timestamp with time zone.");
  }
  for (const TableColumn& column : facts.live.columns) {
    const std::string quoted = QuoteIdentifier(column.name);
    const TableColumn* kept = facts.archive.Find(column.name);
    if (!kept) {
      report.Problem(std::string(kArchiveTable) + " has no column " + quoted,
                     "ALTER TABLE " + std::string(kArchiveTable) + " ADD COLUMN " + quoted + " " +
                         column.type + ".");
      continue;
    }
    if (kept->type != column.type) {
      report.Problem("column " + quoted + " is " + column.type + " in " + std::string(kLiveTable) +
                         " and " + kept->type + " in " + std::string(kArchiveTable),
                     "ALTER TABLE " + std::string(kArchiveTable) + " ALTER COLUMN " + quoted +
                         " TYPE " + column.type + ".");
    }
    if (kept->generated && !column.generated) {
      report.Problem("column " + quoted + " of " + std::string(kArchiveTable) +
                         " is computed by the server and cannot keep what was written",
                     "ALTER TABLE " + std::string(kArchiveTable) + " ALTER COLUMN " + quoted +
                         " DROP EXPRESSION.");
    }
    if (kept->not_null && !column.not_null && column.name != "created_at") {
      report.Warning("column " + quoted + " may be null in " + std::string(kLiveTable) +
                         " and not in " + std::string(kArchiveTable),
                     "Rows with a null there will be set aside in pgsteward.quarantine.");
    }
  }
  for (const TableColumn& column : facts.archive.columns) {
    const bool own = column.name == "archived_at" || column.name == "archive_run";
    if (own || facts.live.Find(column.name) || column.generated) continue;
    if (column.not_null && !column.has_default) {
      const std::string quoted = QuoteIdentifier(column.name);
      report.Problem("column " + quoted + " of " + std::string(kArchiveTable) +
                         " must be written and does not come from " + std::string(kLiveTable),
                     "Give it a default, or DROP NOT NULL.");
    }
  }
  if (ColumnOf(facts.archive, "archived_at").type != "timestamp with time zone" ||
      ColumnOf(facts.archive, "archive_run").type != "uuid") {
    report.Warning(std::string(kArchiveTable) +
                       " lacks archived_at (timestamptz) or archive_run (uuid): what a run moved "
                       "cannot be told from the rest afterwards",
                   "Run pgsteward schema apply, or add the columns.");
  }
}

void CheckKeys(const ArchiveFacts& facts, Report& report) {
  if (!facts.live.HasUnique({"id"})) {
    report.Problem(std::string(kLiveTable) + " has no unique index on id",
                   "ALTER TABLE " + std::string(kLiveTable) + " ADD PRIMARY KEY (id).");
  }
  const bool by_both = facts.archive.HasUnique({"id", "created_at"});
  if (facts.archive.kind == 'p' && !by_both) {
    report.Problem(
        std::string(kArchiveTable) + " has no unique index on (id, created_at)",
        "ALTER TABLE " + std::string(kArchiveTable) + " ADD PRIMARY KEY (id, created_at).");
  } else if (facts.archive.kind == 'r' && !by_both && !facts.archive.HasUnique({"id"})) {
    report.Problem(std::string(kArchiveTable) + " has no unique index on id",
                   "ALTER TABLE " + std::string(kArchiveTable) + " ADD PRIMARY KEY (id).");
  }
  if (!facts.live.HasWalkable({"created_at"})) {
    report.Warning(
        std::string(kLiveTable) + " has no index on created_at: each batch reads all of it",
        "CREATE INDEX CONCURRENTLY idx_messages_created_id ON " + std::string(kLiveTable) +
            " (created_at, id).");
  } else if (!facts.live.HasWalkable({"created_at", "id"})) {
    report.Warning("no index on (created_at, id) of " + std::string(kLiveTable) +
                       ": rows with the same created_at, as of an import, are sorted anew by each "
                       "batch",
                   "CREATE INDEX CONCURRENTLY idx_messages_created_id ON " +
                       std::string(kLiveTable) + " (created_at, id).");
  }
  for (const TableIndex& index : facts.archive.indexes) {
    for (const std::string& column : index.columns) {
      if (!column.empty()) continue;
      report.Warning("index " + QuoteIdentifier(index.name) + " of " + std::string(kArchiveTable) +
                         " is over an expression: it makes moving slower, and a full-text one "
                         "refuses very long messages",
                     "Drop it, unless somebody searches the archive by it.");
    }
  }
}

void CheckLinks(const ArchiveFacts& facts, Report& report) {
  for (const TableLink& link : facts.live.referenced_by) {
    const std::string which = link.table + " (constraint " + QuoteIdentifier(link.constraint) + ")";
    const std::string hint = "Archive that table first, or let it refer to the chat.";
    if (link.on_delete == 'c') {
      report.Problem("moving messages would delete rows of " + which, hint);
    } else if (link.on_delete == 'n' || link.on_delete == 'd') {
      report.Problem("moving messages would cut the link of rows of " + which, hint);
    } else {
      report.Warning("messages that rows of " + which +
                         " refer to cannot be moved and will be set aside in pgsteward.quarantine",
                     hint);
    }
  }
  for (const TableLink& link : facts.live.references) {
    if (link.on_delete != 'c') continue;
    bool kept = false;
    for (const TableLink& own : facts.archive.references) {
      kept = kept || (own.column == link.column && own.table == link.table && own.on_delete == 'c');
    }
    if (kept) continue;
    report.Warning(
        std::string(kArchiveTable) + " has no foreign key on " + QuoteIdentifier(link.column) +
            " with ON DELETE CASCADE: archived messages stay when what they belong to in " +
            link.table + " is deleted",
        "Add the key, or run the job orphan_purge.");
  }
}

void CheckRights(const ArchiveFacts& facts, Report& report) {
  const std::string& role = facts.role;
  for (const auto& [table, name] :
       {std::pair(&facts.live, kLiveTable), {&facts.archive, kArchiveTable}}) {
    if (table->hides_rows) {
      report.Problem("row level security hides rows of " + std::string(name) + " from role " +
                         QuoteIdentifier(role),
                     "ALTER ROLE " + QuoteIdentifier(role) + " BYPASSRLS.");
    }
  }
  std::string unread;
  std::string unwritten;
  bool may_lock = false;
  for (const TableColumn& column : facts.live.columns) {
    may_lock = may_lock || column.can_update;
    const TableColumn* kept = facts.archive.Find(column.name);
    const std::string quoted = QuoteIdentifier(column.name);
    if (!column.can_select) unread += (unread.empty() ? "" : ", ") + quoted;
    if (kept && !kept->generated && !kept->can_insert) {
      unwritten += (unwritten.empty() ? "" : ", ") + quoted;
    }
  }
  if (!unread.empty()) {
    report.Problem("role " + QuoteIdentifier(role) + " may not read " + unread + " of " +
                       std::string(kLiveTable),
                   Grant("SELECT", kLiveTable, role));
  }
  if (!facts.live.can_delete) {
    report.Problem(
        "role " + QuoteIdentifier(role) + " may not delete from " + std::string(kLiveTable),
        Grant("DELETE", kLiveTable, role));
  }
  if (!may_lock) {
    report.Problem(
        "role " + QuoteIdentifier(role) + " may not lock rows of " + std::string(kLiveTable),
        Grant("UPDATE (id)", kLiveTable, role));
  }
  for (const std::string_view own : {"archived_at", "archive_run"}) {
    const TableColumn* column = facts.archive.Find(own);
    if (column && !column->can_insert) {
      unwritten += (unwritten.empty() ? "" : ", ") + QuoteIdentifier(own);
    }
  }
  if (!unwritten.empty()) {
    report.Problem("role " + QuoteIdentifier(role) + " may not write " + unwritten + " of " +
                       std::string(kArchiveTable),
                   Grant("INSERT", kArchiveTable, role));
  }
  for (const TableColumn& column : facts.archive.columns) {
    if (column.can_select) continue;
    report.Problem("role " + QuoteIdentifier(role) + " may not read " +
                       QuoteIdentifier(column.name) + " of " + std::string(kArchiveTable),
                   Grant("SELECT", kArchiveTable, role));
    break;
  }
  if (facts.archive.Find("id") && !ColumnOf(facts.archive, "id").can_update) {
    report.Problem("role " + QuoteIdentifier(role) + " may not update id of " +
                       std::string(kArchiveTable) +
                       ", which recognizing a row that is there "
                       "already needs",
                   Grant("UPDATE (id)", kArchiveTable, role));
  }
  if (!facts.can_read_chats) {
    report.Problem("role " + QuoteIdentifier(role) +
                       " may not read id and user_id of public.chat_sessions, or there is none",
                   Grant("SELECT", "public.chat_sessions", role));
  }
  if (!facts.live.can_maintain) {
    report.Warning("role " + QuoteIdentifier(role) + " may not vacuum " + std::string(kLiveTable) +
                       ": the space of moved rows waits for autovacuum",
                   "GRANT MAINTAIN (PostgreSQL 17), make the role a member of the table's owner, "
                   "or set vacuum to false.");
  }
}

}  // namespace

ShapeReport CheckShape(const ArchiveFacts& facts) {
  Report report;
  if (facts.standby) {
    report.Problem("the server is a standby",
                   "Connect to the primary: target_session_attrs=read-write in the conninfo.");
  }
  if (!facts.has_steward_tables) {
    report.Problem("pgsteward's own tables are missing", "Run pgsteward schema apply.");
  } else if (!facts.can_use_steward_tables) {
    report.Problem("role " + QuoteIdentifier(facts.role) +
                       " may not use pgsteward.retention_hold and pgsteward.quarantine",
                   "Run schema/job_roles.sql.");
  }
  for (const auto& [table, name] :
       {std::pair(&facts.live, kLiveTable), {&facts.archive, kArchiveTable}}) {
    if (!table->exists) {
      report.Problem("there is no table " + std::string(name), "Run pgsteward schema apply.");
    }
  }
  if (!facts.live.exists || !facts.archive.exists) return report.Take();
  CheckKind(facts, report);
  CheckColumns(facts, report);
  CheckKeys(facts, report);
  CheckLinks(facts, report);
  CheckRights(facts, report);
  return report.Take();
}

std::vector<ShapeFinding> CheckMode(const ArchiveFacts& facts, bool counts_each, bool runs_none) {
  Report report;
  const std::string role = QuoteIdentifier(facts.role);
  if (counts_each && !(facts.can_count_chats && facts.can_lock_chats)) {
    report.Problem(
        "role " + role +
            " may not count messages of public.chat_sessions, which the trigger does "
            "with the rights of the role",
        Grant("SELECT, UPDATE (message_count, updated_at)", "public.chat_sessions", facts.role));
  }
  if (runs_none && !(facts.can_lock_chats && facts.can_lock_users)) {
    report.Problem("role " + role +
                       " may not lock rows of public.chat_sessions and public.users, which takes "
                       "the place of the foreign keys in trigger_mode replica",
                   "Grant it UPDATE of a column of both, or set trigger_mode to auto.");
  }
  if (runs_none && !facts.live.referenced_by.empty()) {
    report.Problem("rows of " + facts.live.referenced_by.front().table +
                       " refer to messages, and in trigger_mode replica nobody looks after them",
                   "Set trigger_mode to auto.");
  }
  return report.Take().problems;
}

ArchiveShape ShapeOf(const ArchiveFacts& facts) {
  ArchiveShape shape;
  for (const TableColumn& column : facts.live.columns) {
    shape.columns.push_back(column.name);
    if (!ColumnOf(facts.archive, column.name).generated) shape.written.push_back(column.name);
    if (!column.generated) shape.written_back.push_back(column.name);
  }
  shape.catalog = facts.catalog;
  shape.may_change_rows =
      facts.archive_may_change_rows || shape.written.size() != shape.columns.size();
  shape.id_type = ColumnOf(facts.live, "id").type;
  shape.partitioned = facts.archive.kind == 'p';
  shape.conflict_target = {"id"};
  if (shape.partitioned || !facts.archive.HasUnique({"id"})) {
    shape.conflict_target.emplace_back("created_at");
  }
  shape.has_archived_at = ColumnOf(facts.archive, "archived_at").type == "timestamp with time zone";
  shape.has_archive_run = ColumnOf(facts.archive, "archive_run").type == "uuid";
  return shape;
}

}  // namespace pgsteward
