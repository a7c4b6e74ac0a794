#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT count(*) AS segments, coalesce(sum(size), 0) AS size_bytes
FROM pg_ls_waldir()
WHERE name ~ '^[0-9A-F]{24}$'
)sql"}};

constexpr Column kColumns[] = {
    {"segments", Kind::kGauge, "pg_wal_segments", "WAL segment files in pg_wal."},
    {"size_bytes", Kind::kGauge, "pg_wal_size_bytes", "Bytes of the WAL segment files in pg_wal."},
};

}  // namespace

extern const CollectorSpec kWal{
    .name = "wal",
    .reads = "pg_ls_waldir()",
    .interval = std::chrono::seconds(60),
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
