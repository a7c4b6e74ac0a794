#include <string>

#include "collectors/collector.h"

namespace pgsteward {

namespace {

// A session that this role may not see has no backend_type, but it has a database.
constexpr std::string_view kSql = R"sql(
WITH used AS (
  SELECT CASE WHEN state IN ('active', 'idle', 'idle in transaction',
                             'idle in transaction (aborted)', 'fastpath function call', 'disabled')
              THEN state ELSE 'unknown' END AS state,
         count(*) AS n
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)
  GROUP BY 1
)
SELECT s.state, coalesce(u.n, 0) AS connections,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int AS usable
FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'),
             ('fastpath function call'), ('disabled'), ('unknown')) AS s (state)
LEFT JOIN used AS u ON u.state = s.state
)sql";

constexpr std::string_view kMetrics[] = {"pg_connections", "pg_connections_limit"};

Task<Result<Families>> CollectConnections(CollectorContext& context) {
  std::string sql(kSql);
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), context.timeout);
  if (!rows) co_return rows.error();

  auto connections = GaugeFamily(
      kMetrics[0],
      "Client connections by state, the one that measures included. \"unknown\": the role may not "
      "see the state, or the session is just starting.");
  for (int row = 0; row < rows->rows(); ++row) {
    AddSample(connections, {{"state", std::string(rows->Text(row, 0))}},
              rows->Number(row, 1).value_or(0));
  }
  auto limit = GaugeFamily(kMetrics[1],
                           "Connections that clients without special rights can use: "
                           "max_connections less superuser_reserved_connections and "
                           "reserved_connections.");
  AddSample(limit, {}, rows->Number(0, 2).value_or(0));
  Families families;
  families.push_back(std::move(connections));
  families.push_back(std::move(limit));
  co_return families;
}

}  // namespace

extern const CollectorSpec kConnections{
    .name = "connections",
    .reads = "pg_stat_activity, the connection settings",
    .collect = &CollectConnections,
    .metrics = kMetrics,
};

}  // namespace pgsteward
