#include "schema/status.h"

namespace pgsteward {

namespace {

// Not to_regclass(): it raises an error when the role may not look into the schema, and then it is
// not known whether there is a record.
constexpr std::string_view kExistsSql = R"sql(
SELECT EXISTS (
         SELECT FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = 'pgsteward' AND c.relname = 'schema_version'),
       (SELECT count(*) FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $2 AND c.relname = ANY ($1::text[]))
)sql";

constexpr std::string_view kRecordSql = R"sql(
SELECT version, date_trunc('second', started_at), date_trunc('second', completed_at), applied_by,
       daemon_version, checksum
FROM pgsteward.schema_version
WHERE component = $1
ORDER BY started_at, version
)sql";

VersionStatus FromRow(const SchemaComponent& component, const PgResult& rows, int row) {
  VersionStatus status;
  status.version = rows.Text(row, 0);
  status.started_at = rows.Text(row, 1);
  status.completed_at = rows.Text(row, 2);
  status.applied_by = rows.Text(row, 3);
  status.daemon_version = rows.Text(row, 4);
  const auto ours = FindVersion(component, status.version);
  if (!ours) {
    status.state = VersionState::kUnknown;
    return status;
  }
  status.state = rows.IsNull(row, 2) ? VersionState::kIncomplete : VersionState::kApplied;
  status.changed = rows.Text(row, 5) != component.versions[*ours].checksum;
  return status;
}

}  // namespace

std::string_view VersionStateName(VersionState state) {
  switch (state) {
    case VersionState::kPending:
      return "pending";
    case VersionState::kIncomplete:
      return "incomplete";
    case VersionState::kApplied:
      return "applied";
    case VersionState::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::vector<std::string> SchemaStatus::Outstanding() const {
  std::vector<std::string> names;
  for (const VersionStatus& version : versions) {
    if (version.state == VersionState::kPending || version.state == VersionState::kIncomplete) {
      names.push_back(version.version);
    }
  }
  return names;
}

Task<Result<SchemaStatus>> ReadStatus(Database& db, const SchemaComponent& component,
                                      Duration timeout) {
  std::string exists_sql(kExistsSql);
  const SchemaVersion& first = component.versions.front();
  PgValues relations;
  relations.emplace_back(RelationsArray(first));
  relations.emplace_back(std::string(component.schema));
  auto exists = co_await db.Query(std::move(exists_sql), std::move(relations), timeout);
  if (!exists) co_return exists.error();

  SchemaStatus status;
  status.component = component.name;
  // A table named users alone is no hub.
  const auto there = static_cast<std::size_t>(exists->Integer(0, 1).value_or(0));
  status.present = 2 * there > first.relations.size();
  for (const SchemaVersion& version : component.versions) {
    VersionStatus pending;
    pending.version = version.name;
    status.versions.push_back(std::move(pending));
  }
  if (!exists->Bool(0, 0)) co_return status;

  std::string record_sql(kRecordSql);
  PgValues name;
  name.emplace_back(std::string(component.name));
  auto rows = co_await db.Query(std::move(record_sql), std::move(name), timeout);
  if (!rows) {
    Error error = rows.error();
    if (error.sqlstate == "42501") {
      error.hint =
          "Grant the role USAGE on schema pgsteward and SELECT on its table "
          "schema_version; members of pg_monitor have both.";
    }
    co_return error;
  }
  status.present = status.present || rows->rows() > 0;
  for (int row = 0; row < rows->rows(); ++row) {
    VersionStatus recorded = FromRow(component, *rows, row);
    const auto ours = FindVersion(component, recorded.version);
    if (ours) {
      status.versions[*ours] = std::move(recorded);
    } else {
      status.versions.push_back(std::move(recorded));
    }
  }
  co_return status;
}

}  // namespace pgsteward
