#include "jobs/backup/anomaly.h"

#include <algorithm>
#include <map>

#include "core/utf8.h"

namespace pgsteward {

namespace {

constexpr std::size_t kMostNamed = 3;
// Below that a database is a few catalogs, and its size says nothing.
constexpr std::uint64_t kLeastBytes = std::uint64_t{1} << 20;

using TableKey = std::pair<std::string, std::string>;  // database, "schema.table"

struct Fall {
  std::string what;
  double before = 0;
  double after = 0;
  double Part() const { return 1 - after / before; }
};

std::map<TableKey, const BackupTable*> TablesOf(const Manifest& manifest) {
  std::map<TableKey, const BackupTable*> tables;
  for (const BackupDatabase& database : manifest.databases) {
    for (const BackupTable& table : database.tables) {
      tables[{database.name, table.schema + "." + table.name}] = &table;
    }
  }
  return tables;
}

bool IsIgnored(const BackupTable& table, const AnomalyPolicy& policy) {
  const auto named = [&](const std::string& pattern) {
    return pattern == table.schema + "." + table.name || pattern == table.schema + ".*";
  };
  return std::any_of(policy.ignored.begin(), policy.ignored.end(), named);
}

std::string Printable(const std::string& name) {
  std::string line = ValidUtf8(name);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return line;
}

void CompareTables(const Manifest& previous, const Manifest& current, const AnomalyPolicy& policy,
                   std::vector<Fall>& falls) {
  const auto now = TablesOf(current);
  for (const auto& [key, table] : TablesOf(previous)) {
    if (table->rows < std::max(1LL, policy.least_rows) || IsIgnored(*table, policy)) continue;
    const auto found = now.find(key);
    const long long rows = found == now.end() ? 0 : found->second->rows;
    falls.push_back({"rows of " + Printable(key.second) + " in " + Printable(key.first),
                     static_cast<double>(table->rows), static_cast<double>(rows)});
  }
}

void CompareSizes(const Manifest& previous, const Manifest& current, std::vector<Fall>& falls) {
  std::map<std::string, std::uint64_t> now;
  for (const BackupDatabase& each : current.databases) now[each.name] = each.dump_bytes;
  for (const BackupDatabase& each : previous.databases) {
    if (each.dump_bytes < kLeastBytes) continue;
    falls.push_back({"bytes of the dump of " + Printable(each.name),
                     static_cast<double>(each.dump_bytes), static_cast<double>(now[each.name])});
  }
}

}  // namespace

std::string DetectAnomaly(const Manifest& previous, const Manifest& current,
                          const AnomalyPolicy& policy) {
  if (policy.drop <= 0) return {};
  if (!previous.system_identifier.empty() &&
      previous.system_identifier != current.system_identifier) {
    return "another cluster: system identifier " + current.system_identifier + " after " +
           previous.system_identifier + " in " + previous.id;
  }
  std::vector<Fall> falls;
  CompareTables(previous, current, policy, falls);
  CompareSizes(previous, current, falls);
  std::erase_if(falls, [&](const Fall& fall) { return fall.Part() < policy.drop; });
  std::stable_sort(falls.begin(), falls.end(),
                   [](const Fall& a, const Fall& b) { return a.Part() > b.Part(); });
  std::string text;
  for (std::size_t i = 0; i < falls.size() && i < kMostNamed; ++i) {
    text += (i > 0 ? "; " : "") + falls[i].what + ": " +
            std::to_string(static_cast<long long>(falls[i].after)) + " after " +
            std::to_string(static_cast<long long>(falls[i].before));
  }
  if (falls.size() > kMostNamed) {
    text += "; and " + std::to_string(falls.size() - kMostNamed) + " more";
  }
  return text.empty() ? text : text + " in " + previous.id;
}

}  // namespace pgsteward
