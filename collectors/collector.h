// What a collector is: a name, a SQL text and a table of columns; or a function where there is
// logic. Time, deadline, errors, log lines and self-metrics belong to the runner.
#pragma once

#include <any>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/metrics.h"
#include "core/pg_session.h"

namespace pgsteward {

// Settings that collectors with logic read; the keys of `collectors:` in the configuration.
struct CollectorOptions {
  std::string time_zone = "UTC";                   // calendar days of active_users
  std::chrono::seconds long_query_threshold{300};  // long_running
  int tool_uses_top = 10;                          // tool_uses, without "other"
};

enum class Scope {
  kServer,    // facts of the whole server: measured once, from the server's first database
  kDatabase,  // facts of the connected database: measured in each configured database
  kHub,       // facts of the hub's schema: measured in the server's first database
};

struct CollectorContext {
  Database& db;
  const CollectorOptions& options;
  std::chrono::seconds timeout;  // of each statement
  // Kept between runs of this collector on this database; empty at first.
  std::any& memory;
};

using CollectFunction = Task<Result<Families>> (*)(CollectorContext&);

// The SQL for servers of at least this version (server_version_num).
struct SqlVariant {
  int min_version;
  std::string_view sql;
};

struct CollectorSpec {
  std::string_view name;   // the word: file, configuration key, metric subsystem
  std::string_view reads;  // for people: "pg_locks"
  Scope scope = Scope::kServer;
  std::chrono::seconds interval{15};
  std::chrono::seconds timeout{5};
  int min_version = 0;  // skipped on older servers
  // Either: the newest variant that fits the server is run, and its rows become samples.
  std::span<const SqlVariant> sql = {};  // newest first
  std::span<const Column> columns = {};
  // Or:
  CollectFunction collect = nullptr;
  // The metric names of a collector with a function, for docs and the registry test.
  std::span<const std::string_view> metrics = {};
};

// The names of all metrics that `spec` can export.
std::vector<std::string_view> MetricNames(const CollectorSpec& spec);

// The variant for this server; nullptr when none fits.
const SqlVariant* SqlFor(const CollectorSpec& spec, int server_version);

// Runs `spec` once.
Task<Result<Families>> Collect(const CollectorSpec& spec, CollectorContext& context);

}  // namespace pgsteward
