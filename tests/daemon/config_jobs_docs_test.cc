// What is written about jobs agrees with their tables. PGSTEWARD_UPDATE_DOCS=1 writes what can be
// derived: the jobs of the sample, and a section of docs/jobs.md for a type that has none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/registry.h"
#include "tests/daemon/config_fixture.h"

namespace pgsteward {
namespace {

constexpr char kSample[] = "systemd/pgsteward.yaml";
constexpr char kPage[] = "docs/jobs.md";
// The one that shows the keys of every job.
constexpr std::string_view kExample = "message_archive";
constexpr std::size_t kWidth = 100;

constexpr std::pair<std::string_view, std::string_view> kCommon[] = {
    {"type", "What it does; several jobs may be of one type."},
    {"server", "Where, by the server's name."},
    {"enabled", "Whether it runs on its schedule."},
    {"schedule", "When: five cron fields, @daily, every 15m, or manual for never by itself."},
    {"time_zone", "Of the schedule, of windows and of calendar days."},
    {"gap",
     "What the clock jumps over in spring: run_at_end runs it right after the gap, skip does not."},
    {"fold", "What comes twice in autumn runs the first time or both times."},
    {"jitter", "Runs are shifted by a fixed part of this, another one for each job and server."},
    {"window", "Runs begin and work only inside these, such as \"22:00-05:00\"; []: always."},
    {"blackout", "And never inside these: \"2026-12-24 00:00 - 2027-01-02 00:00\"."},
    {"overlap",
     "When it is due while it runs: skip, queue_one (once more after it) or cancel_previous."},
    {"misfire", "When due times were missed: run_once for all of them, skip, or run_all."},
    {"misfire_grace", "What is later than this counts as missed."},
    {"misfire_max", "Of run_all: the latest so many."},
    {"retries", "So many more attempts after a failure that may pass."},
    {"retry_pause", "Before the first of them; the pause doubles."},
    {"retry_pause_most", "But is never longer than this."},
    {"deadline", "A run ends at the next safe point after this."},
    {"max_age",
     "Without a success for this long it counts as overdue; none: after the second due time "
     "and a deadline."},
    {"groups", "Jobs of one group never run at the same time."},
    {"confirm", "Asks for a person's word before rows are destroyed or moved for the first time."},
};

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

bool Updating() { return std::getenv("PGSTEWARD_UPDATE_DOCS") != nullptr; }

void WriteSource(const std::string& path, const std::string& text) {
  std::ofstream(std::string(PGSTEWARD_SOURCE_DIR) + "/" + path, std::ios::binary) << text;
}

// "# Words of a sentence" in lines of at most kWidth.
std::string Comment(const std::string& indent, std::string_view text) {
  std::string lines;
  std::string line = indent + "#";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (line.size() + 1 + end > kWidth) {
      lines += line + "\n";
      line = indent + "#";
    }
    line += " " + std::string(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines + line + "\n";
}

std::string_view HelpOf(const JobSpec& spec, std::string_view key) {
  for (const auto& [name, text] : kCommon) {
    if (name == key) return text;
  }
  for (const JobOption& option : kThrottleOptions) {
    if (option.name == key) return option.help;
  }
  for (const JobOption& option : spec.options) {
    if (option.name == key) return option.help;
  }
  ADD_FAILURE() << "no sentence about " << key;
  return {};
}

class JobsDocsTest : public ConfigTest {
 protected:
  // "key: value" of a job of this type at its defaults.
  std::vector<std::string> DefaultsOf(const JobSpec& spec) {
    const std::string name(spec.name);
    const std::string printed =
        PrintConfig(Load("servers: [{name: hub, conninfo: ''}]\njobs: {" + name + ": }\n"));
    const std::string begin = "jobs:\n  \"" + name + "\":\n";
    const std::size_t at = printed.find(begin);
    EXPECT_NE(at, std::string::npos) << printed;
    std::vector<std::string> lines;
    for (const std::string& line : LinesOf(printed.substr(at + begin.size()))) {
      lines.push_back(line.substr(4));
    }
    return lines;
  }

  std::string SampleJobs() {
    std::string text = "jobs:\n";
    for (const JobSpec* spec : AllJobs()) {
      text += Comment("  ", spec->summary) + "  #" + std::string(spec->name) + ":\n";
      for (const std::string& line : DefaultsOf(*spec)) {
        const std::string key = line.substr(0, line.find(':'));
        const bool own = std::any_of(spec->options.begin(), spec->options.end(),
                                     [&](const JobOption& option) { return option.name == key; });
        if (!own && spec->name != kExample && key != "enabled" && key != "schedule") continue;
        text += Comment("    ", HelpOf(*spec, key)) + "    #" + line + "\n";
      }
    }
    return text;
  }
};

TEST_F(JobsDocsTest, SampleShowsEveryJob) {
  const std::string sample = ReadSource(kSample);
  const std::size_t at = sample.find("\njobs:\n") + 1;
  ASSERT_NE(at, 0U);
  const std::string expected = SampleJobs();
  if (Updating()) WriteSource(kSample, sample.substr(0, at) + expected);
  EXPECT_EQ(ReadSource(kSample).substr(at), expected)
      << "to mend it: PGSTEWARD_UPDATE_DOCS=1 daemon_config_test "
         "--gtest_filter=JobsDocsTest.SampleShowsEveryJob";
}

TEST_F(JobsDocsTest, NoOptionIsCalledLikeAKeyOfEveryJob) {
  for (const JobSpec* spec : AllJobs()) {
    for (const JobOption& option : spec->options) {
      for (const auto& [name, text] : kCommon) EXPECT_NE(option.name, name) << spec->name;
      EXPECT_NE(option.name.substr(0, 9), "throttle_") << spec->name;
    }
  }
}

std::string SectionFor(const JobSpec& spec) {
  std::string text = "\n## " + std::string(spec.name) + "\n\n" + std::string(spec.summary) + "\n";
  if (spec.options.empty()) return text;
  text += "\n| option | default | meaning |\n|---|---|---|\n";
  for (const JobOption& option : spec.options) {
    std::string fallback = option.required ? "required" : "empty";
    if (!option.fallback.empty()) fallback = "`" + std::string(option.fallback) + "`";
    text += "| `" + std::string(option.name) + "` | " + fallback + " | " +
            std::string(option.help) + " |\n";
  }
  return text;
}

// From "## name" to the next heading of this rank.
std::string FindSection(const std::string& page, std::string_view name) {
  const std::size_t begin = page.find("\n## " + std::string(name) + "\n");
  if (begin == std::string::npos) return {};
  return page.substr(begin, page.find("\n## ", begin + 1) - begin);
}

// Rows "| `option` | default | ..." of a section.
std::map<std::string, std::string> OptionRows(const std::string& section) {
  std::map<std::string, std::string> rows;
  for (const std::string& line : LinesOf(section)) {
    if (line.rfind("| `", 0) != 0) continue;
    const std::size_t end = line.find("` | ");
    if (end == std::string::npos) continue;
    const std::size_t bar = line.find(" |", end + 3);
    rows[line.substr(3, end - 3)] = line.substr(end + 4, bar - end - 4);
  }
  return rows;
}

TEST_F(JobsDocsTest, PageHasASectionForEachTypeWithEveryOptionAndItsDefault) {
  std::string page = ReadSource(kPage);
  for (const JobSpec* spec : AllJobs()) {
    if (Updating() && FindSection(page, spec->name).empty()) page += SectionFor(*spec);
    const std::string section = FindSection(page, spec->name);
    EXPECT_NE(section, "") << "no section ## " << spec->name;
    auto rows = OptionRows(section);
    for (const JobOption& option : spec->options) {
      const std::string name(option.name);
      ASSERT_TRUE(rows.count(name)) << "## " << spec->name << " has no row of option " << name;
      if (option.required) {
        EXPECT_EQ(rows[name], "required") << spec->name << " " << name;
      } else if (!option.fallback.empty()) {
        EXPECT_EQ(rows[name], "`" + std::string(option.fallback) + "`")
            << spec->name << " " << name;
      }
      rows.erase(name);
    }
    for (const auto& [name, fallback] : rows) {
      ADD_FAILURE() << "## " << spec->name << " has a row of " << name << ", which is no option";
    }
  }
  if (Updating()) WriteSource(kPage, page);
}

}  // namespace
}  // namespace pgsteward
