#include <string>

#include "collectors/collector.h"

namespace pgsteward {

namespace {

// One reading of the last 30 days, by the index on created_at. A day begins at midnight in the
// configured zone, whatever the session's zone is.
constexpr std::string_view kSql = R"sql(
WITH newest AS MATERIALIZED (
  SELECT max(created_at) AS at
  FROM public.messages
  WHERE created_at >= (date_trunc('day', now() AT TIME ZONE $1) - interval '30 days')
                        AT TIME ZONE $1
    AND user_id IS NOT NULL
  GROUP BY user_id
)
SELECT w.name AS "window", count(n.at) AS active_users
FROM (VALUES ('1d', interval '1 day'), ('7d', interval '7 days'),
             ('30d', interval '30 days')) AS w (name, length)
LEFT JOIN newest AS n
  ON n.at >= (date_trunc('day', now() AT TIME ZONE $1) - w.length) AT TIME ZONE $1
GROUP BY w.name, w.length
ORDER BY w.length
)sql";

constexpr Column kColumns[] = {
    {"window"},
    {"active_users", Kind::kGauge, "hub_active_users",
     "Users with a message since the beginning of the day that lies 1, 7 or 30 days before today, "
     "in the configured time zone."},
};

Task<Result<Families>> CollectActiveUsers(CollectorContext& context) {
  std::string sql(kSql);
  PgValues values;
  values.emplace_back(context.options.time_zone);
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), context.timeout);
  if (!rows) co_return rows.error();
  co_return RowsToFamilies(kColumns, *rows, context.db.server_version());
}

}  // namespace

extern const CollectorSpec kActiveUsers{
    .name = "active_users",
    .reads = "messages: the last 30 days",
    .scope = Scope::kHub,
    .interval = std::chrono::seconds(300),
    .timeout = std::chrono::seconds(30),
    .columns = kColumns,
    .collect = &CollectActiveUsers,
};

}  // namespace pgsteward
