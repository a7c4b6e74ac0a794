#include "collectors/collector.h"

namespace pgsteward {

namespace {

// Temporary tables live in one session and come and go: no series for them. The sizes are
// table_size's, because they take locks and these numbers do not.
constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT current_database() AS datname, schemaname, relname, seq_scan, seq_tup_read, idx_scan,
       idx_tup_fetch, n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd, n_live_tup, n_dead_tup,
       n_mod_since_analyze,
       coalesce(extract(epoch FROM last_vacuum), 0) AS last_vacuum,
       coalesce(extract(epoch FROM last_autovacuum), 0) AS last_autovacuum,
       coalesce(extract(epoch FROM last_analyze), 0) AS last_analyze,
       coalesce(extract(epoch FROM last_autoanalyze), 0) AS last_autoanalyze,
       vacuum_count, autovacuum_count, analyze_count, autoanalyze_count
FROM pg_stat_user_tables
WHERE schemaname NOT LIKE 'pg\_temp\_%'
)sql"}};

constexpr Column kColumns[] = {
    {"datname"},
    {"schemaname"},
    {"relname"},
    {"seq_scan", Kind::kCounter, "pg_stat_user_tables_seq_scan", "Sequential scans of the table."},
    {"seq_tup_read", Kind::kCounter, "pg_stat_user_tables_seq_tup_read",
     "Live rows fetched by sequential scans."},
    {"idx_scan", Kind::kCounter, "pg_stat_user_tables_idx_scan",
     "Index scans of the table; absent without an index."},
    {"idx_tup_fetch", Kind::kCounter, "pg_stat_user_tables_idx_tup_fetch",
     "Live rows fetched by index scans; absent without an index."},
    {"n_tup_ins", Kind::kCounter, "pg_stat_user_tables_n_tup_ins", "Inserted rows."},
    {"n_tup_upd", Kind::kCounter, "pg_stat_user_tables_n_tup_upd", "Updated rows."},
    {"n_tup_del", Kind::kCounter, "pg_stat_user_tables_n_tup_del", "Deleted rows."},
    {"n_tup_hot_upd", Kind::kCounter, "pg_stat_user_tables_n_tup_hot_upd",
     "Updated rows that needed no new index entry (HOT)."},
    {"n_live_tup", Kind::kGauge, "pg_stat_user_tables_n_live_tup", "Estimated live rows."},
    {"n_dead_tup", Kind::kGauge, "pg_stat_user_tables_n_dead_tup",
     "Estimated dead rows that vacuum has not removed yet."},
    {"n_mod_since_analyze", Kind::kGauge, "pg_stat_user_tables_n_mod_since_analyze",
     "Estimated rows changed since the table was last analyzed."},
    {"last_vacuum", Kind::kGauge, "pg_stat_user_tables_last_vacuum",
     "Unix time of the last manual vacuum, 0 if never."},
    {"last_autovacuum", Kind::kGauge, "pg_stat_user_tables_last_autovacuum",
     "Unix time of the last vacuum by autovacuum, 0 if never."},
    {"last_analyze", Kind::kGauge, "pg_stat_user_tables_last_analyze",
     "Unix time of the last manual analyze, 0 if never."},
    {"last_autoanalyze", Kind::kGauge, "pg_stat_user_tables_last_autoanalyze",
     "Unix time of the last analyze by autovacuum, 0 if never."},
    {"vacuum_count", Kind::kCounter, "pg_stat_user_tables_vacuum_count",
     "Manual vacuums of the table, without VACUUM FULL."},
    {"autovacuum_count", Kind::kCounter, "pg_stat_user_tables_autovacuum_count",
     "Vacuums of the table by autovacuum."},
    {"analyze_count", Kind::kCounter, "pg_stat_user_tables_analyze_count",
     "Manual analyzes of the table."},
    {"autoanalyze_count", Kind::kCounter, "pg_stat_user_tables_autoanalyze_count",
     "Analyzes of the table by autovacuum."},
};

}  // namespace

extern const CollectorSpec kStatUserTables{
    .name = "stat_user_tables",
    .reads = "pg_stat_user_tables",
    .scope = Scope::kDatabase,
    .interval = std::chrono::seconds(30),
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
