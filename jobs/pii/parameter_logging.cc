#include "jobs/pii/parameter_logging.h"

#include <algorithm>
#include <array>

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);
constexpr int kVersionWithParameterPrivileges = 150'000;

// MAY is put in: has_parameter_privilege() came with PostgreSQL 15.
constexpr std::string_view kSettingsSql = R"sql(
SELECT name, setting, context = 'user' OR current_setting('is_superuser') = 'on' OR MAY
FROM pg_settings
WHERE name IN ('log_parameter_max_length', 'log_parameter_max_length_on_error', 'log_statement',
               'log_min_duration_statement', 'log_min_duration_sample',
               'log_transaction_sample_rate', 'debug_print_plan', 'auto_explain.log_min_duration',
               'pgaudit.log_parameter')
ORDER BY name COLLATE "C"
)sql";

// What makes the server log statements at all, and with which value it does not.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kStatementLogs = {{
    {"log_min_duration_sample", "-1"},
    {"log_min_duration_statement", "-1"},
    {"log_statement", "none"},
    {"log_transaction_sample_rate", "0"},
}};

// What logs parameters, or plans in which they stand as constants, and the value that stops it.
// The first one only does for statements that are logged.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kParameterLogs = {{
    {"log_parameter_max_length", "0"},
    {"log_parameter_max_length_on_error", "0"},
    {"debug_print_plan", "off"},
    {"auto_explain.log_min_duration", "-1"},
    {"pgaudit.log_parameter", "off"},
}};

const LogSetting* Find(std::span<const LogSetting> settings, std::string_view name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const LogSetting& each) { return each.name == name; });
  return found == settings.end() ? nullptr : &*found;
}

std::string LoggedStatements(std::span<const LogSetting> settings) {
  std::string text;
  for (const auto& [name, quiet] : kStatementLogs) {
    const LogSetting* setting = Find(settings, name);
    if (!setting || setting->value == quiet) continue;
    text += (text.empty() ? "" : ", ") + setting->name + " = " + setting->value;
  }
  return text;
}

}  // namespace

Silencing SilenceParameters(std::span<const LogSetting> settings) {
  Silencing silencing;
  for (const auto& [name, quiet] : kParameterLogs) {
    const LogSetting* setting = Find(settings, name);
    if (!setting || setting->value == quiet) continue;
    if (setting->may_set) {
      silencing.local.emplace_back(name, quiet);
      continue;
    }
    std::string leak = setting->name + " = " + setting->value;
    if (name == "log_parameter_max_length") {
      const std::string statements = LoggedStatements(settings);
      if (statements.empty()) continue;
      leak += " with " + statements;
    }
    silencing.leak += (silencing.leak.empty() ? "" : "; ") + leak;
  }
  return silencing;
}

Task<Result<std::vector<LogSetting>>> ReadLogSettings(Database& db) {
  std::string sql(kSettingsSql);
  const bool privileges = db.server_version() >= kVersionWithParameterPrivileges;
  constexpr std::string_view kWord = "MAY";
  sql.replace(sql.find(kWord), kWord.size(),
              privileges ? "has_parameter_privilege(name, 'SET')" : "false");
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<LogSetting> settings;
  for (int row = 0; row < rows->rows(); ++row) {
    LogSetting setting;
    setting.name = rows->Text(row, 0);
    setting.value = rows->Text(row, 1);
    setting.may_set = rows->Bool(row, 2);
    settings.push_back(std::move(setting));
  }
  co_return settings;
}

}  // namespace pgsteward
