#include "jobs/archive/archive_tables.h"

#include <algorithm>

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

constexpr std::string_view kServerSql = R"sql(
SELECT pg_is_in_recovery(), current_user,
       h.oid IS NOT NULL AND q.oid IS NOT NULL,
       coalesce(has_schema_privilege(h.relnamespace, 'USAGE')
                AND has_table_privilege(h.oid, 'SELECT') AND has_table_privilege(q.oid, 'SELECT')
                AND has_table_privilege(q.oid, 'INSERT'), false),
       coalesce(has_column_privilege(s.oid, 'id', 'SELECT')
                AND has_column_privilege(s.oid, 'user_id', 'SELECT'), false),
       coalesce(has_column_privilege(s.oid, 'message_count', 'UPDATE')
                AND has_column_privilege(s.oid, 'message_count', 'SELECT')
                AND has_column_privilege(s.oid, 'updated_at', 'UPDATE'), false),
       coalesce(has_any_column_privilege(s.oid, 'UPDATE'), false),
       coalesce(has_any_column_privilege(u.oid, 'UPDATE'), false)
FROM (SELECT (SELECT oid FROM pg_namespace WHERE nspname = 'pgsteward') AS own,
             (SELECT oid FROM pg_namespace WHERE nspname = 'public') AS hub) AS n
LEFT JOIN pg_class AS h ON h.relnamespace = n.own AND h.relname = 'retention_hold'
LEFT JOIN pg_class AS q ON q.relnamespace = n.own AND q.relname = 'quarantine'
LEFT JOIN pg_class AS s ON s.relnamespace = n.hub AND s.relname = 'chat_sessions'
LEFT JOIN pg_class AS u ON u.relnamespace = n.hub AND u.relname = 'users'
)sql";

// $1 is true on servers that know the privilege MAINTAIN; older ones must not be asked for it.
constexpr std::string_view kTablesSql = R"sql(
SELECT c.relname = 'messages_archive', c.relkind,
       EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid),
       coalesce(p.partstrat = 'r' AND p.partnatts = 1
                AND p.partattrs[0] = (SELECT a.attnum FROM pg_attribute AS a
                                      WHERE a.attrelid = c.oid AND a.attname = 'created_at'),
                false),
       row_security_active(c.oid),
       has_table_privilege(c.oid, 'DELETE'),
       pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE')
         OR CASE WHEN $1::boolean THEN has_table_privilege(c.oid, m.word) ELSE false END
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_database AS d ON d.datname = current_database()
CROSS JOIN (SELECT 'MAINTAIN'::text) AS m (word)
LEFT JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
WHERE n.nspname = 'public' AND c.relname IN ('messages', 'messages_archive')
)sql";

// A column in one line. With nothing that is found by a search path, which is the triggers' in the
// transactions that move rows: so no names of types either.
constexpr std::string_view kColumnLine =
    "pg_catalog.format('%s %s %s %s %s'::text, c.relname, a.attname, a.atttypid, a.atttypmod, "
    "a.attgenerated)";

// Once for a trigger that all partitions have. Of tgtype bit 0 is FOR EACH ROW, 1 BEFORE, 2 INSERT,
// 4 UPDATE, which ON CONFLICT does.
constexpr std::string_view kTriggersSql = R"sql((
  SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%s %s %s'::text, t.tgname, t.tgenabled, t.tgtype), E'\n'::text)
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  WHERE NOT t.tgisinternal AND c.oid IN (
    SELECT r.oid FROM pg_catalog.pg_class AS r
    JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE n.nspname = 'public' AND r.relname = 'messages_archive'
    UNION ALL
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS r ON r.oid = i.inhparent
    JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE n.nspname = 'public' AND r.relname = 'messages_archive')))sql";

constexpr std::string_view kChangesSql = R"sql(,
  EXISTS (SELECT FROM pg_trigger AS t
          WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0
            AND (t.tgrelid = to_regclass('public.messages_archive')
                 OR t.tgrelid IN (SELECT relid FROM pg_partition_tree('public.messages_archive'))))
  OR EXISTS (SELECT FROM pg_rewrite AS w WHERE w.ev_class = to_regclass('public.messages_archive'))
)sql";

constexpr std::string_view kColumnsSql = R"sql(
SELECT c.relname = 'messages_archive', a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull, a.attgenerated <> '', a.atthasdef OR a.attidentity <> '',
       has_column_privilege(c.oid, a.attnum, 'SELECT'),
       has_column_privilege(c.oid, a.attnum, 'INSERT'),
       has_column_privilege(c.oid, a.attnum, 'UPDATE'), LINE
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relname IN ('messages', 'messages_archive')
ORDER BY c.relname, a.attnum
)sql";

// A row for each key of each index. Of indoption bit 0 is DESC, bit 1 NULLS FIRST.
constexpr std::string_view kIndexesSql = R"sql(
SELECT c.relname = 'messages_archive', x.relname, k.place, a.attname,
       i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
         AND i.indexprs IS NULL,
       i.indisprimary,
       m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
         AND (SELECT count(DISTINCT o) = 1 AND min(o) IN (0, 3)
              FROM unnest(i.indoption::int2[]) AS o)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_index AS i ON i.indrelid = c.oid
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = x.relam
CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k (place)
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[k.place]
                           AND a.attnum > 0
WHERE n.nspname = 'public' AND c.relname IN ('messages', 'messages_archive')
ORDER BY 1, 2, 3
)sql";

constexpr std::string_view kLinksSql = R"sql(
SELECT c.relname = 'messages_archive', f.confrelid = c.oid, f.conname,
       CASE WHEN cardinality(f.conkey) = 1 THEN a.attname END,
       CASE WHEN f.confrelid = c.oid THEN f.conrelid ELSE f.confrelid END::regclass,
       f.confdeltype
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_constraint AS f ON f.contype = 'f' AND f.conparentid = 0
                       AND (f.conrelid = c.oid OR f.confrelid = c.oid)
JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
WHERE n.nspname = 'public' AND c.relname IN ('messages', 'messages_archive')
ORDER BY 1, 2, 3
)sql";

TableFacts& TableOf(ArchiveFacts& facts, const PgResult& rows, int row) {
  return rows.Bool(row, 0) ? facts.archive : facts.live;
}

void TakeServer(const PgResult& rows, ArchiveFacts& facts) {
  facts.standby = rows.Bool(0, 0);
  facts.role = rows.Text(0, 1);
  facts.has_steward_tables = rows.Bool(0, 2);
  facts.can_use_steward_tables = rows.Bool(0, 3);
  facts.can_read_chats = rows.Bool(0, 4);
  facts.can_count_chats = rows.Bool(0, 5);
  facts.can_lock_chats = rows.Bool(0, 6);
  facts.can_lock_users = rows.Bool(0, 7);
}

void TakeTables(const PgResult& rows, ArchiveFacts& facts) {
  for (int row = 0; row < rows.rows(); ++row) {
    TableFacts& table = TableOf(facts, rows, row);
    table.exists = true;
    table.kind = rows.Text(row, 1).front();
    table.has_children = rows.Bool(row, 2);
    table.ranged_by_created_at = rows.Bool(row, 3);
    table.hides_rows = rows.Bool(row, 4);
    table.can_delete = rows.Bool(row, 5);
    table.can_maintain = rows.Bool(row, 6);
  }
}

void TakeColumns(const PgResult& rows, ArchiveFacts& facts) {
  for (int row = 0; row < rows.rows(); ++row) {
    TableColumn column;
    column.name = rows.Text(row, 1);
    column.type = rows.Text(row, 2);
    column.not_null = rows.Bool(row, 3);
    column.generated = rows.Bool(row, 4);
    column.has_default = rows.Bool(row, 5);
    column.can_select = rows.Bool(row, 6);
    column.can_insert = rows.Bool(row, 7);
    column.can_update = rows.Bool(row, 8);
    TableOf(facts, rows, row).columns.push_back(std::move(column));
    facts.catalog += (row > 0 ? "\n" : "") + std::string(rows.Text(row, 9));
  }
}

void TakeIndexes(const PgResult& rows, ArchiveFacts& facts) {
  for (int row = 0; row < rows.rows(); ++row) {
    auto& indexes = TableOf(facts, rows, row).indexes;
    if (rows.Integer(row, 2) == 0) {
      TableIndex& index = indexes.emplace_back();
      index.name = rows.Text(row, 1);
      index.unique = rows.Bool(row, 4);
      index.primary = rows.Bool(row, 5);
      index.walkable = rows.Bool(row, 6);
    }
    indexes.back().columns.emplace_back(rows.Text(row, 3));
  }
}

void TakeLinks(const PgResult& rows, ArchiveFacts& facts) {
  for (int row = 0; row < rows.rows(); ++row) {
    TableFacts& table = TableOf(facts, rows, row);
    TableLink link;
    link.constraint = rows.Text(row, 2);
    link.column = rows.Text(row, 3);
    link.table = rows.Text(row, 4);
    link.on_delete = rows.Text(row, 5).front();
    (rows.Bool(row, 1) ? table.referenced_by : table.references).push_back(std::move(link));
  }
}

}  // namespace

const TableColumn* TableFacts::Find(std::string_view name) const {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const TableColumn& each) { return each.name == name; });
  return found == columns.end() ? nullptr : &*found;
}

bool TableFacts::HasUnique(std::vector<std::string> keys) const {
  std::sort(keys.begin(), keys.end());
  return std::any_of(indexes.begin(), indexes.end(), [&](const TableIndex& index) {
    std::vector<std::string> own = index.columns;
    std::sort(own.begin(), own.end());
    return index.unique && own == keys;
  });
}

bool TableFacts::HasWalkable(const std::vector<std::string>& keys) const {
  return std::any_of(indexes.begin(), indexes.end(), [&](const TableIndex& index) {
    return index.walkable && index.columns.size() >= keys.size() &&
           std::equal(keys.begin(), keys.end(), index.columns.begin());
  });
}

std::string CatalogSql() {
  return "coalesce((SELECT pg_catalog.string_agg(" + std::string(kColumnLine) + R"sql(, E'\n'::text
          ORDER BY c.relname, a.attnum)
   FROM pg_catalog.pg_class AS c
   JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
   JOIN pg_catalog.pg_attribute AS a
     ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   WHERE n.nspname = 'public' AND c.relname IN ('messages', 'messages_archive')) || E'\n--\n'::text ||
  coalesce()sql" +
         std::string(kTriggersSql) + ", ''::text), ''::text)";
}

Task<Result<ArchiveFacts>> ReadArchiveFacts(Database& db) {
  ArchiveFacts facts;
  std::string sql(kServerSql);
  auto server = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!server) co_return server.error();
  TakeServer(*server, facts);

  sql = kTablesSql;
  PgValues values;
  values.emplace_back(db.server_version() >= 170000 ? "true" : "false");
  auto tables = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!tables) co_return tables.error();
  TakeTables(*tables, facts);

  sql = kColumnsSql;
  constexpr std::string_view kLine = "LINE";
  sql.replace(sql.find(kLine), kLine.size(), kColumnLine);
  auto columns = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!columns) co_return columns.error();
  TakeColumns(*columns, facts);

  if (facts.live.exists && facts.archive.exists) {
    sql = "SELECT coalesce(" + std::string(kTriggersSql) + ", '')" + std::string(kChangesSql);
    auto changes = co_await db.Query(std::move(sql), PgValues(), kTimeout);
    if (!changes) co_return changes.error();
    facts.catalog += "\n--\n" + std::string(changes->Text(0, 0));
    facts.archive_may_change_rows = changes->Bool(0, 1);
  }

  sql = kIndexesSql;
  auto indexes = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!indexes) co_return indexes.error();
  TakeIndexes(*indexes, facts);

  sql = kLinksSql;
  auto links = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!links) co_return links.error();
  TakeLinks(*links, facts);
  co_return facts;
}

}  // namespace pgsteward
