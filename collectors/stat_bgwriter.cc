#include "collectors/collector.h"

namespace pgsteward {

namespace {

// PostgreSQL 17 moved the checkpointer's numbers into a view of their own and those of the
// backends into pg_stat_io, where the old ones counted every process but these two.
constexpr SqlVariant kSql[] = {
    {180000, R"sql(
SELECT c.num_timed AS checkpoints_timed, c.num_requested AS checkpoints_req,
       c.write_time AS checkpoint_write_time, c.sync_time AS checkpoint_sync_time,
       c.buffers_written AS buffers_checkpoint, b.buffers_clean, b.maxwritten_clean,
       io.buffers_backend, io.buffers_backend_fsync, b.buffers_alloc,
       extract(epoch FROM b.stats_reset) AS stats_reset
FROM pg_stat_bgwriter AS b
CROSS JOIN pg_stat_checkpointer AS c
CROSS JOIN (
  SELECT (coalesce(sum(write_bytes), 0) + coalesce(sum(extend_bytes), 0))
           / current_setting('block_size')::numeric AS buffers_backend,
         coalesce(sum(fsyncs), 0) AS buffers_backend_fsync
  FROM pg_stat_io
  WHERE object = 'relation' AND backend_type NOT IN ('background writer', 'checkpointer')
) AS io
)sql"},
    {170000, R"sql(
SELECT c.num_timed AS checkpoints_timed, c.num_requested AS checkpoints_req,
       c.write_time AS checkpoint_write_time, c.sync_time AS checkpoint_sync_time,
       c.buffers_written AS buffers_checkpoint, b.buffers_clean, b.maxwritten_clean,
       io.buffers_backend, io.buffers_backend_fsync, b.buffers_alloc,
       extract(epoch FROM b.stats_reset) AS stats_reset
FROM pg_stat_bgwriter AS b
CROSS JOIN pg_stat_checkpointer AS c
CROSS JOIN (
  SELECT coalesce(sum(writes), 0) + coalesce(sum(extends), 0) AS buffers_backend,
         coalesce(sum(fsyncs), 0) AS buffers_backend_fsync
  FROM pg_stat_io
  WHERE object = 'relation' AND backend_type NOT IN ('background writer', 'checkpointer')
) AS io
)sql"},
    {0, R"sql(
SELECT checkpoints_timed, checkpoints_req, checkpoint_write_time, checkpoint_sync_time,
       buffers_checkpoint, buffers_clean, maxwritten_clean, buffers_backend, buffers_backend_fsync,
       buffers_alloc, extract(epoch FROM stats_reset) AS stats_reset
FROM pg_stat_bgwriter
)sql"},
};

constexpr Column kColumns[] = {
    {"checkpoints_timed", Kind::kCounter, "pg_stat_bgwriter_checkpoints_timed_total",
     "Checkpoints that were due by time; PostgreSQL 17 and newer count skipped ones too."},
    {"checkpoints_req", Kind::kCounter, "pg_stat_bgwriter_checkpoints_req_total",
     "Checkpoints that were requested, by a command or because max_wal_size was reached."},
    {"checkpoint_write_time", Kind::kCounter, "pg_stat_bgwriter_checkpoint_write_time_total",
     "Milliseconds that checkpoints spent writing files."},
    {"checkpoint_sync_time", Kind::kCounter, "pg_stat_bgwriter_checkpoint_sync_time_total",
     "Milliseconds that checkpoints spent synchronizing files to disk."},
    {"buffers_checkpoint", Kind::kCounter, "pg_stat_bgwriter_buffers_checkpoint_total",
     "Buffers written during checkpoints."},
    {"buffers_clean", Kind::kCounter, "pg_stat_bgwriter_buffers_clean_total",
     "Buffers written by the background writer."},
    {"maxwritten_clean", Kind::kCounter, "pg_stat_bgwriter_maxwritten_clean_total",
     "Cleaning scans that the background writer stopped at bgwriter_lru_maxpages."},
    {"buffers_backend", Kind::kCounter, "pg_stat_bgwriter_buffers_backend_total",
     "Buffers that backends wrote themselves; on PostgreSQL 17 and newer an approximation from "
     "pg_stat_io."},
    {"buffers_backend_fsync", Kind::kCounter, "pg_stat_bgwriter_buffers_backend_fsync_total",
     "File synchronizations that backends had to do themselves; on PostgreSQL 17 and newer an "
     "approximation from pg_stat_io."},
    {"buffers_alloc", Kind::kCounter, "pg_stat_bgwriter_buffers_alloc_total", "Allocated buffers."},
    {"stats_reset", Kind::kCounter, "pg_stat_bgwriter_stats_reset_total",
     "Unix time when the statistics of the background writer were last reset."},
};

}  // namespace

extern const CollectorSpec kStatBgwriter{
    .name = "stat_bgwriter",
    .reads = "pg_stat_bgwriter; PostgreSQL 17+: pg_stat_checkpointer and pg_stat_io too",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
