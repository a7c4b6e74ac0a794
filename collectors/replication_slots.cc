#include <string>

#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr std::string_view kSql = R"sql(
SELECT s.slot_name, s.slot_type, s.database, s.active, s.wal_status,
       pg_wal_lsn_diff(CASE WHEN w.in_recovery
                            THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                            ELSE pg_current_wal_lsn() END, s.restart_lsn) AS retained,
       CASE WHEN w.in_recovery THEN 0
            ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END AS current_lsn,
       CASE WHEN s.active THEN pg_wal_lsn_diff(s.confirmed_flush_lsn, '0/0') END AS flushed_lsn,
       s.safe_wal_size
FROM pg_replication_slots AS s
CROSS JOIN (SELECT pg_is_in_recovery() AS in_recovery) AS w
)sql";

enum Field { kName, kType, kInDatabase, kActive, kWalStatus, kRetained, kCurrent, kFlushed, kSafe };

constexpr std::string_view kMetrics[] = {
    "pg_replication_slots_active",
    "pg_replication_slots_pg_wal_lsn_diff",
    "pg_replication_slots_safe_wal_size_bytes",
    "pg_replication_slots_slot_confirmed_flush_lsn",
    "pg_replication_slots_slot_current_wal_lsn",
    "pg_replication_slots_slot_is_active",
    "pg_replication_slots_wal_status",
};

Families SlotFamilies(const PgResult& rows) {
  auto active = GaugeFamily(kMetrics[0], "1 while the slot is in use, 0 otherwise.");
  auto retained = GaugeFamily(kMetrics[1], "Bytes of WAL that the server keeps for the slot.");
  auto safe = GaugeFamily(kMetrics[2],
                          "Bytes of WAL that can be written before the slot is in danger of being "
                          "lost; absent without max_slot_wal_keep_size and for lost slots.");
  auto flushed = GaugeFamily(kMetrics[3],
                             "Position, in bytes of WAL, up to which the consumer of the logical "
                             "slot confirmed; only while the slot is in use.");
  auto current =
      GaugeFamily(kMetrics[4], "The server's current position in bytes of WAL, 0 on a standby.");
  auto is_active = GaugeFamily(kMetrics[5], "1 while the slot is in use, 0 otherwise.");
  auto status = GaugeFamily(kMetrics[6],
                            "Always 1; the label tells whether the WAL of the slot is reserved, "
                            "extended, unreserved or lost.");
  const auto add = [&](prometheus::MetricFamily& family, const Labels& labels, int row,
                       Field field) {
    if (const auto value = rows.Number(row, field)) AddSample(family, labels, *value);
  };
  for (int row = 0; row < rows.rows(); ++row) {
    const std::string name(rows.Text(row, kName));
    const std::string type(rows.Text(row, kType));
    const Labels in_database = {{"slot_name", name},
                                {"database", std::string(rows.Text(row, kInDatabase))}};
    const Labels of_type = {{"slot_name", name}, {"slot_type", type}};
    add(active, in_database, row, kActive);
    add(retained, in_database, row, kRetained);
    add(safe, of_type, row, kSafe);
    add(flushed, of_type, row, kFlushed);
    add(current, of_type, row, kCurrent);
    add(is_active, of_type, row, kActive);
    if (rows.IsNull(row, kWalStatus)) continue;
    AddSample(status,
              {{"slot_name", name},
               {"slot_type", type},
               {"wal_status", std::string(rows.Text(row, kWalStatus))}},
              1);
  }
  return {active, retained, safe, flushed, current, is_active, status};
}

Task<Result<Families>> CollectReplicationSlots(CollectorContext& context) {
  std::string sql(kSql);
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), context.timeout);
  if (!rows) co_return rows.error();
  co_return SlotFamilies(*rows);
}

}  // namespace

extern const CollectorSpec kReplicationSlots{
    .name = "replication_slots",
    .reads = "pg_replication_slots",
    .collect = &CollectReplicationSlots,
    .metrics = kMetrics,
};

}  // namespace pgsteward
