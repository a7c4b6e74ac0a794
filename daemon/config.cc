#include "daemon/config.h"

#include <algorithm>

#include "collectors/registry.h"
#include "core/duration.h"
#include "core/pg_conninfo.h"
#include "daemon/config_jobs.h"
#include "daemon/config_values.h"

namespace pgsteward {

namespace {

std::string CollectorLine(const Config& config, const CollectorSpec& spec) {
  std::string line = "  " + std::string(spec.name) + ": {";
  line += EnabledIn(config, spec) ? "enabled: true" : "enabled: false";
  line += ", interval: " + FormatDuration(IntervalOf(config, spec));
  line += ", timeout: " + FormatDuration(TimeoutOf(config, spec));
  if (spec.name == "long_running") {
    line += ", threshold: " + FormatDuration(config.options.long_query_threshold);
  }
  if (spec.name == "tool_uses") line += ", top: " + std::to_string(config.options.tool_uses_top);
  return line + "}\n";
}

const CollectorConfig* FindConfig(const Config& config, const CollectorSpec& spec) {
  const auto found = config.collectors.find(spec.name);
  return found == config.collectors.end() ? nullptr : &found->second;
}

}  // namespace

std::string ConfigProblem::ToText() const {
  std::string text = file;
  if (line > 0) text += ":" + std::to_string(line) + ":" + std::to_string(column);
  return text + ": " + message;
}

std::string PrintConfig(const Config& config) {
  std::string text = "servers:\n";
  for (const ServerConfig& server : config.servers) {
    text += "  - name: " + Quoted(server.name) + "\n";
    text += "    conninfo: " + Quoted(MaskPasswords(server.conninfo)) + "\n";
    text += "    password_file: " + Quoted(server.password_file) + "\n";
    text += "    databases: " + QuotedList(server.databases) + "\n";
    text += "    connect_timeout: " + FormatDuration(server.connect_timeout) + "\n";
    text += "    jobs_conninfo: " + Quoted(MaskPasswords(server.jobs_conninfo)) + "\n";
    text += "    jobs_password_file: " + Quoted(server.jobs_password_file) + "\n";
  }
  text += "web:\n";
  text += "  listen_address: " + Quoted(config.web.listen_address) + "\n";
  text += "  max_connections: " + std::to_string(config.web.max_connections) + "\n";
  text += "log:\n";
  text += "  level: " + std::string(LogLevelName(config.log.level)) + "\n";
  text += "  format: ";
  text += config.log.format == LogFormat::kJson ? "json\n" : "logfmt\n";
  text += "time_zone: " + Quoted(config.options.time_zone) + "\n";
  text += "stale_after_intervals: " + std::to_string(config.stale_after_intervals) + "\n";
  text += "collectors:\n";
  for (const CollectorSpec* spec : AllCollectors()) text += CollectorLine(config, *spec);
  text += PrintJobs(config, SecretText::kMasked);
  return text;
}

std::chrono::seconds IntervalOf(const Config& config, const CollectorSpec& spec) {
  const CollectorConfig* own = FindConfig(config, spec);
  return own ? own->interval.value_or(spec.interval) : spec.interval;
}

std::chrono::seconds TimeoutOf(const Config& config, const CollectorSpec& spec) {
  const CollectorConfig* own = FindConfig(config, spec);
  // Who shortens the interval need not know the default timeout.
  const auto fitting = std::min(spec.timeout, IntervalOf(config, spec));
  return own ? own->timeout.value_or(fitting) : fitting;
}

bool EnabledIn(const Config& config, const CollectorSpec& spec) {
  const CollectorConfig* own = FindConfig(config, spec);
  return !own || own->enabled.value_or(true);
}

}  // namespace pgsteward
