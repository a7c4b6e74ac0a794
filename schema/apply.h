// Brings a database to the newest version, step by step, and goes on where it was interrupted.
#pragma once

#include <string>
#include <vector>

#include "schema/apply_session.h"
#include "schema/status.h"
#include "schema/versions.h"

namespace pgsteward {

struct ApplyReport {
  int versions = 0;     // applied, or recorded by a baseline
  int indexes = 0;      // built
  std::string reached;  // the newest version that the database has now
};

// Everything up to version `to`, the newest when it is empty. A version's files run in one
// transaction that also records it; its concurrent indexes are built afterwards. An index that an
// interrupted build left invalid is built again, also in a version that is complete.
Task<Result<ApplyReport>> ApplySchema(ApplySession& session, const SchemaComponent& component,
                                      std::string to);

// Records the versions up to `version` as applied, without running them: for a database that was
// made by hand. Refuses when it has not the tables and views of each of them.
Task<Result<ApplyReport>> BaselineSchema(ApplySession& session, const SchemaComponent& component,
                                         std::string version);

struct PlannedStep {
  std::string step;  // "1.0.0 create_tables.sql", "pgsteward 1.0.0 lease.sql"
  std::string why;   // "pending", "missing", "invalid"
  std::string sql;
};
// What ApplySchema() would do now. Changes nothing and waits for nobody.
Task<Result<std::vector<PlannedStep>>> PlanSchema(Database& db, const SchemaComponent& component,
                                                  std::string to, Duration timeout);

}  // namespace pgsteward
