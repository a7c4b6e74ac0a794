#include "collectors/collector.h"

namespace pgsteward {

std::vector<std::string_view> MetricNames(const CollectorSpec& spec) {
  std::vector<std::string_view> names(spec.metrics.begin(), spec.metrics.end());
  for (const Column& column : spec.columns) {
    if (!column.metric.empty()) names.push_back(column.metric);
  }
  return names;
}

const SqlVariant* SqlFor(const CollectorSpec& spec, int server_version) {
  if (server_version < spec.min_version) return nullptr;
  for (const SqlVariant& variant : spec.sql) {
    if (server_version >= variant.min_version) return &variant;
  }
  return nullptr;
}

Task<Result<Families>> Collect(const CollectorSpec& spec, CollectorContext& context) {
  const int version = context.db.server_version();
  if (spec.collect) {
    if (version < spec.min_version) {
      co_return Error(Errc::kUnsupported, "needs a newer PostgreSQL");
    }
    co_return co_await spec.collect(context);
  }
  const SqlVariant* variant = SqlFor(spec, version);
  if (!variant) co_return Error(Errc::kUnsupported, "needs a newer PostgreSQL");
  std::string sql(variant->sql);
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), context.timeout);
  if (!rows) co_return rows.error();
  co_return RowsToFamilies(spec.columns, *rows, version);
}

}  // namespace pgsteward
