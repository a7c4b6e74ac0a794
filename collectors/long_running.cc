#include <string>

#include "collectors/collector.h"
#include "core/pg_error.h"

namespace pgsteward {

namespace {

// No row at all without the right to see everybody's sessions: zeros would be lies then.
constexpr std::string_view kSql = R"sql(
SELECT coalesce(max(query_age), 0) AS query_oldest,
       coalesce(max(xact_age), 0) AS xact_oldest,
       coalesce(max(idle_age), 0) AS idle_in_tx_oldest,
       count(*) FILTER (WHERE query_age > $1::float8) AS long_running,
       $1::float8 AS threshold
FROM (
  SELECT CASE WHEN state = 'active'
              THEN greatest(extract(epoch FROM clock_timestamp() - query_start), 0) END AS query_age,
         greatest(extract(epoch FROM clock_timestamp() - xact_start), 0) AS xact_age,
         CASE WHEN state IN ('idle in transaction', 'idle in transaction (aborted)')
              THEN greatest(extract(epoch FROM clock_timestamp() - state_change), 0) END AS idle_age
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
) AS sessions
HAVING pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
)sql";

constexpr Column kColumns[] = {
    {"query_oldest", Kind::kGauge, "pg_query_oldest_seconds",
     "Age of the oldest statement that a client is running now, 0 when none runs."},
    {"xact_oldest", Kind::kGauge, "pg_xact_oldest_seconds",
     "Age of the oldest open transaction of a client, 0 when none is open."},
    {"idle_in_tx_oldest", Kind::kGauge, "pg_idle_in_tx_oldest_seconds",
     "How long the client that waits longest inside an open transaction has been idle, 0 when none "
     "does."},
    {"long_running", Kind::kGauge, "pg_long_running_queries",
     "Statements of clients that have been running for longer than the configured threshold."},
    {"threshold", Kind::kGauge, "pg_long_running_queries_threshold_seconds",
     "The configured threshold of pg_long_running_queries."},
};

Task<Result<Families>> CollectLongRunning(CollectorContext& context) {
  std::string sql(kSql);
  PgValues values;
  values.emplace_back(std::to_string(context.options.long_query_threshold.count()));
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), context.timeout);
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) {
    co_return Error(Errc::kQueryFailed, "the role may not see the sessions of other roles", "42501",
                    std::string(HintOfSqlstate("42501")));
  }
  co_return RowsToFamilies(kColumns, *rows, context.db.server_version());
}

}  // namespace

extern const CollectorSpec kLongRunning{
    .name = "long_running",
    .reads = "pg_stat_activity",
    .columns = kColumns,
    .collect = &CollectLongRunning,
};

}  // namespace pgsteward
