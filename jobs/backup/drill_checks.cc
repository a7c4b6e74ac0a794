#include "jobs/backup/drill_checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "schema/status.h"

namespace pgsteward {

namespace {

constexpr Duration kReadTimeout = std::chrono::minutes(2);
constexpr Duration kCountTimeout = std::chrono::hours(12);
constexpr std::size_t kNamed = 20;  // of each kind; who has more problems knows enough

constexpr std::string_view kTablesSql = R"sql(
SELECT n.nspname, c.relname, format('SELECT count(*) FROM ONLY %I.%I', n.nspname, c.relname),
       EXISTS (SELECT FROM pg_depend AS d
               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1, 2
)sql";

constexpr std::string_view kConstraintsSql = R"sql(
SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname)
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT k.convalidated AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1
)sql";

// The index of a partitioned table is dumped as it is, valid or not.
constexpr std::string_view kIndexesSql = R"sql(
SELECT format('%s.%s', n.nspname, c.relname)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive)
ORDER BY 1
)sql";

constexpr std::string_view kExtensionsSql =
    "SELECT extname, extversion FROM pg_extension ORDER BY extname";

using TableName = std::pair<std::string, std::string>;

std::string Dotted(const TableName& table) { return table.first + "." + table.second; }

void NoteProblems(const std::string& what, const std::vector<std::string>& names,
                  std::vector<std::string>& problems) {
  for (std::size_t i = 0; i < names.size() && i < kNamed; ++i) problems.push_back(what + names[i]);
  if (names.size() > kNamed) {
    problems.push_back(what + std::to_string(names.size() - kNamed) + " more");
  }
}

bool SameDifference(const SchemaDifference& a, const SchemaDifference& b) {
  return a.kind == b.kind && a.name == b.name && a.drift == b.drift && a.found == b.found;
}

}  // namespace

Task<Result<void>> CheckRows(Database& db, const BackupDatabase& expected,
                             std::function<bool()> stopped, DrillChecks& checks) {
  std::map<TableName, long long> wanted;
  for (const BackupTable& table : expected.tables) {
    wanted.emplace(TableName(table.schema, table.name), table.rows);
  }
  auto tables = co_await db.Query(std::string(kTablesSql), {}, kReadTimeout);
  if (!tables) co_return tables.error();
  std::vector<std::string> missing;
  std::vector<std::string> strangers;
  std::vector<std::string> different;
  std::set<TableName> found;
  for (int row = 0; row < tables->rows(); ++row) {
    const TableName name(tables->Text(row, 0), tables->Text(row, 1));
    const auto rows = wanted.find(name);
    found.insert(name);
    if (rows == wanted.end()) {
      // An extension's own tables are made by it, with whatever version is installed here.
      if (!tables->Bool(row, 3)) strangers.push_back(Dotted(name));
      continue;
    }
    if (stopped()) co_return Error(Errc::kTimeout, "stopped");
    std::string sql(tables->Text(row, 2));
    auto counted = co_await db.Query(std::move(sql), {}, kCountTimeout);
    if (!counted) co_return counted.error();
    const long long count = counted->Integer(0, 0).value_or(-1);
    ++checks.tables;
    checks.rows += count;
    if (count != rows->second) {
      different.push_back(Dotted(name) + ": " + std::to_string(count) + " instead of " +
                          std::to_string(rows->second));
    }
  }
  for (const auto& [name, rows] : wanted) {
    if (!found.contains(name)) missing.push_back(Dotted(name));
  }
  NoteProblems("rows of ", different, checks.problems);
  NoteProblems("missing table ", missing, checks.problems);
  NoteProblems("table that was not counted: ", strangers, checks.problems);
  co_return Result<void>();
}

namespace {

Task<Result<std::vector<std::string>>> Names(Database& db, std::string_view sql) {
  std::string text(sql);
  auto rows = co_await db.Query(std::move(text), {}, kReadTimeout);
  if (!rows) co_return rows.error();
  std::vector<std::string> names;
  for (int row = 0; row < rows->rows(); ++row) names.emplace_back(rows->Text(row, 0));
  co_return names;
}

}  // namespace

Task<Result<void>> CheckObjects(Database& db, const BackupDatabase& expected, DrillChecks& checks) {
  auto constraints = co_await Names(db, kConstraintsSql);
  if (!constraints) co_return constraints.error();
  // One that was not valid is dumped as NOT VALID; every other one was checked as it was made.
  const auto& before = expected.unvalidated_constraints;
  std::erase_if(*constraints, [&before](const std::string& name) {
    return std::find(before.begin(), before.end(), name) != before.end();
  });
  NoteProblems("constraint that is not valid any more: ", *constraints, checks.problems);
  auto indexes = co_await Names(db, kIndexesSql);
  if (!indexes) co_return indexes.error();
  NoteProblems("invalid index ", *indexes, checks.problems);

  auto extensions = co_await db.Query(std::string(kExtensionsSql), {}, kReadTimeout);
  if (!extensions) co_return extensions.error();
  std::map<std::string, std::string> installed;
  for (int row = 0; row < extensions->rows(); ++row) {
    installed.emplace(extensions->Text(row, 0), extensions->Text(row, 1));
  }
  std::vector<std::string> missing;
  for (const NamedText& extension : expected.extensions) {
    const auto found = installed.find(extension.name);
    if (found == installed.end()) {
      missing.push_back(extension.name);
    } else if (found->second != extension.text) {
      // A dump says CREATE EXTENSION without a version.
      checks.notes.push_back("extension " + extension.name + " is " + found->second +
                             " here and was " + extension.text);
    }
  }
  NoteProblems("missing extension ", missing, checks.problems);
  co_return Result<void>();
}

std::vector<std::string> NewDifferences(const SchemaCheck& restored, const SchemaCheck* live,
                                        const std::vector<std::string>& invalid_indexes) {
  std::vector<std::string> texts;
  for (const SchemaDifference& difference : restored.differences) {
    const bool known = live && std::any_of(live->differences.begin(), live->differences.end(),
                                           [&](const SchemaDifference& each) {
                                             return SameDifference(each, difference);
                                           });
    // No dump holds an index that is not valid.
    const std::string index = "public." + difference.name.substr(difference.name.rfind('.') + 1);
    const bool lost =
        difference.kind == "index" && difference.drift == Drift::kMissing &&
        std::find(invalid_indexes.begin(), invalid_indexes.end(), index) != invalid_indexes.end();
    if (known || lost) continue;
    texts.push_back(std::string(DriftName(difference.drift)) + " " + difference.kind + " " +
                    difference.name);
  }
  return texts;
}

Task<Result<void>> CheckHub(Database& db, Database* live, const BackupDatabase& expected,
                            DrillChecks& checks) {
  auto status = co_await ReadStatus(db, HubSchema(), kReadTimeout);
  if (!status) co_return status.error();
  bool recorded = false;
  for (const VersionStatus& version : status->versions) {
    recorded = recorded || version.state != VersionState::kPending;
  }
  if (!recorded) co_return Result<void>();
  auto restored = co_await CheckSchema(db, HubSchema(), kReadTimeout);
  if (!restored) co_return restored.error();
  SchemaCheck before;
  const SchemaCheck* known = nullptr;
  if (!restored->differences.empty() && live) {
    auto checked = co_await CheckSchema(*live, HubSchema(), kReadTimeout);
    if (checked) before = std::move(*checked);
    if (checked) known = &before;
  }
  const auto texts = NewDifferences(*restored, known, expected.invalid_indexes);
  NoteProblems("schema check: ", texts, checks.problems);
  const std::size_t old = restored->differences.size() - texts.size();
  if (old > 0) {
    checks.notes.push_back(std::to_string(old) +
                           " differences of the schema that the live database has too");
  }
  co_return Result<void>();
}

}  // namespace pgsteward
