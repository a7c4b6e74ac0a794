#include "schema/versions.h"

#include <array>
#include <initializer_list>
#include <regex>
#include <stdexcept>

#include "core/pg_text.h"
#include "schema/embedded.h"

namespace pgsteward {

namespace {

std::string_view FolderChecksum(std::string_view path) {
  for (const EmbeddedFolder& folder : EmbeddedFolders()) {
    if (folder.path == path) return folder.sha256;
  }
  throw std::logic_error("not embedded: " + std::string(path));
}

SchemaFile File(const std::string& folder, std::string_view name) {
  return {name, SchemaText(folder + "/" + std::string(name))};
}

constexpr std::string_view kHub = "hub";
constexpr std::string_view kSteward = "pgsteward";

SchemaVersion Version(std::string_view component, std::string_view name,
                      std::initializer_list<std::string_view> files,
                      std::optional<std::string_view> concurrent,
                      std::initializer_list<std::string_view> relations) {
  const std::string folder = (component == kHub ? "v" : "steward/v") + std::string(name);
  SchemaVersion version;
  version.name = name;
  version.label = VersionLabel(component, name);
  for (const std::string_view file : files) version.files.push_back(File(folder, file));
  if (concurrent) version.concurrent = File(folder, *concurrent);
  version.checksum = FolderChecksum(folder);
  version.relations = relations;
  return version;
}

std::vector<SchemaVersion> HubVersions() {
  return {
      Version(kHub, "1.0.0",
              {"create_tables.sql", "create_functions.sql", "create_views.sql",
               "create_triggers.sql", "create_indexes.sql", "initial_data.sql"},
              "concurrent_indexes.sql",
              {"users", "sessions", "chat_sessions", "messages", "artifacts", "tools_usage",
               "user_stats"}),
      Version(kHub, "1.1.0", {"google_drive_files.sql"}, std::nullopt, {"google_drive_files"}),
      Version(kHub, "1.2.0",
              {"messages_archive.sql", "guarded_triggers.sql", "activity_counts.sql",
               "row_level_security.sql", "email_encryption.sql"},
              "concurrent_indexes.sql", {"messages_archive", "messages_all"}),
  };
}

std::vector<SchemaVersion> StewardVersions() {
  return {
      Version(kSteward, "1.0.0", {"lease.sql", "jobs.sql", "retention.sql", "remediation.sql"},
              std::nullopt,
              {"lease", "job_state", "job_run", "retention_hold", "quarantine", "remediation_log"}),
      Version(kSteward, "1.1.0", {"backups.sql"}, std::nullopt, {"proven_backup"}),
  };
}

std::string_view TrimRight(std::string_view text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end + 1);
}

}  // namespace

std::string RelationsArray(const SchemaVersion& version) {
  return ArrayText({version.relations.begin(), version.relations.end()});
}

const SchemaComponent& HubSchema() {
  static const std::vector<SchemaVersion> versions = HubVersions();
  static const SchemaComponent hub{kHub, "public", versions};
  return hub;
}

const SchemaComponent& StewardSchema() {
  static const std::vector<SchemaVersion> versions = StewardVersions();
  static const SchemaComponent steward{kSteward, "pgsteward", versions};
  return steward;
}

std::span<const SchemaComponent* const> AllComponents() {
  static const std::array<const SchemaComponent*, 2> all = {&HubSchema(), &StewardSchema()};
  return all;
}

const SchemaComponent* FindComponent(std::string_view name) {
  for (const SchemaComponent* component : AllComponents()) {
    if (component->name == name) return component;
  }
  return nullptr;
}

std::string VersionLabel(std::string_view component, std::string_view version) {
  return (component == kHub ? "" : std::string(component) + " ") + std::string(version);
}

std::optional<std::size_t> FindVersion(const SchemaComponent& component, std::string_view name) {
  for (std::size_t i = 0; i < component.versions.size(); ++i) {
    if (component.versions[i].name == name) return i;
  }
  return std::nullopt;
}

std::string_view SchemaText(std::string_view path) {
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    if (file.path == path) return file.text;
  }
  throw std::logic_error("not embedded: " + std::string(path));
}

Result<std::vector<ConcurrentIndex>> ParseConcurrentIndexes(std::string_view sql) {
  static const std::regex form(
      R"(CREATE (?:UNIQUE )?INDEX CONCURRENTLY ([a-z_][a-z0-9_]*) ON ([a-z_][a-z0-9_]*)\s*[( ][^]*)");
  std::vector<ConcurrentIndex> indexes;
  std::string statement;
  while (!sql.empty()) {
    const auto newline = sql.find('\n');
    const std::string_view line = TrimRight(sql.substr(0, newline));
    sql.remove_prefix(newline == std::string_view::npos ? sql.size() : newline + 1);
    if (line.empty() || line.substr(0, 2) == "--") continue;
    statement += (statement.empty() ? "" : "\n") + std::string(line);
    if (statement.back() != ';') continue;
    statement.pop_back();
    std::smatch parts;
    if (!std::regex_match(statement, parts, form)) {
      return Error(Errc::kQueryFailed,
                   "not a CREATE INDEX CONCURRENTLY name ON table: " + statement);
    }
    indexes.push_back({parts[1], parts[2], statement});
    statement.clear();
  }
  if (!statement.empty()) {
    return Error(Errc::kQueryFailed, "no semicolon at the end of: " + statement);
  }
  return indexes;
}

std::vector<ConcurrentIndex> ConcurrentIndexes(const SchemaVersion& version) {
  if (!version.concurrent) return {};
  return ParseConcurrentIndexes(version.concurrent->sql).value();
}

}  // namespace pgsteward
