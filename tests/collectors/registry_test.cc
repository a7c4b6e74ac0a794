#include "collectors/registry.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/collectors/exporter_contract.h"

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Registry, NamesAreUniqueAndAlphabetical) {
  std::vector<std::string_view> names;
  for (const CollectorSpec* spec : AllCollectors()) names.push_back(spec->name);
  std::vector<std::string_view> sorted = names;
  // The underscore sorts before letters, as it does for a reader.
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(names, sorted);
  EXPECT_EQ(std::adjacent_find(sorted.begin(), sorted.end()), sorted.end());
}

TEST(Registry, FindsByName) {
  for (const CollectorSpec* spec : AllCollectors()) EXPECT_EQ(FindCollector(spec->name), spec);
  EXPECT_EQ(FindCollector("nothing"), nullptr);
  EXPECT_EQ(FindCollector(""), nullptr);
}

TEST(Registry, EverySpecIsComplete) {
  for (const CollectorSpec* spec : AllCollectors()) {
    SCOPED_TRACE(spec->name);
    EXPECT_FALSE(spec->reads.empty());
    EXPECT_GT(spec->interval.count(), 0);
    EXPECT_GT(spec->timeout.count(), 0);
    EXPECT_LE(spec->timeout, spec->interval);
    EXPECT_FALSE(MetricNames(*spec).empty());
    if (!spec->collect) {
      EXPECT_FALSE(spec->sql.empty());
      EXPECT_FALSE(spec->columns.empty());
    }
    EXPECT_TRUE(std::is_sorted(
        spec->sql.begin(), spec->sql.end(),
        [](const SqlVariant& a, const SqlVariant& b) { return a.min_version > b.min_version; }))
        << "newest variant first";
    if (!spec->sql.empty()) {
      EXPECT_LE(spec->sql.back().min_version, spec->min_version);
    }
  }
}

TEST(Registry, NamesAndHelpTextsAreValid) {
  const std::regex valid_metric("(pg|hub)_[a-z0-9_]*[a-z0-9]");
  const std::regex valid_label("[a-z][a-z0-9_]*");
  for (const CollectorSpec* spec : AllCollectors()) {
    SCOPED_TRACE(spec->name);
    for (const std::string_view name : MetricNames(*spec)) {
      if (name == "pg_settings_*") continue;  // one metric per setting of the server
      EXPECT_TRUE(std::regex_match(std::string(name), valid_metric)) << name;
    }
    std::set<std::string_view> names;
    for (const Column& column : spec->columns) {
      EXPECT_TRUE(names.insert(column.name).second) << column.name;
      EXPECT_LE(column.min_version, column.max_version);
      if (column.kind == Kind::kLabel) {
        EXPECT_TRUE(std::regex_match(std::string(column.name), valid_label)) << column.name;
        EXPECT_NE(column.name, "server");
        EXPECT_NE(column.name, "job");
        EXPECT_NE(column.name, "instance");
        EXPECT_EQ(column.metric, "");
      } else {
        EXPECT_NE(column.metric, "");
        EXPECT_GT(column.help.size(), 10U) << column.metric;
        EXPECT_EQ(column.help.substr(column.help.size() - 1), ".") << column.metric;
      }
    }
  }
}

TEST(Registry, MetricNamesAreUnique) {
  std::map<std::string_view, std::string_view> owner;
  for (const CollectorSpec* spec : AllCollectors()) {
    for (const std::string_view name : MetricNames(*spec)) {
      const auto [position, is_new] = owner.emplace(name, spec->name);
      EXPECT_TRUE(is_new) << name << " of " << spec->name << " and " << position->second;
    }
  }
}

TEST(Registry, TypesAndLabelsAreThoseOfPostgresExporter) {
  const auto contract = LoadExporterMetrics();
  int compared = 0;
  for (const CollectorSpec* spec : AllCollectors()) {
    std::set<std::string> labels;
    for (const Column& column : spec->columns) {
      if (column.kind == Kind::kLabel) labels.emplace(column.name);
    }
    for (const Column& column : spec->columns) {
      const auto theirs = contract.find(column.metric);
      if (column.kind == Kind::kLabel || theirs == contract.end()) continue;
      const std::string_view type = column.kind == Kind::kCounter   ? "counter"
                                    : column.kind == Kind::kUntyped ? "untyped"
                                                                    : "gauge";
      EXPECT_EQ(type, theirs->second.type) << column.metric;
      EXPECT_EQ(labels, theirs->second.labels) << column.metric;
      ++compared;
    }
  }
  EXPECT_GE(compared, 85);
}

// What postgres_exporter exports by default and we do not, item by item.
TEST(Registry, CoversTheCollectorsOfPostgresExporter) {
  std::set<std::string_view> ours;
  for (const CollectorSpec* spec : AllCollectors()) {
    for (const std::string_view name : MetricNames(*spec)) ours.insert(name);
  }
  const std::set<std::string_view> covered = {"database",
                                              "locks",
                                              "postmaster",
                                              "replication",
                                              "replication_slots",
                                              "roles",
                                              "stat_activity",
                                              "stat_archiver",
                                              "stat_bgwriter",
                                              "stat_database",
                                              "stat_progress_vacuum",
                                              "stat_replication",
                                              "stat_user_tables",
                                              "statio_user_tables",
                                              "wal",
                                              "legacy namespace static",
                                              "legacy namespace pg_stat_database_conflicts"};
  std::vector<std::string> missing;
  for (const auto& [name, metric] : LoadExporterMetrics()) {
    if (covered.contains(metric.collector) && !ours.contains(name)) missing.push_back(name);
  }
  std::erase_if(missing, [](const std::string& name) {
    // The table_size collector's: they take locks.
    return name == "pg_stat_user_tables_index_size_bytes" ||
           name == "pg_stat_user_tables_table_size_bytes";
  });
  // Of servers before PostgreSQL 10.
  EXPECT_THAT(missing, ElementsAre("pg_replication_slots_pg_xlog_location_diff",
                                   "pg_stat_replication_pg_xlog_location_diff"));
}

}  // namespace
}  // namespace pgsteward
