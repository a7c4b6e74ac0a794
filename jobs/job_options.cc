#include "jobs/job_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <type_traits>

#include "core/duration.h"
#include "core/shown.h"

namespace pgsteward {

namespace {

Error Bad(std::string message, std::string hint) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

std::string PlainNumber(double number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return std::string(text.data(), end);
}

template <class T>
Result<std::string> NormalNumber(const JobOption& option, std::string_view text) {
  T number{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool in_range =
      static_cast<double>(number) >= option.least && static_cast<double>(number) <= option.most;
  if (failed == std::errc() && end == text.data() + text.size() && in_range) {
    // A whole number stays one: as a double 10000000 would be 1e+07, and read back as 1.
    if constexpr (std::is_integral_v<T>) return std::to_string(number);
    return PlainNumber(static_cast<double>(number));
  }
  std::string hint =
      option.kind == OptionKind::kInteger ? "Write a whole number" : "Write a number";
  hint += " of at least " + PlainNumber(option.least);
  if (option.most < std::numeric_limits<double>::max()) {
    hint += " and at most " + PlainNumber(option.most);
  }
  return Bad(Shown(text) + " does not fit", hint + ".");
}

Result<std::string> NormalWord(const JobOption& option, std::string_view text) {
  if (std::find(option.words.begin(), option.words.end(), text) != option.words.end()) {
    return std::string(text);
  }
  std::string known;
  for (const std::string_view word : option.words) {
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  return Bad(Shown(text) + " is unknown here", "Write one of: " + known + ".");
}

Result<std::string> NormalDuration(const JobOption& option, std::string_view text) {
  const auto duration = ParseDuration(text);
  if (!duration) return duration.error();
  const auto seconds = static_cast<double>(duration->count());
  if (seconds < option.least || seconds > option.most) {
    return Bad(FormatDuration(*duration) + " is out of range",
               "Write at least " +
                   FormatDuration(std::chrono::seconds(static_cast<long long>(option.least))) +
                   ".");
  }
  return FormatDuration(*duration);
}

}  // namespace

Result<std::string> NormalOption(const JobOption& option, std::string_view text) {
  switch (option.kind) {
    case OptionKind::kText:
    case OptionKind::kTexts:
    case OptionKind::kFile:
      return std::string(text);
    case OptionKind::kWord:
      return NormalWord(option, text);
    case OptionKind::kInteger:
      return NormalNumber<long long>(option, text);
    case OptionKind::kNumber:
      return NormalNumber<double>(option, text);
    case OptionKind::kSwitch:
      if (text == "true" || text == "false") return std::string(text);
      return Bad(Shown(text) + " is not a switch", "Write true or false.");
    case OptionKind::kDuration:
      return NormalDuration(option, text);
    case OptionKind::kAge:
      return ParseAge(text);
  }
  return std::string(text);
}

Result<std::string> ParseAge(std::string_view text) {
  constexpr std::array<std::string_view, 4> kUnits = {"day", "week", "month", "year"};
  const Error bad = Bad(Shown(text) + " is not an age",
                        "Write a whole number and days, weeks, months or years: 30 days, 1 year.");
  int number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || number < 1 || number > 36'500) return bad;
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));
  std::transform(unit.begin(), unit.end(), unit.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (!unit.empty() && unit.back() == 's') unit.pop_back();
  if (std::find(kUnits.begin(), kUnits.end(), unit) == kUnits.end()) return bad;
  return std::to_string(number) + " " + unit + (number == 1 ? "" : "s");
}

void JobOptions::Set(std::string_view name, std::string value) {
  values_.insert_or_assign(std::string(Find(name).name), std::move(value));
}

const JobOption& JobOptions::Find(std::string_view name) const {
  for (const JobOption& option : declared_) {
    if (option.name == name) return option;
  }
  throw std::logic_error("the job declares no option " + std::string(name));
}

std::string JobOptions::Text(std::string_view name) const {
  const auto set = values_.find(name);
  return set == values_.end() ? std::string(Find(name).fallback) : set->second;
}

long long JobOptions::Integer(std::string_view name) const { return std::stoll(Text(name)); }
double JobOptions::Number(std::string_view name) const { return std::stod(Text(name)); }
bool JobOptions::Switch(std::string_view name) const { return Text(name) == "true"; }
std::chrono::seconds JobOptions::Duration(std::string_view name) const {
  return ParseDuration(Text(name)).value();
}

std::vector<std::string> JobOptions::Texts(std::string_view name) const {
  const std::string text = Text(name);
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    texts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return texts;
}

std::string JobOptions::WideningText() const {
  std::string text;
  for (const JobOption& option : declared_) {
    if (!option.widens) continue;
    text += (text.empty() ? "" : ";") + std::string(option.name) + "=" + Text(option.name);
  }
  return text;
}

}  // namespace pgsteward
