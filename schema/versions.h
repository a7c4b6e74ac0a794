// The table of versions: what the hub's database and pgsteward's own tables are made of, in order.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pgsteward {

struct SchemaFile {
  std::string_view name;  // "create_tables.sql"
  std::string_view sql;
};

struct SchemaVersion {
  std::string_view name;  // "1.0.0"
  std::string label;      // VersionLabel()
  // Run in this order, in one transaction.
  std::vector<SchemaFile> files;
  // CREATE INDEX CONCURRENTLY statements, run one by one after the transaction.
  std::optional<SchemaFile> concurrent;
  std::string_view checksum;
  // Tables and views in the component's schema that a database has which has this version.
  std::vector<std::string_view> relations;
};

// version.relations as PostgreSQL reads an array: "{users,sessions}".
std::string RelationsArray(const SchemaVersion& version);

// What is versioned together. Versions are recorded by component.
struct SchemaComponent {
  std::string_view name;
  std::string_view schema;                  // of its relations
  std::span<const SchemaVersion> versions;  // the oldest first
};
const SchemaComponent& HubSchema();      // "hub", in public
const SchemaComponent& StewardSchema();  // "pgsteward": the daemon's own tables, needs no hub

// In the order in which they are applied.
std::span<const SchemaComponent* const> AllComponents();
// nullptr when there is none of that name.
const SchemaComponent* FindComponent(std::string_view name);

// What a person reads: "1.0.0" of the hub, "pgsteward 1.0.0" of another component.
std::string VersionLabel(std::string_view component, std::string_view version);

// Position in component.versions; empty when there is no such version.
std::optional<std::size_t> FindVersion(const SchemaComponent& component, std::string_view name);

// The embedded text of "catalog.sql"; a file that is not embedded is a bug and throws.
std::string_view SchemaText(std::string_view path);

struct ConcurrentIndex {
  std::string name;
  std::string table;
  std::string sql;  // without the semicolon
};
// Takes a concurrent_indexes.sql apart: comments on lines of their own, statements that end with a
// semicolon at the end of a line.
Result<std::vector<ConcurrentIndex>> ParseConcurrentIndexes(std::string_view sql);
// Those of a version, none when it has no such file.
std::vector<ConcurrentIndex> ConcurrentIndexes(const SchemaVersion& version);

}  // namespace pgsteward
