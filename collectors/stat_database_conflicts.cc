#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr SqlVariant kSql[] = {
    {160000, R"sql(
SELECT datid, datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin,
       confl_deadlock, confl_active_logicalslot
FROM pg_stat_database_conflicts
)sql"},
    {0, R"sql(
SELECT datid, datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin,
       confl_deadlock
FROM pg_stat_database_conflicts
)sql"},
};

constexpr Column kColumns[] = {
    {"datid"},
    {"datname"},
    {"confl_tablespace", Kind::kCounter, "pg_stat_database_conflicts_confl_tablespace",
     "Queries cancelled on this standby because of a dropped tablespace."},
    {"confl_lock", Kind::kCounter, "pg_stat_database_conflicts_confl_lock",
     "Queries cancelled on this standby because of lock timeouts."},
    {"confl_snapshot", Kind::kCounter, "pg_stat_database_conflicts_confl_snapshot",
     "Queries cancelled on this standby because their snapshot was too old."},
    {"confl_bufferpin", Kind::kCounter, "pg_stat_database_conflicts_confl_bufferpin",
     "Queries cancelled on this standby because of pinned buffers."},
    {"confl_deadlock", Kind::kCounter, "pg_stat_database_conflicts_confl_deadlock",
     "Queries cancelled on this standby because of deadlocks."},
    // Untyped for compatibility: postgres_exporter's table does not know this column.
    {"confl_active_logicalslot", Kind::kUntyped,
     "pg_stat_database_conflicts_confl_active_logicalslot",
     "Uses of logical slots cancelled on this standby; PostgreSQL 16 and newer.", 160000},
};

}  // namespace

extern const CollectorSpec kStatDatabaseConflicts{
    .name = "stat_database_conflicts",
    .reads = "pg_stat_database_conflicts",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
