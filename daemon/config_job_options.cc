#include <algorithm>

#include "core/pg_conninfo.h"
#include "daemon/config_files.h"
#include "daemon/config_jobs.h"

namespace pgsteward {

namespace {

Error Bad(std::string message, std::string hint = {}) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

// In text form, one per line.
std::optional<Located<std::string>> ReadList(ConfigMap& map, std::string_view key) {
  const auto items = map.Texts(key);
  if (!items) return std::nullopt;
  Located<std::string> list{"", map.at()};
  bool right = true;
  for (const auto& [item, at] : *items) {
    if (item.empty() || item.find('\n') != std::string::npos) {
      map.AddError(at, key, Bad(item.empty() ? "has an empty item" : "has an item of two lines"));
      right = false;
    }
    if (list.value.empty()) list.at = at;
    list.value += (list.value.empty() ? "" : "\n") + item;
  }
  if (!right) return std::nullopt;
  return list;
}

std::optional<Located<std::string>> ReadText(ConfigMap& map, const JobOption& option) {
  switch (option.kind) {
    case OptionKind::kTexts:
      return ReadList(map, option.name);
    case OptionKind::kInteger:
    case OptionKind::kNumber:
    case OptionKind::kSwitch:
      return map.Plain(option.name);
    default:
      return map.Text(option.name);
  }
}

void ReadFile(ConfigMap& map, const std::string& config_path, const JobOption& option,
              Located<std::string>& file) {
  file.value = ResolvePath(config_path, file.value);
  const auto odd = SecretFileWarning(file.value, "Write the secret into it.");
  if (odd) map.AddWarning(file.at, option.name, *odd);
}

void ReadOption(ConfigMap& map, const std::string& config_path, const JobOption& option,
                JobOptions& options) {
  auto text = ReadText(map, option);
  if (!text) return;
  if (text->value.empty() && option.fallback.empty()) return;  // the same as leaving it out
  if (text->value.find('\0') != std::string::npos) {
    map.AddError(text->at, option.name, Bad("has a zero byte"));
    return;
  }
  auto normal = NormalOption(option, text->value);
  if (!normal) {
    map.AddError(text->at, option.name, normal.error());
    return;
  }
  text->value = std::move(*normal);
  if (option.kind == OptionKind::kFile) ReadFile(map, config_path, option, *text);
  if (CheckConninfo(text->value) && HasPassword(text->value)) {
    map.AddWarning(text->at, option.name,
                   Bad("holds a password in plain text", "Move it to a file."));
  }
  options.Set(option.name, std::move(text->value));
}

}  // namespace

void ReadJobOptions(ConfigMap& map, const std::string& config_path, bool needed,
                    JobOptions& options) {
  for (const JobOption& option : options.declared()) {
    ReadOption(map, config_path, option, options);
    if (!needed || !option.required || !options.Text(option.name).empty()) continue;
    if (map.Has(option.name) && option.kind != OptionKind::kText) continue;  // complained of above
    map.AddError(map.at(), "",
                 Bad("the job is enabled and has no " + std::string(option.name),
                     "Write " + std::string(option.name) + ": " + std::string(option.help)));
  }
}

}  // namespace pgsteward
