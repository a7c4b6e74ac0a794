// Reads YAML mappings key by key and notes everything that is wrong with them.
#pragma once

#include <yaml-cpp/yaml.h>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "daemon/config_document.h"

namespace pgsteward {

// A value and where it stands.
template <class T>
struct Located {
  T value;
  YAML::Mark at;
};

struct DurationRange {
  std::chrono::seconds least;
  std::chrono::seconds most;
  bool or_none = false;  // the word "none" stands for no value
};

// One mapping. Each getter is empty when the key is absent or its value is wrong, and then the
// problem is noted. The keys that were asked for are the known ones.
class ConfigMap {
 public:
  // `path` is for messages: "collectors.locks", empty for the whole file. Nothing (a key whose
  // settings are all commented out) is an empty mapping; anything else is an error.
  ConfigMap(const YAML::Node& node, YAML::Mark at, std::string path, ConfigProblems& problems);

  // False: it is something else, and that was noted; do not ask it for keys.
  bool valid() const { return valid_; }
  YAML::Mark at() const { return at_; }
  bool Has(std::string_view key) const;

  // The keys of a mapping that may have any; all of them then count as known.
  std::vector<Located<std::string>> Keys();

  std::optional<Located<std::string>> Text(std::string_view key);
  // A number or a switch, as text: refused in quotes, which are for text.
  std::optional<Located<std::string>> Plain(std::string_view key);
  std::optional<Located<std::chrono::seconds>> Duration(std::string_view key, DurationRange range);
  std::optional<Located<int>> Integer(std::string_view key, int least, int most);
  std::optional<Located<bool>> Switch(std::string_view key);
  // The index of the value in `words`.
  std::optional<Located<std::size_t>> Choice(std::string_view key,
                                             std::span<const std::string_view> words);
  std::optional<std::vector<Located<std::string>>> Texts(std::string_view key);
  std::optional<ConfigMap> Map(std::string_view key);
  std::optional<std::vector<ConfigMap>> Maps(std::string_view key);

  // Call last: every key that nobody asked for is unknown.
  void RefuseOthers();

  // Notes a problem of `key`, or of the mapping itself when that is empty.
  void AddError(const YAML::Mark& at, std::string_view key, const Error& error) const;
  void AddWarning(const YAML::Mark& at, std::string_view key, const Error& warning) const;

 private:
  struct Entry {
    std::string key;
    YAML::Mark key_mark;
    YAML::Node value;
    bool asked = false;
  };

  void AddEntries(const YAML::Node& map, int depth);
  void Merge(const YAML::Node& value, YAML::Mark at, int depth);
  Entry* Find(std::string_view key);
  // Also learns that the key is known.
  Entry* Ask(std::string_view key);
  bool RefuseTag(const YAML::Node& node, const YAML::Mark& at, std::string_view key) const;
  // Where a value stands; an absent one has no place of its own.
  static YAML::Mark MarkOf(const Entry& entry);
  std::optional<Located<std::string>> Scalar(const YAML::Node& node, const YAML::Mark& at,
                                             std::string_view key);
  std::string PathOf(std::string_view key) const;

  YAML::Mark at_;
  std::string path_;
  ConfigProblems* problems_;
  std::vector<Entry> entries_;
  std::vector<std::string> known_;
  bool valid_ = true;
};

}  // namespace pgsteward
