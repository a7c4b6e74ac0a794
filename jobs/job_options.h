// The settings of a job: declared in a table, read from the configuration by it.
#pragma once

#include <chrono>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pgsteward {

enum class OptionKind {
  kText,
  kWord,      // one of `words`
  kInteger,   // least to most
  kNumber,    // least to most
  kSwitch,    // true or false
  kDuration,  // "15s"; least to most in seconds
  kAge,       // of rows, in calendar units: "30 days", "1 year"; PostgreSQL's interval
  kTexts,     // a list; in text form one per line
  kFile,      // a path, relative to the configuration file; its content is a secret
};

struct JobOption {
  std::string_view name;
  OptionKind kind = OptionKind::kText;
  std::string_view fallback;  // the default, in text form
  std::string_view help;      // one sentence
  double least = 0;
  double most = std::numeric_limits<double>::max();
  std::span<const std::string_view> words = {};
  // Defines what is destroyed: changing it asks for a confirmation.
  bool widens = false;
  // There is no default: a job that is enabled without a value is an error of the configuration.
  bool required = false;
};

// Checks a value and brings it into its normal form ("1 Year" -> "1 year").
Result<std::string> NormalOption(const JobOption& option, std::string_view text);

// "30 days", "1 year", "18 months", "2 weeks": one whole number and one unit. Normal form.
Result<std::string> ParseAge(std::string_view text);

// Values by name; what is not set has its default. Asking for an option that the job does not
// declare is a bug and throws.
class JobOptions {
 public:
  explicit JobOptions(std::span<const JobOption> declared) : declared_(declared) {}

  // `value` is in normal form.
  void Set(std::string_view name, std::string value);

  std::string Text(std::string_view name) const;
  long long Integer(std::string_view name) const;
  double Number(std::string_view name) const;
  bool Switch(std::string_view name) const;
  std::chrono::seconds Duration(std::string_view name) const;
  std::vector<std::string> Texts(std::string_view name) const;

  std::span<const JobOption> declared() const { return declared_; }
  // "older_than=1 year;target=..." of the options that define what is destroyed.
  std::string WideningText() const;

 private:
  const JobOption& Find(std::string_view name) const;

  std::span<const JobOption> declared_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace pgsteward
