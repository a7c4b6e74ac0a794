#include "collectors/collector.h"

namespace pgsteward {

namespace {

// application_name is written by clients: without a bound they could make series without end.
// A session that this role may not see has no backend_type; its state is exported as 'unknown'.
constexpr SqlVariant kSql[] = {{0, R"sql(
WITH sessions AS (
  SELECT datname, CASE WHEN backend_type IS NULL THEN 'unknown' ELSE state END AS state,
         usename::text AS usename, application_name, backend_type, wait_event_type, wait_event,
         count(*) AS n,
         max(extract(epoch FROM clock_timestamp() - xact_start)) AS age
  FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND datname IS NOT NULL
  GROUP BY 1, 2, 3, 4, 5, 6, 7
), ranked AS (
  SELECT *, row_number() OVER (ORDER BY n DESC, datname, state, usename, application_name,
                                        backend_type, wait_event_type, wait_event) <= 100 AS kept
  FROM sessions
  WHERE state IS NOT NULL
), bounded AS MATERIALIZED (
  SELECT datname, state,
         CASE WHEN kept THEN usename ELSE 'other' END AS usename,
         CASE WHEN kept THEN application_name ELSE 'other' END AS application_name,
         backend_type,
         CASE WHEN kept THEN wait_event_type ELSE 'other' END AS wait_event_type,
         CASE WHEN kept THEN wait_event ELSE 'other' END AS wait_event,
         sum(n) AS n, greatest(max(age), 0) AS age
  FROM ranked
  GROUP BY 1, 2, 3, 4, 5, 6, 7
)
SELECT d.datname, s.state, b.usename, b.application_name, b.backend_type, b.wait_event_type,
       b.wait_event, coalesce(b.n, 0) AS count, coalesce(b.age, 0) AS max_tx_duration
FROM pg_database AS d
CROSS JOIN (VALUES ('active'), ('idle'), ('idle in transaction'),
                   ('idle in transaction (aborted)'), ('fastpath function call'),
                   ('disabled')) AS s (state)
LEFT JOIN bounded AS b ON b.datname = d.datname AND b.state = s.state
UNION ALL
SELECT datname, state, usename, application_name, backend_type, wait_event_type, wait_event,
       n, age
FROM bounded
WHERE state = 'unknown'
)sql"}};

constexpr Column kColumns[] = {
    {"datname"},
    {"state"},
    {"usename"},
    {"application_name"},
    {"backend_type"},
    {"wait_event_type"},
    {"wait_event"},
    {"count", Kind::kGauge, "pg_stat_activity_count",
     "Sessions in this state, without the one that measures. Beyond the 100 largest groups, user, "
     "application and wait event are \"other\"; sessions that the role may not see are "
     "\"unknown\"."},
    {"max_tx_duration", Kind::kGauge, "pg_stat_activity_max_tx_duration",
     "Age in seconds of the oldest open transaction of these sessions, 0 when none is open."},
};

}  // namespace

extern const CollectorSpec kStatActivity{
    .name = "stat_activity",
    .reads = "pg_stat_activity, pg_database",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
