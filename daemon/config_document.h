// A YAML file as one document, and everything that is wrong with it.
#pragma once

#include <yaml-cpp/yaml.h>

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "daemon/config.h"

namespace pgsteward {

// What was found so far in one file.
class ConfigProblems {
 public:
  explicit ConfigProblems(std::string file) : file_(std::move(file)) {}

  void AddError(const YAML::Mark& at, const Error& error);
  void AddWarning(const YAML::Mark& at, const Error& warning);
  bool any_error() const { return !errors_.empty(); }
  // In file order, each once: what stands behind an alias is read once per use.
  std::vector<ConfigProblem> TakeErrors();
  std::vector<ConfigProblem> TakeWarnings();

 private:
  std::string file_;
  std::vector<ConfigProblem> errors_;
  std::vector<ConfigProblem> warnings_;
};

// The only document of `text`; empty after an error.
std::optional<YAML::Node> ParseYaml(std::string text, ConfigProblems& problems);

}  // namespace pgsteward
