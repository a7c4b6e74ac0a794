#include "collectors/collector.h"

namespace pgsteward {

namespace {

// The two times are 0 and not absent when it never happened: an archive_command that has failed
// from the first segment on must still compare as "failed after the last success".
constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT archived_count, failed_count,
       extract(epoch FROM clock_timestamp() - last_archived_time) AS last_archive_age,
       coalesce(extract(epoch FROM last_archived_time), 0) AS last_archived,
       coalesce(extract(epoch FROM last_failed_time), 0) AS last_failed
FROM pg_stat_archiver
)sql"}};

constexpr Column kColumns[] = {
    {"archived_count", Kind::kCounter, "pg_stat_archiver_archived_count",
     "WAL files that were archived."},
    {"failed_count", Kind::kCounter, "pg_stat_archiver_failed_count",
     "Failed attempts to archive a WAL file."},
    {"last_archive_age", Kind::kGauge, "pg_stat_archiver_last_archive_age",
     "Seconds since a WAL file was last archived, absent if never."},
    {"last_archived", Kind::kGauge, "pg_stat_archiver_last_archived_timestamp_seconds",
     "Unix time when a WAL file was last archived, 0 if never."},
    {"last_failed", Kind::kGauge, "pg_stat_archiver_last_failed_timestamp_seconds",
     "Unix time when archiving last failed, 0 if never."},
};

}  // namespace

extern const CollectorSpec kStatArchiver{
    .name = "stat_archiver",
    .reads = "pg_stat_archiver",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
