#include "jobs/cascades.h"

#include <algorithm>

namespace pgsteward {

namespace {

// Edges lead from a table to what goes with its rows: the partitions and heirs in which they lie,
// and what refers to them. A key of a partitioned table is one key to people: it is told of the
// root.
constexpr std::string_view kCascadesSql = R"sql(
WITH RECURSIVE edge (source, target, action, conname) AS (
  SELECT inhparent, inhrelid, NULL::"char", NULL::name FROM pg_inherits
  UNION ALL
  SELECT confrelid, coalesce(pg_partition_root(conrelid)::oid, conrelid), confdeltype, conname
  FROM pg_constraint
  WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd') AND conparentid = 0
), reach (rel) AS (
  SELECT start.rel
  FROM (SELECT to_regclass($1)::oid
        UNION SELECT relid::oid FROM pg_partition_ancestors(to_regclass($1))) AS start (rel)
  UNION
  SELECT e.target FROM reach AS r JOIN edge AS e ON e.source = r.rel
  WHERE e.action IS NULL OR e.action = 'c'
)
SELECT DISTINCT e.target::regclass::text COLLATE "C", e.source::regclass::text COLLATE "C",
       e.conname::text COLLATE "C",
       CASE e.action WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' ELSE 'set default' END,
       coalesce((SELECT string_agg(t.tgname, ', ' ORDER BY t.tgname) FROM pg_trigger AS t
                 WHERE t.tgrelid = e.target AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
                   AND (t.tgtype & CASE e.action WHEN 'c' THEN 8 ELSE 16 END) <> 0), '')
FROM reach AS r JOIN edge AS e ON e.source = r.rel
WHERE e.action IS NOT NULL
ORDER BY 1, 2, 3
)sql";

constexpr Duration kTimeout = std::chrono::seconds(10);

bool IsNamed(const std::string& table, std::span<const std::string> named) {
  return std::any_of(named.begin(), named.end(), [&](const std::string& name) {
    return name == table || "public." + name == table;
  });
}

}  // namespace

std::string Cascade::Text() const {
  std::string text = table + " (" + action + " of " + from + " by " + constraint;
  if (!triggers.empty()) text += ", triggers " + triggers;
  return text + ")";
}

Task<Result<std::vector<Cascade>>> ReadCascades(Database& db, std::string table) {
  std::string sql(kCascadesSql);
  PgValues values;
  values.emplace_back(std::move(table));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<Cascade> cascades;
  for (int row = 0; row < rows->rows(); ++row) {
    Cascade cascade;
    cascade.table = rows->Text(row, 0);
    cascade.from = rows->Text(row, 1);
    cascade.constraint = rows->Text(row, 2);
    cascade.action = rows->Text(row, 3);
    cascade.triggers = rows->Text(row, 4);
    cascades.push_back(std::move(cascade));
  }
  co_return cascades;
}

Result<void> CheckCascades(const std::string& table, std::span<const Cascade> cascades,
                           std::span<const std::string> named) {
  std::string unnamed;
  for (const Cascade& cascade : cascades) {
    if (IsNamed(cascade.table, named)) continue;
    unnamed += (unnamed.empty() ? "" : "; ") + cascade.Text();
  }
  if (unnamed.empty()) return Result<void>();
  return Error(Errc::kQueryFailed,
               "deleting from " + table + " reaches tables that the plan does not name: " + unnamed,
               {}, "Drop these foreign keys, or name the tables in the option cascades.");
}

}  // namespace pgsteward
