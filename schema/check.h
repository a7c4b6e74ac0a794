// Compares a live database with what the versions declare: catalog.sql against catalog.tsv.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/pg_session.h"
#include "schema/versions.h"

namespace pgsteward {

// One row of catalog.sql.
struct SchemaObject {
  std::string kind;  // "column", "index", ...
  std::string name;  // "users.email"
  std::string definition;
};

// Every kind that catalog.sql lists, in alphabetical order.
std::span<const std::string_view> SchemaKinds();

// The component's rows of catalog.tsv.
std::vector<SchemaObject> DeclaredObjects(const SchemaComponent& component);
// Text format of COPY with three columns; a line that has not three is an error.
Result<std::vector<SchemaObject>> ParseCatalog(std::string_view tsv);

enum class Drift { kMissing, kUnexpected, kDiffers };
std::string_view DriftName(Drift drift);  // "missing"

struct SchemaDifference {
  std::string kind;
  std::string name;
  Drift drift = Drift::kDiffers;
  std::string expected;  // empty when unexpected
  std::string found;     // empty when missing
};

// Sorted by kind and name, as both inputs need not be.
std::vector<SchemaDifference> CompareObjects(std::vector<SchemaObject> declared,
                                             std::vector<SchemaObject> found);

struct SchemaCheck {
  std::string component;
  bool present = false;                       // the database has it at all (SchemaStatus)
  std::vector<std::string> pending;           // versions that are not, or not wholly, applied
  std::vector<SchemaDifference> differences;  // what counts
  std::vector<SchemaDifference> information;  // what is allowed to differ: an auth.uid() not ours
};

Task<Result<SchemaCheck>> CheckSchema(Database& db, const SchemaComponent& component,
                                      Duration timeout);

}  // namespace pgsteward
