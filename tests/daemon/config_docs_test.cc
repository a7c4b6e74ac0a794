// The sample configuration and the reference say what the daemon does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "collectors/registry.h"
#include "core/duration.h"
#include "tests/daemon/config_fixture.h"

namespace pgsteward {
namespace {

constexpr char kSample[] = "systemd/pgsteward.yaml";
constexpr char kReference[] = "docs/configuration.md";

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// "#key: value" is a default, "# Text" a sentence.
std::string WithDefaults(const std::string& sample) {
  std::string text;
  for (std::string line : SplitLines(sample)) {
    const auto hash = line.find_first_not_of(' ');
    if (hash != std::string::npos && line[hash] == '#' && hash + 1 < line.size() &&
        line[hash + 1] != ' ') {
      line.erase(hash, 1);
    }
    text += line + "\n";
  }
  return text;
}

// One that has all the keys of a job.
const JobSpec& ThrottledJob() {
  for (const JobSpec* spec : AllJobs()) {
    if (!spec->throttle_table.empty()) return *spec;
  }
  throw std::logic_error("no job is throttled");
}

// The keys that the loader itself says it knows in a section.
class KnownKeysTest : public ConfigTest {
 protected:
  std::vector<std::string> KeysOf(const std::string& file_with_unknown_key) {
    const std::string errors = Errors(file_with_unknown_key);
    const std::string before = "The keys here are ";
    const auto begin = errors.find(before);
    EXPECT_NE(begin, std::string::npos) << errors;
    std::string list = errors.substr(begin + before.size());
    list = list.substr(0, list.find('.'));
    if (const auto last = list.find(" and "); last != std::string::npos)
      list.replace(last, 5, ", ");
    std::vector<std::string> keys;
    for (std::size_t at = 0; at < list.size();) {
      const auto comma = std::min(list.find(", ", at), list.size());
      keys.push_back(list.substr(at, comma - at));
      at = comma + 2;
    }
    return keys;
  }

  // "web.listen_address", ... of every section.
  std::vector<std::string> AllKeys() {
    const std::string servers = "servers: [{name: hub, conninfo: ''}]\n";
    std::vector<std::string> keys;
    const auto add = [&](const std::string& section, const std::string& file) {
      for (const std::string& key : KeysOf(file)) keys.push_back(section + key);
    };
    add("", servers + "zzzzzzzz: 1\n");
    add("servers.", "servers: [{name: hub, conninfo: '', zzzzzzzz: 1}]\n");
    add("web.", servers + "web: {zzzzzzzz: 1}\n");
    add("log.", servers + "log: {zzzzzzzz: 1}\n");
    add("collectors.", servers + "collectors: {zzzzzzzz: 1}\n");
    for (const std::string name : {"long_running", "tool_uses"}) {
      add("collectors." + name + ".", servers + "collectors: {" + name + ": {zzzzzzzz: 1}}\n");
    }
    // The keys of every job; the options of its type stand in docs/jobs.md.
    const JobSpec& spec = ThrottledJob();
    for (const std::string& key :
         KeysOf(servers + "jobs: {" + std::string(spec.name) + ": {zzzzzzzz: 1}}\n")) {
      const bool option = std::any_of(spec.options.begin(), spec.options.end(),
                                      [&](const JobOption& each) { return each.name == key; });
      if (!option) keys.push_back("jobs.<name>." + key);
    }
    return keys;
  }
};

Config WithConninfoOf(const Config& sample, Config config) {
  config.servers.at(0).conninfo = sample.servers.at(0).conninfo;
  return config;
}

TEST_F(ConfigTest, SampleIsTheDefaults) {
  const std::string sample = ReadSource(kSample);
  const std::string uncommented = WithDefaults(sample);
  const Config as_it_is = Load(sample);
  EXPECT_EQ(Warnings(sample), "");
  EXPECT_EQ(Warnings(uncommented), "");
  Config with_defaults = Load(uncommented);
  EXPECT_EQ(with_defaults.jobs.size(), AllJobs().size());
  std::string jobs = "servers: [{name: hub, conninfo: ''}]\njobs:\n";
  for (const JobSpec* spec : AllJobs()) jobs += "  " + std::string(spec->name) + ":\n";
  EXPECT_EQ(AllEssences(with_defaults), AllEssences(WithConninfoOf(with_defaults, Load(jobs))));
  with_defaults.jobs.clear();
  EXPECT_EQ(PrintConfig(with_defaults), PrintConfig(as_it_is));

  Config defaults;
  ServerConfig server;
  server.name = "hub";
  server.conninfo = as_it_is.servers.at(0).conninfo;
  defaults.servers.push_back(server);
  EXPECT_EQ(PrintConfig(as_it_is), PrintConfig(defaults));
  // Nothing was left commented out: the uncommented file says every setting itself.
  EXPECT_EQ(Load(uncommented).collectors.size(), AllCollectors().size());
}

TEST_F(KnownKeysTest, SampleShowsEveryKey) {
  const std::string uncommented = WithDefaults(ReadSource(kSample));
  const auto keys = AllKeys();
  EXPECT_GE(keys.size(), 60U);
  for (const std::string& key : keys) {
    const std::string word = key.substr(key.rfind('.') + 1);
    EXPECT_THAT(uncommented, testing::ContainsRegex("[\n {]" + word + ":")) << key;
  }
}

TEST_F(ConfigTest, SampleExplainsEachSetting) {
  const auto lines = SplitLines(ReadSource(kSample));
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto hash = lines[i].find_first_not_of(' ');
    if (hash == std::string::npos || lines[i][hash] != '#' || lines[i].size() < hash + 2) continue;
    if (lines[i][hash + 1] == ' ') continue;
    EXPECT_EQ(lines[i - 1].substr(hash, 2), "# ") << "no sentence above line " << i + 1;
  }
}

// Rows "| `key` | type | default | meaning |" of the reference.
std::map<std::string, std::vector<std::string>> ReferenceRows() {
  std::map<std::string, std::vector<std::string>> rows;
  for (const std::string& line : SplitLines(ReadSource(kReference))) {
    if (line.rfind("| `", 0) != 0) continue;
    std::vector<std::string> cells;
    for (std::size_t at = 2; at < line.size();) {
      const auto bar = std::min(line.find(" |", at), line.size());
      cells.push_back(line.substr(at, bar - at));
      at = bar + 3;
    }
    const std::string key = cells.at(0).substr(1, cells.at(0).size() - 2);
    EXPECT_TRUE(rows.emplace(key, cells).second) << key << " stands there twice";
  }
  return rows;
}

TEST_F(KnownKeysTest, ReferenceHasEveryKeyAndNoOther) {
  const auto rows = ReferenceRows();
  std::vector<std::string> documented;
  for (const auto& [key, cells] : rows) documented.push_back(key);
  std::vector<std::string> expected = {"collectors.<name>.enabled", "collectors.<name>.interval",
                                       "collectors.<name>.timeout"};
  for (const std::string& key : AllKeys()) {
    const std::string word = key.substr(key.rfind('.') + 1);
    const bool of_every_collector = key.rfind("collectors.", 0) == 0 &&
                                    std::count(key.begin(), key.end(), '.') == 2 &&
                                    (word == "enabled" || word == "interval" || word == "timeout");
    if (!of_every_collector) expected.push_back(key);
  }
  EXPECT_THAT(documented, testing::UnorderedElementsAreArray(expected));
}

TEST_F(ConfigTest, ReferenceTellsTheDefaults) {
  const auto rows = ReferenceRows();
  const Config config = Load("servers: [{name: hub, conninfo: ''}]\n");
  const auto code = [](const std::string& text) { return "`" + text + "`"; };
  const std::map<std::string, std::string> expected = {
      {"servers", "required"},
      {"servers.name", "required"},
      {"servers.conninfo", "required"},
      {"servers.password_file", "none"},
      {"servers.databases", code("[]")},
      {"servers.jobs_conninfo", code("conninfo")},
      {"servers.jobs_password_file", "none"},
      {"jobs_state_directory", code(config.jobs_state_directory)},
      {"jobs_keep_history", code(config.jobs_keep_history)},
      {"jobs_lease", code(FormatDuration(config.jobs_lease))},
      {"servers.connect_timeout", code(FormatDuration(config.servers.at(0).connect_timeout))},
      {"web.listen_address", code(config.web.listen_address)},
      {"web.max_connections", code(std::to_string(config.web.max_connections))},
      {"log.level", code(std::string(LogLevelName(config.log.level)))},
      {"log.format", code("logfmt")},
      {"time_zone", code(config.options.time_zone)},
      {"stale_after_intervals", code(std::to_string(config.stale_after_intervals))},
      {"collectors.<name>.enabled", code("true")},
      {"collectors.long_running.threshold",
       code(FormatDuration(config.options.long_query_threshold))},
      {"collectors.tool_uses.top", code(std::to_string(config.options.tool_uses_top))},
  };
  for (const auto& [key, value] : expected) {
    ASSERT_TRUE(rows.count(key)) << key;
    EXPECT_EQ(rows.at(key).at(2), value) << key;
  }
  // Of jobs: what is printed of one, where it is the same for every type.
  const std::string job = std::string(ThrottledJob().name);
  const std::string printed =
      PrintConfig(Load("servers: [{name: hub, conninfo: ''}]\njobs: {" + job + ": }\n"));
  const std::vector<std::string> by_type = {"type",     "server",  "schedule", "time_zone",
                                            "deadline", "max_age", "groups",   "misfire_grace"};
  for (const auto& [key, cells] : rows) {
    const std::string word = key.substr(key.rfind('.') + 1);
    if (key.rfind("jobs.<name>.", 0) != 0) continue;
    if (std::find(by_type.begin(), by_type.end(), word) != by_type.end()) continue;
    std::string value = cells.at(2);
    value.erase(std::remove(value.begin(), value.end(), '`'), value.end());
    if (value == "none") value = "\"\"";
    const bool told = printed.find("\n    " + word + ": " + value + "\n") != std::string::npos ||
                      printed.find("\n    " + word + ": \"" + value + "\"\n") != std::string::npos;
    EXPECT_TRUE(told) << key << " " << value;
  }
}

TEST_F(ConfigTest, ReferenceListsTheCollectors) {
  std::string expected;
  for (const CollectorSpec* spec : AllCollectors()) {
    expected += "| `collectors." + std::string(spec->name) + "` | `" +
                FormatDuration(spec->interval) + "` | `" + FormatDuration(spec->timeout) + "` | " +
                std::string(spec->reads) + " |\n";
  }
  std::string found;
  for (const std::string& line : SplitLines(ReadSource(kReference))) {
    const std::string key = line.substr(0, line.find("` |"));
    if (key.rfind("| `collectors.", 0) == 0 && std::count(key.begin(), key.end(), '.') == 1) {
      found += line + "\n";
    }
  }
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace pgsteward
