// How a server setting becomes a metric, pure: postgres_exporter's names and base units.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgsteward {

struct SettingMetric {
  std::string name;  // "pg_settings_shared_buffers_bytes"
  double value = 0;
};

// A row of pg_settings. Nothing for text and enum settings, for a unit that we do not know, and
// for a value that is not a number.
std::optional<SettingMetric> MetricOfSetting(std::string_view name, std::string_view vartype,
                                             std::string_view unit, std::string_view setting);

}  // namespace pgsteward
