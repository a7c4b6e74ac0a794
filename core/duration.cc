#include "core/duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "core/shown.h"

namespace pgsteward {

namespace {

struct Unit {
  char letter;
  int seconds;
};
constexpr std::array<Unit, 4> kUnits = {{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsDigit);
}

// Empty when the text has another form. Nine digits cannot overflow.
std::optional<std::chrono::seconds> ReadUnits(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  for (const Unit& unit : kUnits) {
    const auto digits = static_cast<std::size_t>(
        std::find_if_not(text.begin(), text.end(), IsDigit) - text.begin());
    if (digits == 0 || digits > 9 || digits == text.size() || text[digits] != unit.letter) continue;
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + digits, number);
    total += number * unit.seconds;
    text.remove_prefix(digits + 1);
  }
  if (!text.empty()) return std::nullopt;
  return std::chrono::seconds(total);
}

Error Bad(std::string message, std::string hint) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

}  // namespace

Result<std::chrono::seconds> ParseDuration(std::string_view text) {
  if (const auto duration = ReadUnits(text)) return *duration;
  if (IsDigits(text)) {
    return Bad(Shown(text) + " has no unit", "Write " + std::string(text.substr(0, 9)) + "s.");
  }
  if (text.size() > 2 && text.substr(text.size() - 2) == "ms" &&
      IsDigits(text.substr(0, text.size() - 2))) {
    return Bad(Shown(text) + " is finer than a second", "Write whole seconds such as 1s.");
  }
  return Bad(Shown(text) + " is not a duration", "Write it like 15s, 5m, 1h30m or 2d.");
}

std::string FormatDuration(std::chrono::seconds duration) {
  std::string text;
  std::int64_t left = duration.count();
  for (const Unit& unit : kUnits) {
    if (left < unit.seconds) continue;
    text += std::to_string(left / unit.seconds) + unit.letter;
    left %= unit.seconds;
  }
  return text.empty() ? "0s" : text;
}

}  // namespace pgsteward
