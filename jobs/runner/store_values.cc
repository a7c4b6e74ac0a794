#include "jobs/runner/store_values.h"

#include <charconv>
#include <cstdlib>

#include "core/json.h"
#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr std::string_view kInfinity = "infinity";
constexpr std::size_t kDigits = 6;

}  // namespace

std::optional<std::string> EpochText(std::optional<WallTime> time) {
  if (!time) return std::nullopt;
  if (*time == WallTime::max()) return std::string(kInfinity);
  const auto us =
      std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch()).count();
  std::string digits = std::to_string(us % 1'000'000);
  return std::to_string(us / 1'000'000) + "." + std::string(kDigits - digits.size(), '0') + digits;
}

std::optional<WallTime> TimeOfEpoch(std::string_view text) {
  if (text == kInfinity || text == "Infinity") return WallTime::max();
  // Digit by digit: a double cannot hold all microseconds.
  const std::size_t point = text.find('.');
  std::string digits(text.substr(0, point));
  std::string fraction(point == std::string_view::npos ? "" : text.substr(point + 1));
  fraction.resize(kDigits, '0');
  digits += fraction;
  long long us = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, us);
  if (text.empty() || point == 0 || parsed.ec != std::errc() || parsed.ptr != end) {
    return std::nullopt;
  }
  // Beyond the year 2262 our clock's type ends; nobody means a certain day by it.
  constexpr auto kLast =
      std::chrono::duration_cast<std::chrono::microseconds>(WallTime::max().time_since_epoch());
  if (us > kLast.count()) return WallTime::max();
  return WallTime(std::chrono::microseconds(us));
}

std::optional<WallTime> TimeAt(const PgResult& rows, int row, int column) {
  return TimeOfEpoch(rows.Text(row, column));
}

std::string TextAt(const PgResult& rows, int row, int column) {
  return std::string(rows.Text(row, column));
}

std::string JsonNumbers(const std::map<std::string, double>& numbers) {
  std::string json = "{";
  for (const auto& [name, number] : numbers) {
    json += (json.size() > 1 ? "," : "") + JsonQuoted(name) + ":" + std::to_string(number);
  }
  return json + "}";
}

std::map<std::string, double> NumbersOf(std::string_view json) {
  std::map<std::string, double> numbers;
  const auto object = ParseFlatJson(json);
  if (!object) return numbers;
  for (const auto& [name, text] : *object) numbers[name] = std::atof(text.c_str());
  return numbers;
}

CounterAmounts::CounterAmounts(const std::map<std::string, double>& amounts) {
  std::vector<std::string> name_list;
  std::vector<std::string> number_list;
  for (const auto& [name, number] : amounts) {
    name_list.push_back(name);
    number_list.push_back(std::to_string(number));
  }
  names = ArrayText(name_list);
  numbers = ArrayText(number_list);
}

}  // namespace pgsteward
