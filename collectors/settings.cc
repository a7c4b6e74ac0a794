#include <set>
#include <string>

#include "collectors/collector.h"
#include "collectors/setting_metric.h"

namespace pgsteward {

namespace {

// Our own session changes some settings (statement_timeout, jit, ...); what it was given before is
// what other sessions get. transaction_read_only follows our session too, but reads as overridden.
// The two names are postgres_exporter's exceptions.
constexpr std::string_view kSql = R"sql(
SELECT name, vartype, unit,
  CASE
    WHEN name = 'transaction_read_only' THEN
      CASE WHEN pg_is_in_recovery() THEN 'on'
        ELSE (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only') END
    WHEN source = 'session' THEN reset_val
    ELSE setting
  END AS setting
FROM pg_settings
WHERE vartype IN ('bool', 'integer', 'real')
  AND name NOT IN ('sync_commit_cancel_wait', 'google_dataplex.max_messages')
)sql";

constexpr std::string_view kMetrics[] = {"pg_settings_*"};

Families SettingFamilies(const PgResult& rows) {
  Families families;
  // Names of extensions' settings can meet after the translation; the first one stays.
  std::set<std::string> seen;
  for (int row = 0; row < rows.rows(); ++row) {
    const auto metric =
        MetricOfSetting(rows.Text(row, 0), rows.Text(row, 1), rows.Text(row, 2), rows.Text(row, 3));
    if (!metric || !seen.insert(metric->name).second) continue;
    auto& family = families.emplace_back(
        GaugeFamily(metric->name, "Server Parameter: " + std::string(rows.Text(row, 0))));
    AddSample(family, {}, metric->value);
  }
  return families;
}

Task<Result<Families>> CollectSettings(CollectorContext& context) {
  std::string sql(kSql);
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), context.timeout);
  if (!rows) co_return rows.error();
  co_return SettingFamilies(*rows);
}

}  // namespace

extern const CollectorSpec kSettings{
    .name = "settings",
    .reads = "pg_settings: boolean and numeric settings, in seconds and bytes",
    .interval = std::chrono::seconds(60),
    .collect = &CollectSettings,
    .metrics = kMetrics,
};

}  // namespace pgsteward
