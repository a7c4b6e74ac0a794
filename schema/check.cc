#include "schema/check.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "schema/status.h"

namespace pgsteward {

namespace {

constexpr auto kKinds =
    std::to_array<std::string_view>({"column", "constraint", "extension", "function", "index",
                                     "policy", "table", "trigger", "view"});

// Where a platform brings its own, 1.2.0 leaves it alone.
bool MayDiffer(const SchemaDifference& difference) {
  return difference.kind == "function" && difference.name == "auth.uid()" &&
         difference.drift == Drift::kDiffers;
}

std::string Unescape(std::string_view field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '\\' || i + 1 == field.size()) {
      text += field[i];
      continue;
    }
    const char escaped = field[++i];
    text += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
  }
  return text;
}

// catalog.sql names pgsteward's own objects with their schema.
bool Of(const SchemaComponent& component, const SchemaObject& object) {
  const bool stewards = std::string_view(object.name).starts_with("pgsteward.");
  return stewards == (&component == &StewardSchema());
}

bool Before(const SchemaObject& a, const SchemaObject& b) {
  return std::tie(a.kind, a.name) < std::tie(b.kind, b.name);
}

}  // namespace

std::span<const std::string_view> SchemaKinds() { return kKinds; }

std::string_view DriftName(Drift drift) {
  switch (drift) {
    case Drift::kMissing:
      return "missing";
    case Drift::kUnexpected:
      return "unexpected";
    case Drift::kDiffers:
      return "differs";
  }
  return "differs";
}

Result<std::vector<SchemaObject>> ParseCatalog(std::string_view tsv) {
  std::vector<SchemaObject> objects;
  while (!tsv.empty()) {
    const auto newline = tsv.find('\n');
    const std::string_view line = tsv.substr(0, newline);
    tsv.remove_prefix(newline == std::string_view::npos ? tsv.size() : newline + 1);
    const auto first = line.find('\t');
    const auto second = first == line.npos ? first : line.find('\t', first + 1);
    if (second == line.npos || line.find('\t', second + 1) != line.npos) {
      return Error(Errc::kQueryFailed, "not three columns: " + std::string(line));
    }
    objects.push_back({Unescape(line.substr(0, first)),
                       Unescape(line.substr(first + 1, second - first - 1)),
                       Unescape(line.substr(second + 1))});
  }
  return objects;
}

std::vector<SchemaObject> DeclaredObjects(const SchemaComponent& component) {
  std::vector<SchemaObject> objects = ParseCatalog(SchemaText("catalog.tsv")).value();
  std::erase_if(objects, [&](const SchemaObject& object) { return !Of(component, object); });
  return objects;
}

std::vector<SchemaDifference> CompareObjects(std::vector<SchemaObject> declared,
                                             std::vector<SchemaObject> found) {
  // By bytes, as catalog.sql sorts them too.
  std::sort(declared.begin(), declared.end(), Before);
  std::sort(found.begin(), found.end(), Before);
  std::vector<SchemaDifference> differences;
  auto ours = declared.begin();
  auto theirs = found.begin();
  while (ours != declared.end() || theirs != found.end()) {
    if (theirs == found.end() || (ours != declared.end() && Before(*ours, *theirs))) {
      differences.push_back({ours->kind, ours->name, Drift::kMissing, ours->definition, ""});
      ++ours;
    } else if (ours == declared.end() || Before(*theirs, *ours)) {
      differences.push_back(
          {theirs->kind, theirs->name, Drift::kUnexpected, "", theirs->definition});
      ++theirs;
    } else {
      if (ours->definition != theirs->definition) {
        differences.push_back(
            {ours->kind, ours->name, Drift::kDiffers, ours->definition, theirs->definition});
      }
      ++ours;
      ++theirs;
    }
  }
  return differences;
}

Task<Result<SchemaCheck>> CheckSchema(Database& db, const SchemaComponent& component,
                                      Duration timeout) {
  auto status = co_await ReadStatus(db, component, timeout);
  if (!status) co_return status.error();
  SchemaCheck check;
  check.component = component.name;
  check.present = status->present;
  check.pending = status->Outstanding();

  std::string sql(SchemaText("catalog.sql"));
  auto rows = co_await db.Query(std::move(sql), PgValues(), timeout);
  if (!rows) co_return rows.error();
  std::vector<SchemaObject> found;
  for (int row = 0; row < rows->rows(); ++row) {
    SchemaObject object{std::string(rows->Text(row, 0)), std::string(rows->Text(row, 1)),
                        std::string(rows->Text(row, 2))};
    if (Of(component, object)) found.push_back(std::move(object));
  }
  for (SchemaDifference& difference :
       CompareObjects(DeclaredObjects(component), std::move(found))) {
    auto& list = MayDiffer(difference) ? check.information : check.differences;
    list.push_back(std::move(difference));
  }
  co_return check;
}

}  // namespace pgsteward
