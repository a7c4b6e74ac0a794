#include "jobs/archive/purge_scope.h"

#include <algorithm>

#include "core/pg_text.h"
#include "jobs/archive/backup_interlock.h"
#include "jobs/cutoff.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

constexpr std::string_view kMicrosSql =
    "SELECT (extract(epoch FROM $1::timestamptz) * 1000000)::bigint";
constexpr std::string_view kNewerSql = "SELECT $1::timestamptz > $2::timestamptz";

Error Refused(std::string message, std::string hint, std::string sqlstate = {}) {
  return Error(Errc::kQueryFailed, std::move(message), std::move(sqlstate), std::move(hint));
}

}  // namespace

std::string PurgeScope::UncoveredSql(const std::string& covered) const {
  // Without a moment nothing says that the backup has it.
  return has_archived_at && covered_until
             ? "((m.archived_at < " + covered + "::timestamptz) IS NOT TRUE)"
             : "false";
}

Task<Result<PurgeScope>> ReadPurgeScope(Database& db, const JobOptions& options,
                                        const std::string& time_zone, const ArchiveFacts& facts) {
  PurgeScope scope;
  const std::string age = options.Text("older_than");
  if (age.empty()) {
    co_return Error(Errc::kBadConfig, "older_than is not set", {},
                    "Say how old an archived message must be to be destroyed: 7 years.");
  }
  auto cutoff = co_await ReadCutoff(db, time_zone, age);
  if (!cutoff) co_return cutoff.error();
  scope.cutoff = *cutoff;
  std::string sql(kMicrosSql);
  PgValues values;
  values.emplace_back(scope.cutoff);
  auto micros = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!micros) co_return micros.error();
  scope.cutoff_micros = micros->Integer(0, 0).value_or(0);
  const TableColumn* archived = facts.archive.Find("archived_at");
  scope.has_archived_at = archived && archived->type == "timestamp with time zone";
  if (!options.Switch("require_backup")) co_return scope;

  auto proven = co_await NewestProvenBackup(db);
  if (!proven) co_return proven.error();
  scope.covered_until = *proven;
  if (!scope.covered_until) {
    scope.refused = "no_backup: no backup is proven to be restorable";
    co_return scope;
  }
  sql = kNewerSql;
  values.clear();
  values.emplace_back(*scope.covered_until);
  values.emplace_back(scope.cutoff);
  auto newer = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!newer) co_return newer.error();
  if (!newer->Bool(0, 0)) {
    scope.refused = "no_backup: the newest proven one covers rows until " + *scope.covered_until +
                    ", the cut-off is " + scope.cutoff;
  }
  co_return scope;
}

Result<void> CheckPurgeable(const ArchiveFacts& facts) {
  const std::string table(kArchiveTable);
  const std::string role = QuoteIdentifier(facts.role);
  const TableFacts& archive = facts.archive;
  if (facts.standby) {
    return Refused("the server is a standby",
                   "Connect to the primary: target_session_attrs=read-write in the conninfo.",
                   "25006");
  }
  if (!archive.exists) {
    return Refused("there is no table " + table, "Run pgsteward schema apply.", "42P01");
  }
  if (archive.kind != 'r' && archive.kind != 'p') {
    return Refused(table + " is not a table", "Rename it and run pgsteward schema apply.", "42809");
  }
  if (archive.kind == 'p' && !archive.ranged_by_created_at) {
    return Refused(table + " is partitioned, but not by range of created_at",
                   "Partition it by RANGE (created_at), or not at all.");
  }
  for (const char* name : {"id", "session_id", "user_id", "created_at"}) {
    if (!archive.Find(name)) {
      return Refused(table + " has no column " + name,
                     "This job is for the documented table; see pgsteward schema check.", "42703");
    }
  }
  if (archive.Find("created_at")->type != "timestamp with time zone") {
    return Refused("created_at of " + table + " is of type " + archive.Find("created_at")->type,
                   "It must be a timestamp with time zone.");
  }
  if (!facts.has_steward_tables) {
    return Refused("pgsteward's own tables are missing", "Run pgsteward schema apply.", "42P01");
  }
  if (archive.hides_rows) {
    return Refused("row level security hides rows of " + table + " from role " + role,
                   "ALTER ROLE " + role + " BYPASSRLS.", "42501");
  }
  const bool may_lock = std::any_of(archive.columns.begin(), archive.columns.end(),
                                    [](const TableColumn& each) { return each.can_update; });
  const bool may_read = std::all_of(archive.columns.begin(), archive.columns.end(),
                                    [](const TableColumn& each) { return each.can_select; });
  if (!may_read || !may_lock || !archive.can_delete || !facts.can_use_steward_tables) {
    return Refused("role " + role + " may not read, lock and delete rows of " + table,
                   "Run schema/job_roles.sql.", "42501");
  }
  if (!archive.referenced_by.empty()) {
    const TableLink& link = archive.referenced_by.front();
    return Refused("rows of " + link.table + " refer to the archive (constraint " +
                       QuoteIdentifier(link.constraint) + ")",
                   "Take that foreign key away, or delete its rows first.");
  }
  return Result<void>();
}

}  // namespace pgsteward
