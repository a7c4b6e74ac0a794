// Which versions a database has: what pgsteward.schema_version records, compared with ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/pg_session.h"
#include "schema/versions.h"

namespace pgsteward {

enum class VersionState {
  kPending,     // not recorded
  kIncomplete,  // applied, index builds outstanding
  kApplied,
  kUnknown,  // recorded, and not one of ours: a newer pgsteward was here
};
std::string_view VersionStateName(VersionState state);  // "pending"

struct VersionStatus {
  std::string version;
  VersionState state = VersionState::kPending;
  std::string started_at;  // "2026-05-01 12:00:00+00"; empty when pending
  std::string completed_at;
  std::string applied_by;
  std::string daemon_version;
  // The SQL that was applied is not the SQL that we have.
  bool changed = false;
};

struct SchemaStatus {
  std::string component;
  std::vector<VersionStatus> versions;  // ours in order, then unknown ones
  // The database has the component: a version is recorded, or most relations of the first one
  // exist.
  bool present = false;

  // What `apply` has to do: pending and incomplete versions.
  std::vector<std::string> Outstanding() const;
};

// Reads the record; a database without one has every version pending.
Task<Result<SchemaStatus>> ReadStatus(Database& db, const SchemaComponent& component,
                                      Duration timeout);

}  // namespace pgsteward
