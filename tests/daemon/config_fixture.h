// Configuration files for a moment, and problems as text.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "daemon/config.h"

namespace pgsteward {

class ConfigTest : public testing::Test {
 protected:
  ConfigTest();
  ~ConfigTest() override;

  // Instead of the program's own.
  void UseJobTypes(std::span<const JobSpec* const> types) { types_ = types; }

  // The file's path. The directory is empty before the first.
  std::string Write(const std::string& name, const std::string& text);
  const std::string& directory() const { return directory_; }

  // One line each, the path of the directory cut off: "c.yaml:3:5: message". An accepted file gives
  // "accepted".
  std::string Errors(const std::string& text);
  std::string ErrorsOfFile(const std::string& path) const;
  // Of a file that must be accepted.
  Config Load(const std::string& text);
  std::string Warnings(const std::string& text);

 private:
  std::string Lines(const std::vector<ConfigProblem>& problems) const;

  std::string directory_;
  std::span<const JobSpec* const> types_ = AllJobs();
};

// A file of the source tree.
std::string ReadSource(const std::string& path);

// Everything that the jobs of any server depend on.
inline std::string AllEssences(const Config& config) {
  std::string text;
  for (const ServerConfig& server : config.servers) text += JobsEssence(config, server);
  return text;
}

}  // namespace pgsteward
