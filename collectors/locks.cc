#include <map>
#include <string>
#include <utility>

#include "collectors/collector.h"

namespace pgsteward {

namespace {

// Reading pg_locks takes every lock partition, so both families come from one reading.
constexpr std::string_view kSql = R"sql(
WITH locks AS MATERIALIZED (
  SELECT database, lower(mode) AS mode, granted, count(*) AS n
  FROM pg_locks
  GROUP BY 1, 2, 3
)
SELECT d.datname, l.mode, l.granted, l.n
FROM pg_database AS d
FULL JOIN locks AS l ON l.database = d.oid
)sql";

constexpr std::string_view kModes[] = {
    "accesssharelock", "rowsharelock",          "rowexclusivelock", "shareupdateexclusivelock",
    "sharelock",       "sharerowexclusivelock", "exclusivelock",    "accessexclusivelock",
    "sireadlock"};

constexpr std::string_view kMetrics[] = {"pg_locks", "pg_locks_count"};

Families LockFamilies(const PgResult& rows) {
  using Key = std::pair<std::string, std::string>;
  std::map<Key, double> by_mode;      // mode, granted
  std::map<Key, double> by_database;  // datname, mode
  for (const std::string_view mode : kModes) {
    by_mode[{std::string(mode), "false"}] = 0;
    by_mode[{std::string(mode), "true"}] = 0;
  }
  for (int row = 0; row < rows.rows(); ++row) {
    const std::string datname(rows.Text(row, 0));
    const std::string mode(rows.Text(row, 1));
    if (!rows.IsNull(row, 0)) {
      for (const std::string_view zero : kModes) by_database[{datname, std::string(zero)}] += 0;
    }
    const auto count = rows.Number(row, 3);
    if (!count) continue;  // a database without locks
    by_mode[{mode, rows.Bool(row, 2) ? "true" : "false"}] += *count;
    if (!rows.IsNull(row, 0)) by_database[{datname, mode}] += *count;
  }

  Families families;
  auto& locks = families.emplace_back(GaugeFamily(
      kMetrics[0],
      "Locks of the whole server by mode, shared objects included; granted=\"false\" waits."));
  for (const auto& [key, count] : by_mode) {
    AddSample(locks, {{"mode", key.first}, {"granted", key.second}}, count);
  }
  auto& count_family = families.emplace_back(
      GaugeFamily(kMetrics[1],
                  "Locks by database and mode, held and waited for together, without shared "
                  "objects and transaction ids."));
  for (const auto& [key, count] : by_database) {
    AddSample(count_family, {{"datname", key.first}, {"mode", key.second}}, count);
  }
  return families;
}

Task<Result<Families>> CollectLocks(CollectorContext& context) {
  std::string sql(kSql);
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), context.timeout);
  if (!rows) co_return rows.error();
  co_return LockFamilies(*rows);
}

}  // namespace

extern const CollectorSpec kLocks{
    .name = "locks",
    .reads = "pg_locks, pg_database",
    .collect = &CollectLocks,
    .metrics = kMetrics,
};

}  // namespace pgsteward
