// The configuration: every default stands here, once.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collectors/collector.h"
#include "core/error.h"
#include "core/log.h"
#include "jobs/registry.h"
#include "jobs/runner/job_policy.h"

namespace pgsteward {

struct WebConfig {
  std::string listen_address = "127.0.0.1:19187";
  int max_connections = 100;
};

// What one collector is told; empty: the collector's own default.
struct CollectorConfig {
  std::optional<bool> enabled;
  std::optional<std::chrono::seconds> interval;
  std::optional<std::chrono::seconds> timeout;
};

struct ServerConfig {
  std::string name;           // label `server`
  std::string conninfo;       // libpq keyword string or URI
  std::string password_file;  // absolute path, or relative to the configuration file
  // More databases of the same server whose tables are measured, each over one connection.
  std::vector<std::string> databases;
  std::chrono::seconds connect_timeout{5};
  std::string jobs_conninfo;       // of jobs; empty: conninfo, with its password file
  std::string jobs_password_file;  // as password_file
};

// A job, and what its timetable and windows were made of.
struct JobConfig {
  explicit JobConfig(const JobSpec& spec) : policy(spec), schedule(spec.schedule) {}

  JobPolicy policy;
  std::string server;  // of one of the servers
  std::string schedule;
  GapRule gap = GapRule::kRunAtEnd;
  FoldRule fold = FoldRule::kFirst;
  std::chrono::seconds jitter{0};
  std::vector<std::string> window;
  std::vector<std::string> blackout;
};

struct Config {
  WebConfig web;
  LogOptions log;
  std::vector<ServerConfig> servers;
  // By collector name. The options of collectors with logic stand in `options`.
  std::map<std::string, CollectorConfig, std::less<>> collectors;
  CollectorOptions options;
  // A snapshot is dropped after this many intervals without success.
  int stale_after_intervals = 3;
  std::vector<JobConfig> jobs;  // in file order, each with a name of its own
  // Of the journals, <server>.jobs; empty: none is kept.
  std::string jobs_state_directory = "/var/lib/pgsteward";
  std::string jobs_keep_history = "90 days";  // PostgreSQL's interval
  std::chrono::seconds jobs_lease{30};
};

// Where in the file, and what: "pgsteward.yaml:12:5: message".
struct ConfigProblem {
  std::string file;
  int line = 0;    // from 1; 0 when the problem is the file itself
  int column = 0;  // from 1
  std::string message;
  std::string ToText() const;
};

struct LoadedConfig {
  Config config;
  std::vector<ConfigProblem> warnings;  // a password in the file, an empty password file, ...
};

// Reads and validates. On failure all problems at once, in file order, never an excerpt that could
// hold a secret. `types`: the jobs that can be configured; must outlive the configuration.
boost::system::result<LoadedConfig, std::vector<ConfigProblem>> LoadConfig(
    const std::string& path, std::span<const JobSpec* const> types = AllJobs());

// The effective configuration as YAML, secrets as "<secret>", to be read back by LoadConfig.
std::string PrintConfig(const Config& config);

// Everything that the jobs of a server depend on, passwords included: to be compared, never shown.
// Empty when it has none.
std::string JobsEssence(const Config& config, const ServerConfig& server);

// The effective settings of a collector.
std::chrono::seconds IntervalOf(const Config& config, const CollectorSpec& spec);
std::chrono::seconds TimeoutOf(const Config& config, const CollectorSpec& spec);
bool EnabledIn(const Config& config, const CollectorSpec& spec);

}  // namespace pgsteward
