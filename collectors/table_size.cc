// Sizes of the tables. The size functions take a lock that waits behind ACCESS EXCLUSIVE, held or
// asked for, so locked tables are left alone and keep the size of the run before.
#include <algorithm>
#include <any>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collectors/collector.h"

namespace pgsteward {

namespace {

// In order of oids, the next $2 tables after $1; the sizes only when $3. Temporary tables live in
// one session and come and go: no series for them.
constexpr std::string_view kSql = R"sql(
WITH locked AS MATERIALIZED (
  SELECT coalesce(i.indrelid, l.relation) AS oid
  FROM pg_locks AS l
  LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
),
tables AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.reltoastrelid,
         $3::bool AND c.oid NOT IN (SELECT oid FROM locked)
                  AND c.reltoastrelid NOT IN (SELECT oid FROM locked) AS readable
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.oid > $1::oid AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  ORDER BY c.oid
  LIMIT $2::int
)
SELECT oid, nspname, relname, readable,
       CASE WHEN readable THEN pg_table_size(oid) END AS with_toast,
       CASE WHEN readable THEN pg_indexes_size(oid) END AS index,
       CASE WHEN readable AND reltoastrelid <> 0 THEN pg_total_relation_size(reltoastrelid)
            WHEN readable THEN 0 END AS toast
FROM tables
ORDER BY oid
)sql";

constexpr int kChunk = 200;

constexpr std::string_view kMetrics[] = {
    "pg_table_total_size_bytes", "pg_table_size_bytes", "pg_stat_user_tables_table_size_bytes",
    "pg_stat_user_tables_index_size_bytes", "pg_table_size_skipped_tables"};

using Oid = long long;

struct Sizes {
  double heap = 0;
  double index = 0;
  double toast = 0;
};

struct Table {
  std::string schema;
  std::string name;
  std::optional<Sizes> sizes;
};

struct Tables {
  std::map<Oid, Table> by_oid;
  int skipped = 0;
};

using Memory = std::map<Oid, Sizes>;

class Walk {
 public:
  explicit Walk(CollectorContext& context)
      : context_(context), give_up_(SteadyNow() + context.timeout) {
    if (const auto* memory = std::any_cast<Memory>(&context.memory)) last_ = *memory;
  }

  Task<Result<Tables>> Run() {
    for (;;) {
      // Out of time: the rest is only listed, which waits for no table's lock.
      const bool in_time = SteadyNow() < give_up_;
      if (!in_time) limit_ = std::numeric_limits<int>::max();
      const bool measure = in_time && !isolated_;
      auto rows = co_await Ask(measure);
      if (!rows && rows.error().code == Errc::kBusy && measure) {
        Narrow();
        continue;
      }
      if (!rows) co_return rows.error();
      for (int row = 0; row < rows->rows(); ++row) Take(*rows, row);
      if (rows->rows() < limit_) break;
      isolated_ = false;
      retried_ = false;
      limit_ = std::min(limit_ * 2, kChunk);
    }
    context_.memory = std::move(seen_);
    co_return std::move(tables_);
  }

 private:
  Task<Result<PgResult>> Ask(bool measure) {
    std::string sql(kSql);
    PgValues values = {std::to_string(after_), std::to_string(limit_), measure ? "true" : "false"};
    co_return co_await context_.db.Query(std::move(sql), std::move(values), context_.timeout);
  }

  // Somebody locked a table between the look at pg_locks and the reading of its size. A second look
  // sees that lock; if it does not help, the table is found by halves.
  void Narrow() {
    if (!retried_) {
      retried_ = true;
    } else if (limit_ > 1) {
      limit_ /= 2;
    } else {
      isolated_ = true;
    }
  }

  void Take(const PgResult& rows, int row) {
    const Oid oid = rows.Integer(row, 0).value_or(0);
    after_ = std::max(after_, oid);
    Table table{std::string(rows.Text(row, 1)), std::string(rows.Text(row, 2)), std::nullopt};
    if (!rows.Bool(row, 3)) {
      ++tables_.skipped;
      const auto before = last_.find(oid);
      if (before != last_.end()) table.sizes = before->second;
    } else if (!rows.IsNull(row, 4) && !rows.IsNull(row, 5)) {
      const double toast = rows.Number(row, 6).value_or(0);
      table.sizes = Sizes{std::max(rows.Number(row, 4).value_or(0) - toast, 0.0),
                          rows.Number(row, 5).value_or(0), toast};
    }
    // No size: dropped while we looked, or locked and never seen before.
    if (!table.sizes) return;
    seen_[oid] = *table.sizes;
    tables_.by_oid.emplace(oid, std::move(table));
  }

  CollectorContext& context_;
  const SteadyTime give_up_;
  Memory last_;
  Memory seen_;
  Tables tables_;
  Oid after_ = 0;
  int limit_ = kChunk;
  bool retried_ = false;
  bool isolated_ = false;  // the one table that comes next is locked
};

Families ToFamilies(const Tables& tables, const std::string& datname) {
  auto total = GaugeFamily(
      kMetrics[0],
      "Disk space of the table with its indexes and TOAST. A table that was locked ACCESS "
      "EXCLUSIVE keeps the size of the run before, here and in the other table sizes.");
  auto parts = GaugeFamily(
      kMetrics[1],
      "Disk space of the table's parts, which add up to pg_table_total_size_bytes; \"heap\" holds "
      "the rows, the free space map and the visibility map.");
  auto table_size =
      GaugeFamily(kMetrics[2], "Disk space of the table without its indexes: heap and TOAST.");
  auto index_size = GaugeFamily(kMetrics[3], "Disk space of the table's indexes.");
  for (const auto& [oid, table] : tables.by_oid) {
    const Sizes& sizes = *table.sizes;
    const Labels labels = {
        {"datname", datname}, {"schemaname", table.schema}, {"relname", table.name}};
    AddSample(total, labels, sizes.heap + sizes.index + sizes.toast);
    for (const auto& [part, size] : {std::pair("heap", sizes.heap), std::pair("index", sizes.index),
                                     std::pair("toast", sizes.toast)}) {
      Labels with_part = labels;
      with_part.push_back({"part", part});
      AddSample(parts, std::move(with_part), size);
    }
    AddSample(table_size, labels, sizes.heap + sizes.toast);
    AddSample(index_size, labels, sizes.index);
  }
  auto skipped = GaugeFamily(
      kMetrics[4],
      "Tables whose size was not read in the last run: locked ACCESS EXCLUSIVE, held or waited "
      "for, or the run's time was up.");
  AddSample(skipped, {{"datname", datname}}, tables.skipped);

  Families families;
  families.push_back(std::move(total));
  families.push_back(std::move(parts));
  families.push_back(std::move(table_size));
  families.push_back(std::move(index_size));
  families.push_back(std::move(skipped));
  return families;
}

Task<Result<Families>> CollectTableSize(CollectorContext& context) {
  Walk walk(context);
  auto tables = co_await walk.Run();
  if (!tables) co_return tables.error();
  co_return ToFamilies(*tables, context.db.database());
}

}  // namespace

extern const CollectorSpec kTableSize{
    .name = "table_size",
    .reads = "pg_class, pg_locks, pg_table_size, pg_indexes_size",
    .scope = Scope::kDatabase,
    .interval = std::chrono::seconds(300),
    .timeout = std::chrono::seconds(30),
    .collect = &CollectTableSize,
    .metrics = kMetrics,
};

}  // namespace pgsteward
