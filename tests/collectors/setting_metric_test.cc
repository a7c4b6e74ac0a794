#include "collectors/setting_metric.h"

#include <gtest/gtest.h>

#include <vector>

namespace pgsteward {
namespace {

struct Case {
  std::string_view name, vartype, unit, setting;
  std::string_view metric;  // empty: no metric
  double value;
};

class SettingRule : public ::testing::TestWithParam<Case> {};

TEST_P(SettingRule, GivesNameAndBaseUnit) {
  const Case& c = GetParam();
  const auto metric = MetricOfSetting(c.name, c.vartype, c.unit, c.setting);
  if (c.metric.empty()) {
    EXPECT_FALSE(metric.has_value());
    return;
  }
  ASSERT_TRUE(metric.has_value());
  EXPECT_EQ(metric->name, c.metric);
  EXPECT_DOUBLE_EQ(metric->value, c.value);
}

INSTANTIATE_TEST_SUITE_P(
    Table, SettingRule,
    ::testing::Values(
        Case{"autovacuum", "bool", "", "on", "pg_settings_autovacuum", 1},
        Case{"autovacuum", "bool", "", "off", "pg_settings_autovacuum", 0},
        Case{"max_connections", "integer", "", "100", "pg_settings_max_connections", 100},
        Case{"seq_page_cost", "real", "", "1.1", "pg_settings_seq_page_cost", 1.1},
        Case{"shared_buffers", "integer", "8kB", "16384", "pg_settings_shared_buffers_bytes",
             134217728},
        Case{"work_mem", "integer", "kB", "4096", "pg_settings_work_mem_bytes", 4194304},
        Case{"max_wal_size", "integer", "MB", "1024", "pg_settings_max_wal_size_bytes", 1073741824},
        Case{"wal_segment_size", "integer", "B", "16777216", "pg_settings_wal_segment_size_bytes",
             16777216},
        Case{"x.huge", "integer", "16MB", "2", "pg_settings_x_huge_bytes", 33554432},
        Case{"x.giga", "integer", "GB", "2", "pg_settings_x_giga_bytes", 2147483648},
        Case{"x.tera", "integer", "TB", "1", "pg_settings_x_tera_bytes", 1099511627776},
        Case{"deadlock_timeout", "integer", "ms", "1000", "pg_settings_deadlock_timeout_seconds",
             1},
        Case{"vacuum_cost_delay", "real", "ms", "0.5", "pg_settings_vacuum_cost_delay_seconds",
             0.0005},
        Case{"checkpoint_timeout", "integer", "s", "300", "pg_settings_checkpoint_timeout_seconds",
             300},
        Case{"log_rotation_age", "integer", "min", "1440", "pg_settings_log_rotation_age_seconds",
             86400},
        Case{"x.hours", "integer", "h", "2", "pg_settings_x_hours_seconds", 7200},
        Case{"x.days", "integer", "d", "2", "pg_settings_x_days_seconds", 172800},
        // -1 is no amount, in no unit.
        Case{"autovacuum_work_mem", "integer", "kB", "-1", "pg_settings_autovacuum_work_mem_bytes",
             -1},
        Case{"log_min_duration_statement", "integer", "ms", "-1",
             "pg_settings_log_min_duration_statement_seconds", -1},
        Case{"max_slot_wal_keep_size", "integer", "MB", "-1",
             "pg_settings_max_slot_wal_keep_size_bytes", -1},
        Case{"x.minus_two", "integer", "kB", "-2", "pg_settings_x_minus_two_bytes", -2048},
        // Characters that metric names may not have.
        Case{"pg_stat_statements.max", "integer", "", "5000", "pg_settings_pg_stat_statements_max",
             5000},
        Case{"ext.with-dash", "integer", "", "1", "pg_settings_ext_with_dash", 1},
        Case{"ext.odd$name", "bool", "", "on", "pg_settings_ext_odd_name", 1},
        Case{"DateStyle", "string", "", "ISO, MDY", "", 0},
        Case{"wal_level", "enum", "", "replica", "", 0},
        Case{"ext.furlongs", "integer", "furlong", "3", "", 0},
        Case{"ext.number_only", "integer", "8", "3", "", 0},
        Case{"ext.absurd", "integer", "99999999999kB", "3", "", 0},
        Case{"ext.not_a_number", "integer", "", "three", "", 0},
        Case{"ext.trailing", "integer", "", "3 kB", "", 0}));

}  // namespace
}  // namespace pgsteward
