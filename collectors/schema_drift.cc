#include <map>
#include <string>

#include "collectors/collector.h"
#include "schema/check.h"

namespace pgsteward {

namespace {

constexpr std::string_view kMetrics[] = {"hub_schema_drift_objects", "hub_schema_pending_versions"};

Task<Result<Families>> CollectSchemaDrift(CollectorContext& context) {
  auto check = co_await CheckSchema(context.db, HubSchema(), context.timeout);
  if (!check) co_return check.error();
  // Everything would be missing, and nothing would be wrong.
  if (!check->present) {
    co_return Error(Errc::kNoData, "this database has no hub schema", {},
                    "Create it with: pgsteward schema apply.");
  }

  std::map<std::string, int, std::less<>> counts;
  for (const SchemaDifference& difference : check->differences) ++counts[difference.kind];
  Families families;
  auto& drift = families.emplace_back(GaugeFamily(
      kMetrics[0],
      "Objects of the hub's schema that are missing, differ from what its versions declare, or "
      "were not declared; see them with: pgsteward schema check."));
  for (const std::string_view kind : SchemaKinds()) {
    const auto count = counts.find(kind);
    AddSample(drift, {{"kind", std::string(kind)}}, count == counts.end() ? 0 : count->second);
  }
  auto& pending = families.emplace_back(
      GaugeFamily(kMetrics[1],
                  "Versions of the hub's schema that are not recorded as applied, or have index "
                  "builds outstanding."));
  AddSample(pending, {}, static_cast<double>(check->pending.size()));
  co_return families;
}

}  // namespace

extern const CollectorSpec kSchemaDrift{
    .name = "schema_drift",
    .reads = "the hub's objects in pg_catalog, pgsteward.schema_version",
    .scope = Scope::kHub,
    .interval = std::chrono::seconds(300),
    .timeout = std::chrono::seconds(15),
    .collect = &CollectSchemaDrift,
    .metrics = kMetrics,
};

}  // namespace pgsteward
