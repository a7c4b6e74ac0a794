#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "collectors/registry.h"
#include "core/duration.h"
#include "core/pg_connection.h"
#include "core/pg_conninfo.h"
#include "core/shown.h"
#include "core/time_zone.h"
#include "daemon/config.h"
#include "daemon/config_document.h"
#include "daemon/config_files.h"
#include "daemon/config_jobs.h"
#include "daemon/config_map.h"
#include "daemon/config_values.h"

namespace pgsteward {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr DurationRange kInterval{seconds(1), hours(24)};
constexpr DurationRange kTimeout{seconds(1), hours(1)};
constexpr DurationRange kThreshold{seconds(1), hours(24 * 30)};
constexpr int kMostConnections = 10'000;
constexpr int kMostTools = 10;  // with "other" 11 series
constexpr int kMostStaleIntervals = 100;
constexpr off_t kLargestFile = 1 << 20;
constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 2> kFormats = {"logfmt", "json"};

Error Bad(std::string message, std::string hint = {}) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

// Anything but a regular file of sensible size is refused: a pipe would make a reload wait.
Result<std::string> ReadConfigFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    const int failure = errno;
    return Bad("cannot be opened: " + std::string(std::strerror(failure)),
               failure == EACCES ? "Let the daemon's user read it." : "Check the path.");
  }
  const auto close_file = [](const int* file) { ::close(*file); };
  const std::unique_ptr<const int, decltype(close_file)> guard(&fd, close_file);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Bad("cannot be read: " + std::string(std::strerror(errno)));
  if (!S_ISREG(status.st_mode)) {
    return Bad(S_ISDIR(status.st_mode) ? "is a directory" : "is not a regular file",
               "Name the configuration file itself.");
  }
  if (status.st_size > kLargestFile) {
    return Bad("is larger than 1 MiB", "Name the configuration file itself.");
  }
  std::string text;
  std::array<char, 16 * 1024> chunk;
  while (text.size() <= static_cast<std::size_t>(kLargestFile)) {  // it may grow meanwhile
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Bad("cannot be read: " + std::string(std::strerror(errno)));
    if (got == 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::optional<std::string> ReadConninfo(ConfigMap& map, std::string_view key) {
  const auto conninfo = map.Text(key);
  if (!conninfo) return std::nullopt;
  if (const auto right = CheckConninfo(conninfo->value); !right) {
    map.AddError(conninfo->at, key, right.error());
  } else if (HasPassword(conninfo->value)) {
    map.AddWarning(conninfo->at, key,
                   Bad("holds a password in plain text",
                       "Move it to a file: " + std::string(key == "conninfo" ? "" : "jobs_") +
                           "password_file here, or passfile in the conninfo."));
  }
  return conninfo->value;
}

std::string ReadPasswordFile(ConfigMap& map, std::string_view key, const std::string& config_path) {
  const auto file = map.Text(key);
  if (!file || file->value.empty()) return {};
  const std::string path = ResolvePath(config_path, file->value);
  if (const auto odd = SecretFileWarning(path, "Write the password as its first line.")) {
    map.AddWarning(file->at, key, *odd);
  }
  return path;
}

void ReadDatabases(ConfigMap& map, ServerConfig& server) {
  const auto databases = map.Texts("databases");
  if (!databases) return;
  PgTarget target;
  target.conninfo = server.conninfo;
  const std::string first = TargetDatabase(target);
  for (const auto& [name, at] : *databases) {
    if (const auto right = CheckDatabaseName(name); !right) {
      map.AddError(at, "databases", right.error());
    } else if (name == first) {
      map.AddError(at, "databases",
                   Bad(Shown(name) + " is the database of the conninfo",
                       "Leave it out: that database is measured anyway."));
    } else if (std::find(server.databases.begin(), server.databases.end(), name) !=
               server.databases.end()) {
      map.AddError(at, "databases", Bad(Shown(name) + " stands here twice", "Keep one of them."));
    } else {
      server.databases.push_back(name);
    }
  }
}

ServerConfig ReadServer(ConfigMap& map, const std::string& config_path,
                        std::set<std::string>& names) {
  ServerConfig server;
  if (const auto name = map.Text("name")) {
    if (const auto right = CheckServerName(name->value); !right) {
      map.AddError(name->at, "name", right.error());
    } else if (!names.insert(name->value).second) {
      map.AddError(name->at, "name",
                   Bad(Shown(name->value) + " is another server's name",
                       "Give each server a name of its own."));
    }
    server.name = name->value;
  } else if (!map.Has("name")) {
    map.AddError(map.at(), "", Bad("a server has no name", "Add a name, the label \"server\"."));
  }
  if (const auto conninfo = ReadConninfo(map, "conninfo")) {
    server.conninfo = *conninfo;
  } else if (!map.Has("conninfo")) {
    map.AddError(map.at(), "",
                 Bad("a server has no conninfo",
                     "Add one like \"host=/run/postgresql dbname=postgres user=pgsteward\"."));
  }
  server.password_file = ReadPasswordFile(map, "password_file", config_path);
  ReadDatabases(map, server);
  if (const auto timeout = map.Duration("connect_timeout", kTimeout)) {
    server.connect_timeout = timeout->value;
  }
  server.jobs_conninfo = ReadConninfo(map, "jobs_conninfo").value_or("");
  server.jobs_password_file = ReadPasswordFile(map, "jobs_password_file", config_path);
  map.RefuseOthers();
  return server;
}

void ReadServers(ConfigMap& root, const std::string& config_path, Config& config) {
  auto maps = root.Maps("servers");
  if (!root.Has("servers") || (maps && maps->empty())) {
    root.AddError(root.at(), "",
                  Bad("there is no server to measure",
                      "Write servers: with at least one item of name and conninfo."));
  }
  if (!maps) return;
  std::set<std::string> names;
  for (ConfigMap& map : *maps) {
    if (map.valid()) config.servers.push_back(ReadServer(map, config_path, names));
  }
}

void ReadWeb(ConfigMap& map, WebConfig& web) {
  if (const auto address = map.Text("listen_address")) {
    if (const auto right = CheckListenAddress(address->value); !right) {
      map.AddError(address->at, "listen_address", right.error());
    }
    web.listen_address = address->value;
  }
  if (const auto most = map.Integer("max_connections", 1, kMostConnections)) {
    web.max_connections = most->value;
  }
  map.RefuseOthers();
}

void ReadLog(ConfigMap& map, LogOptions& log) {
  if (const auto level = map.Choice("level", kLevels)) {
    log.level = static_cast<LogLevel>(level->value);
  }
  if (const auto format = map.Choice("format", kFormats)) {
    log.format = static_cast<LogFormat>(format->value);
  }
  map.RefuseOthers();
}

CollectorConfig ReadCollector(ConfigMap& map, const CollectorSpec& spec,
                              CollectorOptions& options) {
  CollectorConfig collector;
  if (const auto enabled = map.Switch("enabled")) collector.enabled = enabled->value;
  const auto interval = map.Duration("interval", kInterval);
  if (interval) collector.interval = interval->value;
  if (const auto timeout = map.Duration("timeout", kTimeout)) {
    collector.timeout = timeout->value;
    const bool known = interval || !map.Has("interval");
    const seconds longest = collector.interval.value_or(spec.interval);
    if (known && timeout->value > longest) {
      map.AddError(timeout->at, "timeout",
                   Bad(FormatDuration(timeout->value) + " is longer than the interval",
                       "Write at most " + FormatDuration(longest) + ", or a longer interval."));
    }
  }
  if (spec.name == "long_running") {
    if (const auto threshold = map.Duration("threshold", kThreshold)) {
      options.long_query_threshold = threshold->value;
    }
  }
  if (spec.name == "tool_uses") {
    if (const auto top = map.Integer("top", 1, kMostTools)) options.tool_uses_top = top->value;
  }
  map.RefuseOthers();
  return collector;
}

void ReadCollectors(ConfigMap& collectors, Config& config) {
  for (const CollectorSpec* spec : AllCollectors()) {
    if (auto map = collectors.Map(spec->name)) {
      config.collectors.emplace(spec->name, ReadCollector(*map, *spec, config.options));
    }
  }
  collectors.RefuseOthers();
}

Config ReadRoot(ConfigMap& root, const std::string& config_path,
                std::span<const JobSpec* const> types) {
  Config config;
  ReadServers(root, config_path, config);
  if (auto web = root.Map("web")) ReadWeb(*web, config.web);
  if (auto log = root.Map("log")) ReadLog(*log, config.log);
  if (const auto zone = root.Text("time_zone")) {
    if (!IsTimeZone(zone->value)) {
      root.AddError(zone->at, "time_zone",
                    Bad(Shown(zone->value) + " is not a time zone of this machine",
                        "Write an IANA name such as UTC or Europe/Berlin."));
    }
    config.options.time_zone = zone->value;
  }
  if (const auto count = root.Integer("stale_after_intervals", 2, kMostStaleIntervals)) {
    config.stale_after_intervals = count->value;
  }
  if (auto collectors = root.Map("collectors")) ReadCollectors(*collectors, config);
  ReadJobs(root, config_path, types, config);
  root.RefuseOthers();
  return config;
}

}  // namespace

boost::system::result<LoadedConfig, std::vector<ConfigProblem>> LoadConfig(
    const std::string& path, std::span<const JobSpec* const> types) {
  ConfigProblems problems(path);
  const auto text = ReadConfigFile(path);
  if (!text) {
    problems.AddError(YAML::Mark::null_mark(), text.error());
    return problems.TakeErrors();
  }
  LoadedConfig loaded;
  if (const auto document = ParseYaml(*text, problems)) {
    if (document->IsNull()) {
      problems.AddError(YAML::Mark::null_mark(),
                        Bad("is empty",
                            "Write servers: with at least one item of name and "
                            "conninfo; pgsteward.yaml of the package shows all keys."));
    } else {
      ConfigMap root(*document, document->Mark(), "", problems);
      if (root.valid()) loaded.config = ReadRoot(root, path, types);
    }
  }
  if (problems.any_error()) return problems.TakeErrors();
  loaded.warnings = problems.TakeWarnings();
  return loaded;
}

}  // namespace pgsteward
