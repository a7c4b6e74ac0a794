#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT r.application_name, host(r.client_addr) AS client_addr, r.state, s.slot_name, r.pid,
       pg_wal_lsn_diff(here.lsn, '0/0') AS current_wal_lsn_bytes,
       pg_wal_lsn_diff(here.lsn, r.replay_lsn) AS wal_lsn_diff
FROM pg_stat_replication AS r
LEFT JOIN pg_replication_slots AS s ON s.active_pid = r.pid
CROSS JOIN (
  SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
              ELSE pg_current_wal_lsn() END AS lsn
) AS here
)sql"}};

constexpr Column kColumns[] = {
    {"application_name"},
    {"client_addr"},
    {"state"},
    {"slot_name"},
    {"pid"},
    {"current_wal_lsn_bytes", Kind::kGauge, "pg_stat_replication_pg_current_wal_lsn_bytes",
     "This server's position in bytes of WAL: written on a primary, received on a standby."},
    {"wal_lsn_diff", Kind::kGauge, "pg_stat_replication_pg_wal_lsn_diff",
     "Bytes of WAL that this server has and the receiver has not replayed."},
};

}  // namespace

extern const CollectorSpec kStatReplication{
    .name = "stat_replication",
    .reads = "pg_stat_replication, pg_replication_slots",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
