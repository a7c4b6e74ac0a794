#include "jobs/backup/snapshot.h"

#include <algorithm>
#include <string_view>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(30);
constexpr Duration kLockTimeout = std::chrono::seconds(30);

// It idles in its transaction for as long as the dump takes. A parallel count would take workers
// from those who work.
constexpr std::string_view kPatientSql = R"sql(
SELECT pg_catalog.set_config(s.name, '0', false) FROM pg_catalog.pg_settings AS s
WHERE s.name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout',
                 'transaction_timeout', 'max_parallel_workers_per_gather')
)sql";

// Before the snapshot: what had been committed by then is in it. And from when on somebody may have
// begun what is not; 0: not known.
constexpr std::string_view kBeforeSql = R"sql(
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       CASE WHEN NOT pg_is_in_recovery() AND pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
                 AND NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
            THEN (extract(epoch FROM least(
                     clock_timestamp(),
                     (SELECT min(xact_start) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid())))
                  * 1000000)::bigint
            ELSE 0 END,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text
)sql";

constexpr std::string_view kDatabaseSql = R"sql(
SELECT pg_export_snapshot(), d.oid, d.datname, pg_encoding_to_char(d.encoding), d.datcollate,
       d.datctype, pg_get_userbyid(d.datdba), pg_database_size(d.oid)
FROM pg_database AS d WHERE d.datname = current_database()
)sql";

// ON DATABASE ... FROM PUBLIC first: the default that an ACL replaces grants to everybody.
constexpr std::string_view kAclSql = R"sql(
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC;', d.datname)
FROM pg_database AS d WHERE d.datname = current_database() AND d.datacl IS NOT NULL
UNION ALL
(SELECT format('GRANT %s ON DATABASE %I TO %s%s;', a.privilege_type, d.datname,
               CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
 FROM pg_database AS d CROSS JOIN LATERAL aclexplode(d.datacl) AS a
 WHERE d.datname = current_database()
 ORDER BY a.grantee, a.privilege_type)
)sql";

// What is in a list: which, name, text.
constexpr std::string_view kListsSql = R"sql(
SELECT 'extension', e.extname::text, e.extversion FROM pg_extension AS e
UNION ALL
SELECT 'setting', CASE WHEN s.setrole = 0 THEN '' ELSE pg_get_userbyid(s.setrole)::text END, setting
FROM pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS setting
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT 'index', format('%I.%I', n.nspname, c.relname), ''
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND t.relkind <> 'p' AND n.nspname NOT LIKE 'pg\_toast%'
UNION ALL
SELECT 'constraint', format('%I.%I.%I', n.nspname, t.relname, c.conname), ''
FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT c.convalidated
UNION ALL
SELECT 'property', p.name, p.value
FROM pg_database AS d CROSS JOIN LATERAL (SELECT to_jsonb(d) AS facts) AS f
CROSS JOIN LATERAL (VALUES
  ('locale_provider', CASE f.facts ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END),
  ('locale', coalesce(f.facts ->> 'datlocale', f.facts ->> 'daticulocale')),
  ('icu_rules', f.facts ->> 'daticurules'),
  ('tablespace', (SELECT t.spcname::text FROM pg_tablespace AS t
                  WHERE t.oid = d.dattablespace AND t.spcname <> 'pg_default')),
  ('connection_limit', nullif(d.datconnlimit, -1)::text),
  ('comment', shobj_description(d.oid, 'pg_database'))) AS p (name, value)
WHERE d.datname = current_database() AND p.value IS NOT NULL
ORDER BY 1, 2, 3
)sql";

// Rows of extensions' own tables are in no dump but where the extension has registered them.
constexpr std::string_view kTablesSql = R"sql(
SELECT n.nspname, c.relname
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
)sql";

constexpr std::size_t kLocksAtOnce = 100;

std::string NameOf(const BackupTable& table) {
  return QuoteIdentifier(table.schema) + "." + QuoteIdentifier(table.name);
}

}  // namespace

Task<Result<std::unique_ptr<Snapshot>>> Snapshot::Take(Runtime& runtime, PgTarget target,
                                                       std::string database) {
  target.database = std::move(database);
  target.read_only = true;
  target.lock_timeout = kLockTimeout;
  target.transaction_scoped = false;
  std::unique_ptr<Snapshot> snapshot(new Snapshot());
  auto opened = co_await PgConnection::Open(runtime, std::move(target));
  if (!opened) co_return opened.error().error;
  snapshot->connection_ = std::move(*opened);
  auto moment = co_await snapshot->ReadMoment();
  if (!moment) co_return moment.error();
  auto read = co_await snapshot->ReadDatabase();
  if (!read) co_return read.error();
  auto lists = co_await snapshot->ReadLists();
  if (!lists) co_return lists.error();
  co_return snapshot;
}

Task<Result<void>> Snapshot::ReadMoment() {
  auto patient = co_await connection_->Query(std::string(kPatientSql), PgValues(), kTimeout);
  if (!patient) co_return patient.error();
  auto before = co_await connection_->Query(std::string(kBeforeSql), PgValues(), kTimeout);
  if (!before) co_return before.error();
  facts_.snapshot_at = WallTime(std::chrono::microseconds(before->Integer(0, 0).value_or(0)));
  facts_.purge_until = WallTime(std::chrono::microseconds(before->Integer(0, 1).value_or(0)));
  facts_.lsn = before->Text(0, 2);
  auto begun =
      co_await connection_->Script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", kTimeout);
  if (!begun) co_return begun.error();
  co_return Result<void>();
}

Task<Result<void>> Snapshot::ReadDatabase() {
  auto rows = co_await connection_->Query(std::string(kDatabaseSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  if (rows->rows() != 1) co_return Error(Errc::kNoData, "the database is not in pg_database");
  facts_.snapshot = rows->Text(0, 0);
  facts_.oid = static_cast<std::uint32_t>(rows->Integer(0, 1).value_or(0));
  facts_.name = rows->Text(0, 2);
  facts_.encoding = rows->Text(0, 3);
  facts_.collate = rows->Text(0, 4);
  facts_.ctype = rows->Text(0, 5);
  facts_.owner = rows->Text(0, 6);
  facts_.database_bytes = static_cast<std::uint64_t>(rows->Integer(0, 7).value_or(0));
  auto acl = co_await connection_->Query(std::string(kAclSql), PgValues(), kTimeout);
  if (!acl) co_return acl.error();
  for (int row = 0; row < acl->rows(); ++row) {
    if (row > 0) facts_.acl += '\n';
    facts_.acl += acl->Text(row, 0);
  }
  co_return Result<void>();
}

Task<Result<void>> Snapshot::ReadLists() {
  auto rows = co_await connection_->Query(std::string(kListsSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  for (int row = 0; row < rows->rows(); ++row) {
    const std::string_view list = rows->Text(row, 0);
    NamedText each;
    each.name = rows->Text(row, 1);
    each.text = rows->Text(row, 2);
    if (list == "extension") facts_.extensions.push_back(std::move(each));
    if (list == "setting") facts_.settings.push_back(std::move(each));
    if (list == "property") facts_.properties.push_back(std::move(each));
    if (list == "index") facts_.invalid_indexes.push_back(std::move(each.name));
    if (list == "constraint") facts_.unvalidated_constraints.push_back(std::move(each.name));
  }
  co_return Result<void>();
}

Task<Result<std::vector<BackupTable>>> Snapshot::ReadTables() {
  auto rows = co_await connection_->Query(std::string(kTablesSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<BackupTable> tables;
  for (int row = 0; row < rows->rows(); ++row) {
    BackupTable table;
    table.schema = rows->Text(row, 0);
    table.name = rows->Text(row, 1);
    tables.push_back(std::move(table));
  }
  co_return tables;
}

Task<Result<void>> Snapshot::Lock(const std::vector<BackupTable>& tables, Duration wait) {
  const SteadyTime until = SteadyNow() + wait;
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(wait);
  std::string bound = "SET LOCAL lock_timeout = " + std::to_string(milliseconds.count());
  auto done = co_await connection_->Query(std::move(bound), PgValues(), kTimeout);
  for (std::size_t i = 0; done && i < tables.size(); i += kLocksAtOnce) {
    std::string sql = "LOCK TABLE ";
    const std::size_t end = std::min(tables.size(), i + kLocksAtOnce);
    for (std::size_t k = i; k < end; ++k) sql += (k > i ? ", ONLY " : "ONLY ") + NameOf(tables[k]);
    sql += " IN ACCESS SHARE MODE";
    const Duration left = std::max<Duration>(until - SteadyNow(), std::chrono::seconds(1));
    done = co_await connection_->Query(std::move(sql), PgValues(), left);
  }
  // A count waits for nobody any more but for those who rebuild an index.
  if (done) done = co_await connection_->Query("SET LOCAL lock_timeout = 0", PgValues(), kTimeout);
  if (done) co_return Result<void>();
  Error error = done.error();
  error.message = "cannot lock tables against changes: " + error.message;
  const bool gone = error.sqlstate == "42P01" || error.sqlstate == "3F000";
  if (gone || error.code == Errc::kTimeout) error.code = Errc::kBusy;
  co_return error;
}

Task<Result<void>> Snapshot::Count(BackupTable& table, Duration timeout) {
  const std::string name = NameOf(table);
  std::string sql =
      "SELECT count(*), pg_table_size(" + QuoteLiteral(name) + "::regclass) FROM ONLY " + name;
  auto rows = co_await connection_->Query(std::move(sql), PgValues(), timeout);
  if (!rows) co_return rows.error();
  table.bytes = static_cast<std::uint64_t>(rows->Integer(0, 1).value_or(0));
  table.rows = rows->Integer(0, 0).value_or(0);
  co_return Result<void>();
}

Task<Result<void>> Snapshot::Check() {
  auto rows = co_await connection_->Query("SELECT 1", PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  co_return Result<void>();
}

}  // namespace pgsteward
