#include "collectors/collector.h"

namespace pgsteward {

namespace {

// "Everything received is replayed" means no lag only while a receiver runs: without one the two
// positions stay equal for ever while the primary goes on.
constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT CASE WHEN NOT in_recovery THEN 0
            WHEN caught_up AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
            WHEN age < 0 THEN 0
            ELSE age END AS lag,
       in_recovery AS is_replica,
       coalesce(greatest(age, 0), 0) AS last_replay
FROM (
  SELECT pg_is_in_recovery() AS in_recovery,
         pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AS caught_up,
         extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS age
) AS state
)sql"}};

constexpr Column kColumns[] = {
    {"lag", Kind::kGauge, "pg_replication_lag_seconds",
     "Age of the last replayed transaction; 0 on a primary, and on a standby that has replayed all "
     "that its running receiver got. Absent on a standby that has replayed no transaction."},
    {"is_replica", Kind::kGauge, "pg_replication_is_replica",
     "1 on a server in recovery (a standby), 0 on a primary."},
    {"last_replay", Kind::kGauge, "pg_replication_last_replay_seconds",
     "Age of the last transaction that was replayed in recovery, 0 if there was none."},
};

}  // namespace

extern const CollectorSpec kReplication{
    .name = "replication",
    .reads = "the recovery functions, pg_stat_wal_receiver",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
