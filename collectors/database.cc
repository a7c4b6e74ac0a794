#include "collectors/collector.h"

namespace pgsteward {

namespace {

// pg_database_size() raises an error where the role may neither connect nor read all statistics;
// one such database must not hide the others.
constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT datname, datconnlimit AS connection_limit,
       CASE WHEN has_database_privilege(oid, 'CONNECT')
                 OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            THEN pg_database_size(oid) END AS size_bytes
FROM pg_database
)sql"}};

constexpr Column kColumns[] = {
    {"datname"},
    {"connection_limit", Kind::kGauge, "pg_database_connection_limit",
     "Most connections that the database accepts at a time, -1 without a limit of its own."},
    {"size_bytes", Kind::kGauge, "pg_database_size_bytes",
     "Disk space of the database. Absent where the role may neither connect nor read all "
     "statistics."},
};

}  // namespace

extern const CollectorSpec kDatabase{
    .name = "database",
    .reads = "pg_database, pg_database_size()",
    .interval = std::chrono::seconds(60),
    .timeout = std::chrono::seconds(10),
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
