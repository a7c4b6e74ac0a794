#include "daemon/schema_output.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/metrics.h"
#include "core/terminal_text.h"
#include "core/utf8.h"

namespace pgsteward {

namespace {

using Row = std::vector<std::string>;

// Columns as wide as they need to be, no spaces at the end of a line.
std::string Aligned(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string Json(std::string_view text) {
  std::string json = "\"";
  for (const char c : ValidUtf8(text)) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      json += escape.data();
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string JsonOrNull(const std::string& text) { return text.empty() ? "null" : Json(text); }

// A member per line; `items` are complete JSON values.
std::string JsonArray(const std::vector<std::string>& items, const std::string& indent) {
  if (items.empty()) return "[]";
  std::string json = "[";
  for (const std::string& item : items) {
    json += (json.size() > 1 ? ",\n" : "\n") + indent + "  " + item;
  }
  return json + "\n" + indent + "]";
}

std::string Json(const SchemaDifference& difference) {
  return "{\"kind\": " + Json(difference.kind) + ", \"name\": " + Json(difference.name) +
         ", \"drift\": " + Json(DriftName(difference.drift)) +
         ", \"expected\": " + JsonOrNull(difference.expected) +
         ", \"found\": " + JsonOrNull(difference.found) + "}";
}

std::string Json(const VersionStatus& version) {
  return "{\"version\": " + Json(version.version) +
         ", \"state\": " + Json(VersionStateName(version.state)) +
         ", \"started_at\": " + JsonOrNull(version.started_at) +
         ", \"completed_at\": " + JsonOrNull(version.completed_at) +
         ", \"applied_by\": " + JsonOrNull(version.applied_by) +
         ", \"daemon_version\": " + JsonOrNull(version.daemon_version) +
         ", \"changed\": " + (version.changed ? "true" : "false") + "}";
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

template <class T>
std::vector<std::string> JsonItems(const std::vector<T>& values) {
  std::vector<std::string> items;
  for (const T& value : values) items.push_back(Json(value));
  return items;
}

}  // namespace

std::string Counted(std::size_t count, const std::string& noun) {
  const std::string plural = noun.back() == 'x' ? "es" : "s";
  return std::to_string(count) + " " + noun + (count == 1 ? "" : plural);
}

std::string StatusTable(const SchemaStatus& status) {
  std::vector<Row> rows = {{"VERSION", "STATE", "STARTED", "COMPLETED", "BY", "WITH"}};
  for (const VersionStatus& version : status.versions) {
    rows.push_back({HarmlessLine(version.version), std::string(VersionStateName(version.state)),
                    version.started_at, version.completed_at, HarmlessLine(version.applied_by),
                    HarmlessLine(version.daemon_version)});
  }
  std::string text = Aligned(rows);
  for (const VersionStatus& version : status.versions) {
    if (version.state == VersionState::kIncomplete) {
      text += version.version +
              ": index builds are outstanding; go on with: pgsteward schema "
              "apply\n";
    }
    if (version.state == VersionState::kUnknown) {
      text += "warning: " + version.version + " was applied by a newer pgsteward\n";
    }
    if (version.changed) {
      text += "warning: " + version.version +
              " was applied with other SQL than this pgsteward has; compare with: pgsteward "
              "schema check\n";
    }
  }
  return text;
}

std::string StatusJson(const SchemaStatus& status) {
  return "{\n  \"versions\": " + JsonArray(JsonItems(status.versions), "  ") + "\n}\n";
}

std::string CheckTable(const SchemaCheck& check) {
  if (!check.present) {
    return "this database has no hub schema; create it with: pgsteward schema apply\n";
  }
  std::string text;
  if (!check.pending.empty()) text += "pending versions: " + Joined(check.pending) + "\n";
  std::vector<Row> rows;
  for (const SchemaDifference& difference : check.differences) {
    rows.push_back(
        {difference.kind, HarmlessLine(difference.name), std::string(DriftName(difference.drift))});
  }
  // The definitions are too long for columns: below their object.
  const std::string heads = rows.empty() ? "" : Aligned(rows);
  std::size_t begin = 0;
  for (const SchemaDifference& difference : check.differences) {
    const std::size_t end = heads.find('\n', begin) + 1;
    text += heads.substr(begin, end - begin);
    begin = end;
    if (!difference.expected.empty())
      text += "    expected  " + HarmlessLine(difference.expected) + "\n";
    if (!difference.found.empty()) text += "    found     " + HarmlessLine(difference.found) + "\n";
  }
  for (const SchemaDifference& known : check.information) {
    text += "note: " + known.kind + " " + known.name + " is not ours, which is allowed\n";
  }
  const std::size_t count = check.differences.size();
  return text + (count == 0 ? "no differences" : Counted(count, "difference")) + "\n";
}

std::string CheckJson(const SchemaCheck& check) {
  return "{\n  \"present\": " + std::string(check.present ? "true" : "false") +
         ",\n  \"pending\": " + JsonArray(JsonItems(check.pending), "  ") +
         ",\n  \"differences\": " + JsonArray(JsonItems(check.differences), "  ") +
         ",\n  \"information\": " + JsonArray(JsonItems(check.information), "  ") + "\n}\n";
}

std::string PlanText(const std::vector<PlannedStep>& steps, bool sql) {
  if (steps.empty()) return "-- nothing to do\n";
  std::string text;
  for (const PlannedStep& step : steps) {
    text += "-- " + step.step + " (" + step.why + ")\n";
    if (sql) text += step.sql + "\n";
  }
  return text;
}

}  // namespace pgsteward
