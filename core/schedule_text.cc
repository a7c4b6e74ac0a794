#include "core/schedule_text.h"

#include <algorithm>

#include "core/shown.h"

namespace pgsteward {

std::vector<std::string_view> SplitWords(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    words.push_back(text.substr(0, text.find_first_of(" \t")));
    text.remove_prefix(words.back().size());
  }
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower;
}

std::optional<std::chrono::minutes> ReadClock(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto digits = [text](std::size_t at) -> int {
    const int tens = text[at] - '0';
    const int ones = text[at + 1] - '0';
    return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : 99;
  };
  const int minutes = digits(0) * 60 + digits(3);
  if (digits(3) > 59 || minutes > 24 * 60) return std::nullopt;
  return std::chrono::minutes(minutes);
}

std::string ShownSchedule(std::string_view text) {
  // Only in front is "@" a macro's; elsewhere a password may stand before it.
  const bool macro = text.starts_with('@');
  std::string shown = Shown(text.substr(macro ? 1 : 0), "*,?#$~");
  if (macro && shown.front() == '"') shown.insert(1, "@");
  return shown;
}

Error BadSchedule(std::string message, std::string hint) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

}  // namespace pgsteward
