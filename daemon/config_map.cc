#include "daemon/config_map.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "core/duration.h"
#include "core/shown.h"
#include "daemon/config_values.h"

namespace pgsteward {

namespace {

constexpr int kDeepestMerge = 8;  // an anchored mapping may merge itself

Error Bad(std::string message, std::string hint = {}) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

std::string_view TypeName(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a mapping";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return "a single value";
    default:
      return "nothing";
  }
}

// Quoted, or tagged by hand as text.
bool IsQuoted(const YAML::Node& node) {
  return node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str";
}

bool HasForeignTag(const YAML::Node& node) {
  const std::string& tag = node.Tag();
  return !tag.empty() && tag != "?" && tag != "!" && tag.rfind("tag:yaml.org,2002:", 0) != 0;
}

// Only what looks like a key is repeated in messages: anything may have slipped into its place.
std::string ShownKey(const std::string& key) {
  const bool word =
      !key.empty() && key.size() <= 40 && std::all_of(key.begin(), key.end(), [](unsigned char c) {
        return std::isalnum(c) || c == '_' || c == '-';
      });
  return word ? " \"" + key + "\"" : "";
}

}  // namespace

ConfigMap::ConfigMap(const YAML::Node& node, YAML::Mark at, std::string path,
                     ConfigProblems& problems)
    : at_(at), path_(std::move(path)), problems_(&problems) {
  valid_ = !RefuseTag(node, at_, "") && (node.IsNull() || node.IsMap());
  if (node.IsMap()) {
    AddEntries(node, 0);
  } else if (!node.IsNull()) {
    AddError(at_, "",
             Bad("must be a mapping, not " + std::string(TypeName(node)),
                 "Write \"key: value\" lines."));
  }
}

void ConfigMap::AddEntries(const YAML::Node& map, int depth) {
  const auto first_own = static_cast<std::ptrdiff_t>(entries_.size());
  std::vector<Entry> merges;
  for (const auto& pair : map) {
    if (!pair.first.IsScalar() || HasForeignTag(pair.first)) {
      AddError(pair.first.Mark(), "", Bad("a key must be a single word"));
      continue;
    }
    Entry entry{.key = pair.first.Scalar(), .key_mark = pair.first.Mark(), .value = pair.second};
    const bool merge = entry.key == "<<" && !IsQuoted(pair.first);
    auto& own = merge ? merges : entries_;
    const auto same = std::find_if(own.begin() + (merge ? 0 : first_own), own.end(),
                                   [&entry](const Entry& e) { return e.key == entry.key; });
    if (same != own.end()) {
      AddError(entry.key_mark, "",
               Bad("duplicate key" + ShownKey(entry.key) + ", first in line " +
                       std::to_string(same->key_mark.line + 1),
                   "Keep one of them."));
    } else if (merge || !Find(entry.key)) {  // what the merging mapping says itself wins
      own.push_back(std::move(entry));
    }
  }
  for (const Entry& merge : merges) Merge(merge.value, merge.key_mark, depth + 1);
}

void ConfigMap::Merge(const YAML::Node& value, YAML::Mark at, int depth) {
  if (depth > kDeepestMerge) {
    AddError(at, "", Bad("merge keys nest too deep", "Write the settings out."));
  } else if (value.IsMap()) {
    AddEntries(value, depth);
  } else if (value.IsSequence()) {
    for (const auto& item : value) Merge(item, at, depth + 1);
  } else {
    AddError(at, "",
             Bad("a merge key needs a mapping, not " + std::string(TypeName(value)),
                 "Write it like \"<<: *anchor\"."));
  }
}

ConfigMap::Entry* ConfigMap::Find(std::string_view key) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [key](const Entry& e) { return e.key == key; });
  return entry == entries_.end() ? nullptr : &*entry;
}

bool ConfigMap::Has(std::string_view key) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [key](const Entry& e) { return e.key == key; });
}

ConfigMap::Entry* ConfigMap::Ask(std::string_view key) {
  known_.emplace_back(key);
  Entry* entry = Find(key);
  if (!entry) return nullptr;
  entry->asked = true;
  return RefuseTag(entry->value, MarkOf(*entry), key) ? nullptr : entry;
}

bool ConfigMap::RefuseTag(const YAML::Node& node, const YAML::Mark& at,
                          std::string_view key) const {
  if (!HasForeignTag(node)) return false;
  AddError(at, key,
           Bad("has a YAML tag (!...) that means nothing here", "Write the value itself."));
  return true;
}

YAML::Mark ConfigMap::MarkOf(const Entry& entry) {
  return entry.value.IsNull() ? entry.key_mark : entry.value.Mark();
}

std::optional<Located<std::string>> ConfigMap::Scalar(const YAML::Node& node, const YAML::Mark& at,
                                                      std::string_view key) {
  if (RefuseTag(node, at, key)) return std::nullopt;
  if (node.IsScalar()) return Located<std::string>{node.Scalar(), at};
  if (node.IsNull()) {
    AddError(at, key, Bad("has no value", "Write one, or leave the key out."));
  } else {
    AddError(at, key, Bad("must be a single value, not " + std::string(TypeName(node))));
  }
  return std::nullopt;
}

std::optional<Located<std::string>> ConfigMap::Text(std::string_view key) {
  const Entry* entry = Ask(key);
  if (!entry) return std::nullopt;
  return Scalar(entry->value, MarkOf(*entry), key);
}

std::vector<Located<std::string>> ConfigMap::Keys() {
  std::vector<Located<std::string>> keys;
  for (Entry& entry : entries_) {
    entry.asked = true;
    keys.push_back({entry.key, entry.key_mark});
  }
  return keys;
}

std::optional<Located<std::string>> ConfigMap::Plain(std::string_view key) {
  auto text = Text(key);
  // An empty text says that there is none.
  if (text && !text->value.empty() && IsQuoted(Find(key)->value)) {
    AddError(text->at, key, Bad("is text in quotes", "Leave the quotes out."));
    return std::nullopt;
  }
  return text;
}

std::optional<Located<std::chrono::seconds>> ConfigMap::Duration(std::string_view key,
                                                                 DurationRange range) {
  const auto text = Text(key);
  if (!text || (range.or_none && text->value == "none")) return std::nullopt;
  const auto duration = ParseDuration(text->value);
  if (!duration) {
    AddError(text->at, key, duration.error());
    return std::nullopt;
  }
  if (*duration < range.least || *duration > range.most) {
    AddError(
        text->at, key,
        Bad(FormatDuration(*duration) + " is out of range",
            "Write " + FormatDuration(range.least) + " to " + FormatDuration(range.most) + "."));
    return std::nullopt;
  }
  return Located<std::chrono::seconds>{*duration, text->at};
}

std::optional<Located<int>> ConfigMap::Integer(std::string_view key, int least, int most) {
  const auto text = Text(key);
  if (!text) return std::nullopt;
  const std::string hint =
      "Write a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ".";
  if (IsQuoted(Find(key)->value)) {
    AddError(text->at, key, Bad("is text in quotes", hint));
    return std::nullopt;
  }
  int number = 0;
  const char* end = text->value.data() + text->value.size();
  const auto [stop, failed] = std::from_chars(text->value.data(), end, number);
  if (stop != end || failed == std::errc::invalid_argument) {
    AddError(text->at, key, Bad(Shown(text->value) + " is not a whole number", hint));
    return std::nullopt;
  }
  if (failed != std::errc() || number < least || number > most) {
    AddError(text->at, key, Bad(Shown(text->value) + " is out of range", hint));
    return std::nullopt;
  }
  return Located<int>{number, text->at};
}

std::optional<Located<bool>> ConfigMap::Switch(std::string_view key) {
  const auto text = Text(key);
  if (!text) return std::nullopt;
  const bool on = text->value == "true";
  if ((!on && text->value != "false") || IsQuoted(Find(key)->value)) {
    AddError(text->at, key,
             Bad(Shown(text->value) + " is not a switch", "Write true or false, without quotes."));
    return std::nullopt;
  }
  return Located<bool>{on, text->at};
}

std::optional<Located<std::size_t>> ConfigMap::Choice(std::string_view key,
                                                      std::span<const std::string_view> words) {
  const auto text = Text(key);
  if (!text) return std::nullopt;
  const auto word = std::find(words.begin(), words.end(), text->value);
  if (word == words.end()) {
    AddError(
        text->at, key,
        Bad(Shown(text->value) + " is unknown here", "Write " + JoinWords(words, " or ") + "."));
    return std::nullopt;
  }
  return Located<std::size_t>{static_cast<std::size_t>(word - words.begin()), text->at};
}

std::optional<std::vector<Located<std::string>>> ConfigMap::Texts(std::string_view key) {
  const Entry* entry = Ask(key);
  if (!entry) return std::nullopt;
  if (!entry->value.IsSequence()) {
    AddError(MarkOf(*entry), key,
             Bad("must be a list, not " + std::string(TypeName(entry->value)),
                 "Write it like [one, two]."));
    return std::nullopt;
  }
  std::vector<Located<std::string>> texts;
  for (const auto& item : entry->value) {
    if (const auto text = Scalar(item, item.IsNull() ? entry->key_mark : item.Mark(), key)) {
      texts.push_back(*text);
    }
  }
  return texts;
}

std::optional<ConfigMap> ConfigMap::Map(std::string_view key) {
  const Entry* entry = Ask(key);
  if (!entry) return std::nullopt;
  ConfigMap map(entry->value, MarkOf(*entry), PathOf(key), *problems_);
  if (!map.valid()) return std::nullopt;
  return map;
}

std::optional<std::vector<ConfigMap>> ConfigMap::Maps(std::string_view key) {
  const Entry* entry = Ask(key);
  if (!entry) return std::nullopt;
  std::vector<ConfigMap> maps;
  if (entry->value.IsNull()) return maps;
  if (!entry->value.IsSequence()) {
    AddError(MarkOf(*entry), key,
             Bad("must be a list, not " + std::string(TypeName(entry->value)),
                 "Begin each item with \"- \"."));
    return std::nullopt;
  }
  for (const auto& item : entry->value) {
    maps.emplace_back(item, item.IsNull() ? entry->key_mark : item.Mark(), PathOf(key), *problems_);
  }
  return maps;
}

void ConfigMap::RefuseOthers() {
  std::vector<std::string_view> known(known_.begin(), known_.end());
  for (const Entry& entry : entries_) {
    if (entry.asked) continue;
    const std::string_view meant = Suggestion(entry.key, known);
    AddError(entry.key_mark, "",
             Bad("unknown key" + ShownKey(entry.key),
                 meant.empty() ? "The keys here are " + JoinWords(known, " and ") + "."
                               : "Did you mean \"" + std::string(meant) + "\"?"));
  }
}

void ConfigMap::AddError(const YAML::Mark& at, std::string_view key, const Error& error) const {
  const std::string path = PathOf(key);
  problems_->AddError(at, path.empty() ? error : Bad(path + ": " + error.message, error.hint));
}

void ConfigMap::AddWarning(const YAML::Mark& at, std::string_view key, const Error& warning) const {
  const std::string path = PathOf(key);
  problems_->AddWarning(at,
                        path.empty() ? warning : Bad(path + ": " + warning.message, warning.hint));
}

std::string ConfigMap::PathOf(std::string_view key) const {
  if (key.empty()) return path_;
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

}  // namespace pgsteward
