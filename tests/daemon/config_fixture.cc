#include "tests/daemon/config_fixture.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace pgsteward {

ConfigTest::ConfigTest() {
  std::string directory = testing::TempDir() + "pgsteward-config-XXXXXX";
  if (!::mkdtemp(directory.data())) throw std::runtime_error("mkdtemp failed");
  directory_ = directory;
  for (const char* name : {"PGDATABASE", "PGSERVICE", "PGUSER", "CREDENTIALS_DIRECTORY"}) {
    ::unsetenv(name);
  }
}

ConfigTest::~ConfigTest() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string ConfigTest::Write(const std::string& name, const std::string& text) {
  const std::string path = directory_ + "/" + name;
  // A file that is shortened and written again is flushed to the disk at once by some file systems.
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

std::string ConfigTest::Lines(const std::vector<ConfigProblem>& problems) const {
  std::string lines;
  for (const ConfigProblem& problem : problems) {
    std::string line = problem.ToText();
    if (line.rfind(directory_ + "/", 0) == 0) line.erase(0, directory_.size() + 1);
    lines += line + "\n";
  }
  return lines;
}

std::string ConfigTest::Errors(const std::string& text) {
  return ErrorsOfFile(Write("c.yaml", text));
}

std::string ConfigTest::ErrorsOfFile(const std::string& path) const {
  const auto loaded = LoadConfig(path, types_);
  return loaded ? "accepted" : Lines(loaded.error());
}

Config ConfigTest::Load(const std::string& text) {
  const auto loaded = LoadConfig(Write("c.yaml", text), types_);
  if (loaded) return loaded->config;
  ADD_FAILURE() << Lines(loaded.error());
  return {};
}

std::string ConfigTest::Warnings(const std::string& text) {
  const auto loaded = LoadConfig(Write("c.yaml", text), types_);
  if (loaded) return Lines(loaded->warnings);
  ADD_FAILURE() << Lines(loaded.error());
  return {};
}

std::string ReadSource(const std::string& path) {
  std::ifstream file(std::string(PGSTEWARD_SOURCE_DIR) + "/" + path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace pgsteward
