#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr SqlVariant kSql[] = {
    {140000, R"sql(
SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned,
       tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes,
       deadlocks, blk_read_time, blk_write_time,
       coalesce(extract(epoch FROM stats_reset), 0) AS stats_reset,
       active_time / 1000 AS active_time_seconds
FROM pg_stat_database
WHERE datname IS NOT NULL
)sql"},
    {0, R"sql(
SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned,
       tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes,
       deadlocks, blk_read_time, blk_write_time,
       coalesce(extract(epoch FROM stats_reset), 0) AS stats_reset
FROM pg_stat_database
WHERE datname IS NOT NULL
)sql"},
};

constexpr Column kColumns[] = {
    {"datid"},
    {"datname"},
    {"numbackends", Kind::kGauge, "pg_stat_database_numbackends",
     "Backends connected to the database now."},
    {"xact_commit", Kind::kCounter, "pg_stat_database_xact_commit", "Committed transactions."},
    {"xact_rollback", Kind::kCounter, "pg_stat_database_xact_rollback",
     "Rolled back transactions."},
    {"blks_read", Kind::kCounter, "pg_stat_database_blks_read",
     "Blocks read from outside the shared buffers."},
    {"blks_hit", Kind::kCounter, "pg_stat_database_blks_hit",
     "Blocks found in the shared buffers."},
    {"tup_returned", Kind::kCounter, "pg_stat_database_tup_returned",
     "Live rows read by sequential scans and index entries returned by index scans."},
    {"tup_fetched", Kind::kCounter, "pg_stat_database_tup_fetched",
     "Live rows fetched by index scans."},
    {"tup_inserted", Kind::kCounter, "pg_stat_database_tup_inserted", "Inserted rows."},
    {"tup_updated", Kind::kCounter, "pg_stat_database_tup_updated", "Updated rows."},
    {"tup_deleted", Kind::kCounter, "pg_stat_database_tup_deleted", "Deleted rows."},
    {"conflicts", Kind::kCounter, "pg_stat_database_conflicts",
     "Queries cancelled on a standby because of conflicts with recovery."},
    {"temp_files", Kind::kCounter, "pg_stat_database_temp_files",
     "Temporary files that queries created."},
    {"temp_bytes", Kind::kCounter, "pg_stat_database_temp_bytes",
     "Bytes that queries wrote to temporary files."},
    {"deadlocks", Kind::kCounter, "pg_stat_database_deadlocks", "Detected deadlocks."},
    {"blk_read_time", Kind::kCounter, "pg_stat_database_blk_read_time",
     "Milliseconds spent reading blocks, 0 while track_io_timing is off."},
    {"blk_write_time", Kind::kCounter, "pg_stat_database_blk_write_time",
     "Milliseconds spent writing blocks, 0 while track_io_timing is off."},
    {"stats_reset", Kind::kCounter, "pg_stat_database_stats_reset",
     "Unix time when these statistics were last reset, 0 if never."},
    {"active_time_seconds", Kind::kCounter, "pg_stat_database_active_time_seconds_total",
     "Seconds that sessions spent running statements; PostgreSQL 14 and newer.", 140000},
};

}  // namespace

extern const CollectorSpec kStatDatabase{
    .name = "stat_database",
    .reads = "pg_stat_database",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
