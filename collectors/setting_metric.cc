#include "collectors/setting_metric.h"

#include <charconv>

namespace pgsteward {

namespace {

struct Unit {
  std::string_view name;
  double factor;
  std::string_view suffix;
};

constexpr Unit kUnits[] = {
    {"ms", 0.001, "_seconds"},       {"s", 1, "_seconds"},      {"min", 60, "_seconds"},
    {"h", 3600, "_seconds"},         {"d", 86400, "_seconds"},  {"B", 1, "_bytes"},
    {"kB", 1024, "_bytes"},          {"MB", 1048576, "_bytes"}, {"GB", 1073741824, "_bytes"},
    {"TB", 1099511627776, "_bytes"},
};

std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "8kB" is a unit too: the setting counts blocks.
std::optional<Unit> ParseUnit(std::string_view text) {
  int times = 1;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), times);
  if (failed == std::errc::result_out_of_range) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  for (const Unit& unit : kUnits) {
    if (unit.name == text) return Unit{unit.name, unit.factor * times, unit.suffix};
  }
  return std::nullopt;
}

std::string MetricName(std::string_view setting) {
  std::string name = "pg_settings_";
  for (const char c : setting) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    name += allowed ? c : '_';
  }
  return name;
}

}  // namespace

std::optional<SettingMetric> MetricOfSetting(std::string_view name, std::string_view vartype,
                                             std::string_view unit, std::string_view setting) {
  SettingMetric metric{MetricName(name), 0};
  if (vartype == "bool") {
    metric.value = setting == "on" ? 1 : 0;
    return metric;
  }
  if (vartype != "integer" && vartype != "real") return std::nullopt;
  const auto value = ParseNumber(setting);
  if (!value) return std::nullopt;
  metric.value = *value;
  if (unit.empty()) return metric;
  const auto known = ParseUnit(unit);
  if (!known) return std::nullopt;
  metric.name += known->suffix;
  // -1 means "off" or "as another setting says", in every unit.
  if (*value != -1) metric.value *= known->factor;
  return metric;
}

}  // namespace pgsteward
