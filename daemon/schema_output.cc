#include "daemon/schema_output.h"

#include "core/json.h"
#include "core/terminal_text.h"
#include "daemon/text_table.h"

namespace pgsteward {

namespace {

std::string AsJson(std::string_view text) { return JsonQuoted(text); }

std::string JsonOrNull(const std::string& text) { return text.empty() ? "null" : AsJson(text); }

// A member per line; `items` are complete JSON values.
std::string JsonArray(const std::vector<std::string>& items, const std::string& indent) {
  if (items.empty()) return "[]";
  std::string json = "[";
  for (const std::string& item : items) {
    json += (json.size() > 1 ? ",\n" : "\n") + indent + "  " + item;
  }
  return json + "\n" + indent + "]";
}

std::string AsJson(const SchemaDifference& difference) {
  return "{\"kind\": " + AsJson(difference.kind) + ", \"name\": " + AsJson(difference.name) +
         ", \"drift\": " + AsJson(DriftName(difference.drift)) +
         ", \"expected\": " + JsonOrNull(difference.expected) +
         ", \"found\": " + JsonOrNull(difference.found) + "}";
}

std::string AsJson(const std::string& component, const VersionStatus& version) {
  return "{\"component\": " + AsJson(component) + ", \"version\": " + AsJson(version.version) +
         ", \"state\": " + AsJson(VersionStateName(version.state)) +
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
  for (const T& value : values) items.push_back(AsJson(value));
  return items;
}

// What a person should know of it, a line each.
std::string Remarks(const std::string& label, const VersionStatus& version) {
  std::string text;
  if (version.state == VersionState::kIncomplete) {
    text += label + ": index builds are outstanding; go on with: pgsteward schema apply\n";
  }
  if (version.state == VersionState::kUnknown) {
    text += "warning: " + label + " was applied by a newer pgsteward\n";
  }
  if (version.changed) {
    text += "warning: " + label +
            " was applied with other SQL than this pgsteward has; compare with: pgsteward schema "
            "check\n";
  }
  return text;
}

std::string Absent(const std::string& component) {
  if (component == HubSchema().name) {
    return "this database has no hub schema; create it with: pgsteward schema apply\n";
  }
  return "this database has no tables of pgsteward's own; create them with: pgsteward schema apply "
         "--component " +
         component + "\n";
}

std::string DifferenceLines(const std::vector<SchemaDifference>& differences) {
  if (differences.empty()) return "";
  std::vector<TableRow> rows;
  for (const SchemaDifference& difference : differences) {
    rows.push_back(
        {difference.kind, HarmlessLine(difference.name), std::string(DriftName(difference.drift))});
  }
  // The definitions are too long for columns: below their object.
  const std::string heads = AlignedTable(rows);
  std::string text;
  std::size_t begin = 0;
  for (const SchemaDifference& difference : differences) {
    const std::size_t end = heads.find('\n', begin) + 1;
    text += heads.substr(begin, end - begin);
    begin = end;
    if (!difference.expected.empty())
      text += "    expected  " + HarmlessLine(difference.expected) + "\n";
    if (!difference.found.empty()) text += "    found     " + HarmlessLine(difference.found) + "\n";
  }
  return text;
}

}  // namespace

std::string Counted(std::size_t count, const std::string& noun) {
  const std::string plural = noun.back() == 'x' ? "es" : "s";
  return std::to_string(count) + " " + noun + (count == 1 ? "" : plural);
}

std::string StatusTable(const std::vector<SchemaStatus>& components) {
  std::vector<TableRow> rows = {
      {"COMPONENT", "VERSION", "STATE", "STARTED", "COMPLETED", "BY", "WITH"}};
  std::string remarks;
  for (const SchemaStatus& status : components) {
    for (const VersionStatus& version : status.versions) {
      rows.push_back({status.component, HarmlessLine(version.version),
                      std::string(VersionStateName(version.state)), version.started_at,
                      version.completed_at, HarmlessLine(version.applied_by),
                      HarmlessLine(version.daemon_version)});
      remarks += Remarks(HarmlessLine(VersionLabel(status.component, version.version)), version);
    }
  }
  return AlignedTable(rows) + remarks;
}

std::string StatusJson(const std::vector<SchemaStatus>& components) {
  std::vector<std::string> items;
  for (const SchemaStatus& status : components) {
    for (const VersionStatus& version : status.versions) {
      items.push_back(AsJson(status.component, version));
    }
  }
  return "{\n  \"versions\": " + JsonArray(items, "  ") + "\n}\n";
}

std::string CheckTable(const std::vector<SchemaCheck>& components) {
  std::string text;
  bool present = false;
  std::vector<std::string> pending;
  std::vector<SchemaDifference> differences;
  std::string notes;
  for (const SchemaCheck& check : components) {
    if (!check.present) {
      // Each of its objects is missing, which is nothing that anybody wants to read.
      text += Absent(check.component);
      continue;
    }
    present = true;
    for (const std::string& version : check.pending) {
      pending.push_back(VersionLabel(check.component, version));
    }
    differences.insert(differences.end(), check.differences.begin(), check.differences.end());
    for (const SchemaDifference& known : check.information) {
      notes += "note: " + known.kind + " " + known.name + " is not ours, which is allowed\n";
    }
  }
  if (!present) return text;
  if (!pending.empty()) text += "pending versions: " + Joined(pending) + "\n";
  text += DifferenceLines(differences) + notes;
  const std::size_t count = differences.size();
  return text + (count == 0 ? "no differences" : Counted(count, "difference")) + "\n";
}

std::string CheckJson(const std::vector<SchemaCheck>& components) {
  std::vector<std::string> items;
  for (const SchemaCheck& check : components) {
    items.push_back(
        "{\n      \"component\": " + AsJson(check.component) +
        ",\n      \"present\": " + (check.present ? "true" : "false") +
        ",\n      \"pending\": " + JsonArray(JsonItems(check.pending), "      ") +
        ",\n      \"differences\": " + JsonArray(JsonItems(check.differences), "      ") +
        ",\n      \"information\": " + JsonArray(JsonItems(check.information), "      ") +
        "\n    }");
  }
  return "{\n  \"components\": " + JsonArray(items, "  ") + "\n}\n";
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
