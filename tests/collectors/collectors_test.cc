// Every collector of the table against a real server.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/collectors/collector_fixture.h"
#include "tests/collectors/exporter_contract.h"

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::UnorderedElementsAre;

class Collectors : public CollectorTest {};

std::string_view TypeName(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return "counter";
    case prometheus::MetricType::Gauge:
      return "gauge";
    default:
      return "untyped";
  }
}

std::set<std::string> DeclaredNames(const CollectorSpec& spec, int server_version) {
  std::set<std::string> names(spec.metrics.begin(), spec.metrics.end());
  for (const Column& column : spec.columns) {
    if (column.kind != Kind::kLabel && server_version >= column.min_version &&
        server_version <= column.max_version) {
      names.emplace(column.metric);
    }
  }
  return names;
}

TEST_F(Collectors, EachExportsWhatItDeclares) {
  const auto contract = LoadExporterMetrics();
  Postgres().Exec("SELECT pg_create_physical_replication_slot('walk', true)");
  const int version = std::stoi(Postgres().Value("SHOW server_version_num"));
  std::set<std::string> empty;
  for (const CollectorSpec* spec : AllCollectors()) {
    SCOPED_TRACE(spec->name);
    memory_.reset();
    const auto families = Run(spec->name);
    if (!families) {
      ADD_FAILURE() << ToText(families.error());
      continue;
    }
    std::set<std::string> exported;
    for (const auto& family : *families) {
      SCOPED_TRACE(family.name);
      EXPECT_TRUE(exported.insert(family.name).second) << "two families of one name";
      EXPECT_FALSE(family.help.empty());
      const RenderedSamples rendered = RenderSamples(family, {});
      EXPECT_EQ(rendered.duplicates, 0U) << rendered.text;
      if (family.metric.empty()) empty.insert(family.name);
      const auto theirs = contract.find(family.name);
      if (theirs == contract.end()) continue;
      EXPECT_EQ(TypeName(family.type), theirs->second.type);
      for (const auto& metric : family.metric) {
        std::set<std::string> labels;
        for (const auto& label : metric.label) labels.insert(label.name);
        EXPECT_EQ(labels, theirs->second.labels);
      }
    }
    if (spec->name != "settings") {
      EXPECT_EQ(exported, DeclaredNames(*spec, version));
    }
  }
  Postgres().Exec("SELECT pg_drop_replication_slot('walk')");

  // What a quiet primary has no samples of: no vacuum, no standby, no logical slot, nothing ever
  // archived. Blocking without a blocked session may have none either.
  for (auto name = empty.begin(); name != empty.end();) {
    const bool quiet = name->starts_with("pg_stat_progress_vacuum_") ||
                       name->starts_with("pg_stat_replication_") ||
                       *name == "pg_stat_archiver_last_archive_age" ||
                       *name == "pg_replication_slots_safe_wal_size_bytes" ||
                       *name == "pg_replication_slots_slot_confirmed_flush_lsn" ||
                       name->starts_with("pg_lock_wait_longest");
    name = quiet ? empty.erase(name) : std::next(name);
  }
  EXPECT_THAT(empty, IsEmpty());
}

TEST_F(Collectors, WithoutTheHubTheHubsAreUnsupported) {
  for (const CollectorSpec* spec : AllCollectors()) {
    if (spec->scope != Scope::kHub || spec->name == "schema_drift") continue;
    SCOPED_TRACE(spec->name);
    const auto families = Run(spec->name, "monitor", "postgres");
    ASSERT_FALSE(families.has_value());
    EXPECT_EQ(families.error().code, Errc::kUnsupported);
    EXPECT_EQ(families.error().sqlstate, "42P01");
  }
}

TEST_F(Collectors, DatabaseLeavesOutWhatTheRoleMayNotConnectTo) {
  Exec("CREATE DATABASE closed");
  Exec("REVOKE CONNECT ON DATABASE closed FROM PUBLIC");
  const auto sizes = [&](const std::string& user) {
    std::map<std::string, bool> seen;
    for (const std::string& line : Lines("database", "pg_database_size_bytes", user)) {
      EXPECT_THAT(line, MatchesRegex("pg_database_size_bytes.datname=\"[a-z0-9_]+\". [0-9]+"));
      seen[line.substr(0, line.find(' '))] = true;
    }
    return seen;
  };
  const std::string closed = "pg_database_size_bytes{datname=\"closed\"}";
  const std::string open = "pg_database_size_bytes{datname=\"" + hub_ + "\"}";
  EXPECT_TRUE(sizes("monitor").contains(closed));
  EXPECT_FALSE(sizes("plain").contains(closed));
  EXPECT_TRUE(sizes("plain").contains(open));
  EXPECT_THAT(Lines("database", "pg_database_connection_limit", "plain"),
              ::testing::Contains("pg_database_connection_limit{datname=\"closed\"} -1"));
  Postgres().DropDatabase("closed");
}

TEST_F(Collectors, SettingsHaveTheNamesOfPostgresExporter) {
  if (ServerMajor() != 15) GTEST_SKIP() << "the list is of PostgreSQL 15";
  std::set<std::string> theirs;
  for (const auto& [name, metric] : LoadExporterMetrics()) {
    const bool pattern = name.find('<') != std::string::npos;
    if (metric.collector == "settings" && !pattern) theirs.insert(name);
  }
  const auto families = Run("settings");
  ASSERT_TRUE(families.has_value());
  std::set<std::string> ours;
  for (const auto& family : *families) ours.insert(family.name);
  EXPECT_EQ(theirs.size(), 248U);
  EXPECT_EQ(ours, theirs);
}

TEST_F(Collectors, SettingsAreTheServersAndNotOurSessions) {
  const auto families = Run("settings");
  ASSERT_TRUE(families.has_value());
  EXPECT_THAT(LinesOf(*families, "pg_settings_max_connections"),
              ElementsAre("pg_settings_max_connections 160"));
  // The session of a collector has a statement_timeout, the server has none.
  EXPECT_THAT(LinesOf(*families, "pg_settings_statement_timeout_seconds"),
              ElementsAre("pg_settings_statement_timeout_seconds 0"));
  EXPECT_THAT(LinesOf(*families, "pg_settings_default_transaction_read_only"),
              ElementsAre("pg_settings_default_transaction_read_only 0"));
  EXPECT_THAT(LinesOf(*families, "pg_settings_row_security"),
              ElementsAre("pg_settings_row_security 1"));
}

TEST_F(Collectors, StaticTellsTheVersion) {
  const std::string number = Value("SHOW server_version_num");
  const int version = std::stoi(number);
  EXPECT_THAT(Lines("static", "pg_static"),
              ElementsAre("pg_static{version=\"" + Value("SELECT version()") +
                          "\",short_version=\"" + std::to_string(version / 10000) + "." +
                          std::to_string(version % 10000) + ".0\"} 1"));
}

TEST_F(Collectors, PostmasterTellsTheStart) {
  EXPECT_EQ(Lines("postmaster", "pg_postmaster_start_time_seconds").size(), 1U);
  const auto families = Run("postmaster");
  ASSERT_TRUE(families.has_value());
  EXPECT_NEAR(families->at(0).metric.at(0).gauge.value,
              std::stod(Value("SELECT extract(epoch FROM pg_postmaster_start_time())")), 0.001);
}

TEST_F(Collectors, APrimaryHasNoLag) {
  const auto families = Run("replication", "plain");
  ASSERT_TRUE(families.has_value());
  EXPECT_THAT(LinesOf(*families, "pg_replication_lag_seconds"),
              ElementsAre("pg_replication_lag_seconds 0"));
  EXPECT_THAT(LinesOf(*families, "pg_replication_is_replica"),
              ElementsAre("pg_replication_is_replica 0"));
  EXPECT_THAT(LinesOf(*families, "pg_replication_last_replay_seconds"),
              ElementsAre("pg_replication_last_replay_seconds 0"));
}

TEST_F(Collectors, SlotsAndTheirReceivers) {
  Exec("SELECT pg_create_physical_replication_slot('standby', true)");
  Exec("SELECT pg_create_logical_replication_slot('changes', 'test_decoding')");
  PgClient receiver(Postgres().Conninfo() + " replication=true application_name=receiver");
  receiver.ExecAsync("START_REPLICATION SLOT standby PHYSICAL " +
                     Value("SELECT pg_current_wal_flush_lsn()"));
  WaitFor("SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'");

  const auto slots = Run("replication_slots", "plain");
  ASSERT_TRUE(slots.has_value());
  EXPECT_THAT(
      LinesOf(*slots, "pg_replication_slots_active"),
      UnorderedElementsAre(
          "pg_replication_slots_active{slot_name=\"standby\",database=\"\"} 1",
          "pg_replication_slots_active{slot_name=\"changes\",database=\"" + hub_ + "\"} 0"));
  EXPECT_THAT(LinesOf(*slots, "pg_replication_slots_wal_status"),
              UnorderedElementsAre("pg_replication_slots_wal_status{slot_name=\"standby\","
                                   "slot_type=\"physical\",wal_status=\"reserved\"} 1",
                                   "pg_replication_slots_wal_status{slot_name=\"changes\","
                                   "slot_type=\"logical\",wal_status=\"reserved\"} 1"));
  EXPECT_EQ(LinesOf(*slots, "pg_replication_slots_pg_wal_lsn_diff").size(), 2U);
  // The logical slot is not in use, the physical one has no such position.
  EXPECT_THAT(LinesOf(*slots, "pg_replication_slots_slot_confirmed_flush_lsn"), IsEmpty());

  const auto receivers = Run("stat_replication");
  ASSERT_TRUE(receivers.has_value());
  EXPECT_THAT(LinesOf(*receivers, "pg_stat_replication_pg_current_wal_lsn_bytes"),
              ElementsAre(MatchesRegex("pg_stat_replication_pg_current_wal_lsn_bytes."
                                       "application_name=\"receiver\",client_addr=\"\","
                                       "state=\"streaming\",slot_name=\"standby\",pid=\"" +
                                       std::to_string(receiver.pid()) + "\". [0-9]+")));
  // It never said what it replayed: no sample, not 0.
  EXPECT_THAT(LinesOf(*receivers, "pg_stat_replication_pg_wal_lsn_diff"), IsEmpty());

  receiver.Close();
  WaitFor("SELECT count(*) = 0 FROM pg_replication_slots WHERE active");
  Exec("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
}

TEST_F(Collectors, BgwriterCountsCheckpoints) {
  const auto requested = [&] {
    const auto families = Run("stat_bgwriter", "plain");
    if (!families) return -1.0;
    for (const auto& family : *families) {
      if (family.name == "pg_stat_bgwriter_checkpoints_req_total") {
        return family.metric.at(0).counter.value;
      }
    }
    return -2.0;
  };
  const double before = requested();
  EXPECT_GE(before, 0);
  Exec("CHECKPOINT");
  const std::string view = ServerMajor() >= 17 ? "num_requested FROM pg_stat_checkpointer"
                                               : "checkpoints_req FROM pg_stat_bgwriter";
  // PostgreSQL 13 and 14 send the statistics to a process of their own.
  WaitFor("SELECT " + view.substr(0, view.find(' ')) + " > " + std::to_string(before) +
          view.substr(view.find(' ')));
  EXPECT_EQ(requested(), std::stod(Value("SELECT " + view)));
}

TEST_F(Collectors, BackendsWritesAreCountedOnEveryVersion) {
  const auto written = [&] {
    const auto families = Run("stat_bgwriter");
    if (!families) return -1.0;
    for (const auto& family : *families) {
      if (family.name == "pg_stat_bgwriter_buffers_backend_total") {
        return family.metric.at(0).counter.value;
      }
    }
    return -2.0;
  };
  const double before = written();
  EXPECT_GE(before, 0);
  Exec(
      "CREATE TABLE filler AS SELECT i, repeat('x', 500) AS text "
      "FROM generate_series(1, 20000) AS i");
  const double blocks = std::stod(Value("SELECT pg_relation_size('filler') / 8192"));
  EXPECT_GT(blocks, 1000);
  if (ServerMajor() < 17) {
    Exec("CHECKPOINT");  // the checkpointer collects them
    WaitFor("SELECT buffers_backend > " + std::to_string(before) + " FROM pg_stat_bgwriter");
    EXPECT_EQ(written(), std::stod(Value("SELECT buffers_backend FROM pg_stat_bgwriter")));
    return;
  }
  // Each new block of a table is a write of the backend that extends it, and may be written out by
  // it once more. The counters arrive when the session ends, at the latest.
  double after = before;
  for (int attempt = 0; attempt < 100 && after < before + blocks; ++attempt) after = written();
  EXPECT_GE(after, before + blocks);
  EXPECT_LT(after, before + 3 * blocks);
}

TEST_F(Collectors, ArchiverTimesAreZeroWhenItNeverHappened) {
  const auto families = Run("stat_archiver", "plain");
  ASSERT_TRUE(families.has_value());
  EXPECT_THAT(LinesOf(*families, "pg_stat_archiver_last_archived_timestamp_seconds"),
              ElementsAre("pg_stat_archiver_last_archived_timestamp_seconds 0"));
  EXPECT_THAT(LinesOf(*families, "pg_stat_archiver_last_failed_timestamp_seconds"),
              ElementsAre("pg_stat_archiver_last_failed_timestamp_seconds 0"));
  EXPECT_THAT(LinesOf(*families, "pg_stat_archiver_last_archive_age"), IsEmpty());
}

TEST_F(Collectors, WalNeedsARight) {
  const auto refused = Run("wal", "plain");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().sqlstate, "42501");
  EXPECT_EQ(refused.error().code, Errc::kQueryFailed);
  EXPECT_FALSE(refused.error().hint.empty());

  const std::string waldir = "FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";
  const auto families = Run("wal");
  ASSERT_TRUE(families.has_value());
  EXPECT_THAT(LinesOf(*families, "pg_wal_segments"),
              ElementsAre("pg_wal_segments " + Value("SELECT count(*) " + waldir)));
  EXPECT_THAT(LinesOf(*families, "pg_wal_size_bytes"),
              ElementsAre("pg_wal_size_bytes " + Value("SELECT sum(size) " + waldir)));
}

TEST_F(Collectors, TablesWithOddNamesAndWithoutTemporaryOnes) {
  PgClient client = Connect("client");
  client.Exec(
      "CREATE SCHEMA \"Odd \"\"one\"\"\"; "
      "CREATE TABLE \"Odd \"\"one\"\"\".\"Audit\\Log\" (); "
      "CREATE TEMPORARY TABLE passing ()");
  const std::string labels =
      "{datname=\"" + hub_ + "\",schemaname=\"Odd \\\"one\\\"\",relname=\"Audit\\\\Log\"} ";
  for (const auto& [collector, metric] :
       {std::pair("stat_user_tables", "pg_stat_user_tables_seq_scan"),
        std::pair("statio_user_tables", "pg_statio_user_tables_heap_blocks_read")}) {
    SCOPED_TRACE(metric);
    const auto lines = Lines(collector, metric);
    EXPECT_THAT(lines, ::testing::Contains(metric + labels + "0"));
    for (const std::string& line : lines) EXPECT_EQ(line.find("passing"), std::string::npos);
    // Seven tables of the hub, the archive among them, and this one.
    EXPECT_EQ(std::to_string(lines.size()),
              Value("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' "
                    "AND relnamespace NOT IN ('pg_catalog'::regnamespace, "
                    "'information_schema'::regnamespace)"));
  }
  // Without an index there is no number of index scans.
  for (const std::string& line : Lines("stat_user_tables", "pg_stat_user_tables_idx_scan")) {
    EXPECT_EQ(line.find("Audit"), std::string::npos) << line;
  }
}

TEST_F(Collectors, VacuumShowsItsPhase) {
  Exec(
      "CREATE TABLE dusty AS SELECT i, repeat('x', 500) AS text "
      "FROM generate_series(1, 2000) AS i");
  PgClient vacuum = Connect("vacuum");
  // A tenth of a second of sleep per page: it stays in its first phase until it is cancelled.
  vacuum.Exec("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1");
  vacuum.ExecAsync("VACUUM dusty");
  WaitFor("SELECT count(*) = 1 FROM pg_stat_progress_vacuum WHERE phase = 'scanning heap'");
  const auto families = Run("stat_progress_vacuum");
  const auto hidden = Run("stat_progress_vacuum", "plain");
  Exec("SELECT pg_cancel_backend(" + std::to_string(vacuum.pid()) + ")");

  ASSERT_TRUE(families.has_value());
  const std::string labels = "{datname=\"" + hub_ + "\",relname=\"dusty\"";
  const auto phase = [&](const std::string& name, int value) {
    return "pg_stat_progress_vacuum_phase" + labels + ",phase=\"" + name + "\"} " +
           std::to_string(value);
  };
  EXPECT_THAT(LinesOf(*families, "pg_stat_progress_vacuum_phase"),
              ElementsAre(phase("initializing", 0), phase("scanning heap", 1),
                          phase("vacuuming indexes", 0), phase("vacuuming heap", 0),
                          phase("cleaning up indexes", 0), phase("truncating heap", 0),
                          phase("performing final cleanup", 0)));
  EXPECT_THAT(LinesOf(*families, "pg_stat_progress_vacuum_heap_blks"),
              ElementsAre("pg_stat_progress_vacuum_heap_blks" + labels + "} " +
                          Value("SELECT pg_relation_size('dusty') / 8192")));
  ASSERT_TRUE(hidden.has_value());
  EXPECT_THAT(LinesOf(*hidden, "pg_stat_progress_vacuum_phase"), IsEmpty());
}

}  // namespace
}  // namespace pgsteward
