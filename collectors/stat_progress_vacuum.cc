#include <string>

#include "collectors/collector.h"

namespace pgsteward {

extern const CollectorSpec kStatProgressVacuum;

namespace {

// A name can be told only for tables of the connected database; others show their OID. A vacuum
// that this role may not see has no relid.
constexpr SqlVariant kSql[] = {
    {170000, R"sql(
SELECT datname,
       CASE WHEN datname <> current_database() THEN relid::text
            -- Not our search_path decides whether the schema is shown: as others see it.
            ELSE regexp_replace(relid::regclass::text, '^public\.', '') END AS relname,
       phase, heap_blks_total, heap_blks_scanned, heap_blks_vacuumed, index_vacuum_count,
       num_dead_item_ids AS num_dead_tuples, dead_tuple_bytes, max_dead_tuple_bytes
FROM pg_stat_progress_vacuum
WHERE relid IS NOT NULL
)sql"},
    {0, R"sql(
SELECT datname,
       CASE WHEN datname <> current_database() THEN relid::text
            -- Not our search_path decides whether the schema is shown: as others see it.
            ELSE regexp_replace(relid::regclass::text, '^public\.', '') END AS relname,
       phase, heap_blks_total, heap_blks_scanned, heap_blks_vacuumed, index_vacuum_count,
       num_dead_tuples, max_dead_tuples
FROM pg_stat_progress_vacuum
WHERE relid IS NOT NULL
)sql"},
};

constexpr Column kColumns[] = {
    {"datname"},
    {"relname"},
    {"heap_blks_total", Kind::kGauge, "pg_stat_progress_vacuum_heap_blks",
     "Blocks of the table when this vacuum began."},
    {"heap_blks_scanned", Kind::kGauge, "pg_stat_progress_vacuum_heap_blks_scanned",
     "Blocks of the table that this vacuum has scanned."},
    {"heap_blks_vacuumed", Kind::kGauge, "pg_stat_progress_vacuum_heap_blks_vacuumed",
     "Blocks of the table that this vacuum has vacuumed."},
    {"index_vacuum_count", Kind::kGauge, "pg_stat_progress_vacuum_index_vacuums",
     "Rounds over the indexes that this vacuum has completed."},
    {"num_dead_tuples", Kind::kGauge, "pg_stat_progress_vacuum_num_dead_tuples",
     "Dead rows that this vacuum has collected since its last round over the indexes."},
    {"max_dead_tuples", Kind::kGauge, "pg_stat_progress_vacuum_max_dead_tuples",
     "Dead rows that fit into this vacuum's memory; before PostgreSQL 17.", 0, 169999},
    {"dead_tuple_bytes", Kind::kGauge, "pg_stat_progress_vacuum_dead_tuple_bytes",
     "Memory that the collected dead rows of this vacuum take; PostgreSQL 17 and newer.", 170000},
    {"max_dead_tuple_bytes", Kind::kGauge, "pg_stat_progress_vacuum_max_dead_tuple_bytes",
     "Memory that this vacuum may take for dead rows; PostgreSQL 17 and newer.", 170000},
};

constexpr std::string_view kPhases[] = {
    "initializing",        "scanning heap",   "vacuuming indexes",       "vacuuming heap",
    "cleaning up indexes", "truncating heap", "performing final cleanup"};

constexpr std::string_view kMetrics[] = {"pg_stat_progress_vacuum_phase"};

Families VacuumFamilies(const PgResult& rows) {
  const auto table = [&](int row) {
    return Labels{{"datname", std::string(rows.Text(row, 0))},
                  {"relname", std::string(rows.Text(row, 1))}};
  };
  Families families;
  auto& phases = families.emplace_back(
      GaugeFamily(kMetrics[0], "1 for the phase that this vacuum is in now, 0 for the others."));
  for (int row = 0; row < rows.rows(); ++row) {
    for (const std::string_view phase : kPhases) {
      Labels labels = table(row);
      labels.push_back({"phase", std::string(phase)});
      AddSample(phases, std::move(labels), rows.Text(row, 2) == phase ? 1 : 0);
    }
  }
  for (const Column& column : kColumns) {
    const int position = rows.FindColumn(column.name);
    if (column.kind == Kind::kLabel || position < 0) continue;  // this server counts otherwise
    auto& family = families.emplace_back(GaugeFamily(column.metric, column.help));
    for (int row = 0; row < rows.rows(); ++row) {
      if (const auto value = rows.Number(row, position)) AddSample(family, table(row), *value);
    }
  }
  return families;
}

Task<Result<Families>> CollectStatProgressVacuum(CollectorContext& context) {
  const SqlVariant* variant = SqlFor(kStatProgressVacuum, context.db.server_version());
  std::string sql(variant->sql);
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), context.timeout);
  if (!rows) co_return rows.error();
  co_return VacuumFamilies(*rows);
}

}  // namespace

extern const CollectorSpec kStatProgressVacuum{
    .name = "stat_progress_vacuum",
    .reads = "pg_stat_progress_vacuum",
    .sql = kSql,
    .columns = kColumns,
    .collect = &CollectStatProgressVacuum,
    .metrics = kMetrics,
};

}  // namespace pgsteward
