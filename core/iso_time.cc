#include "core/iso_time.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace pgsteward {

namespace {

using std::chrono::microseconds;

constexpr std::string_view kForm = "0000-00-00T00:00:00.000000Z";
constexpr int kFirstYear = 1970;
constexpr int kLastYear = 2261;  // WallTime counts nanoseconds

bool HasForm(std::string_view text) {
  if (text.size() != kForm.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return false;
  }
  return true;
}

int Number(std::string_view text, std::size_t at, std::size_t length) {
  int number = 0;
  std::from_chars(text.data() + at, text.data() + at + length, number);
  return number;
}

}  // namespace

std::string IsoMicros(WallTime time) {
  const auto micros = std::chrono::floor<microseconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(micros);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(micros - day);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return text.data();
}

std::string UtcText(WallTime time) {
  const std::string iso = IsoMicros(time);
  return iso.substr(0, 10) + " " + iso.substr(11, 8) + " UTC";
}

std::optional<WallTime> ParseIsoMicros(std::string_view text) {
  if (!HasForm(text)) return std::nullopt;
  const std::chrono::year_month_day date(
      std::chrono::year(Number(text, 0, 4)),
      std::chrono::month(static_cast<unsigned>(Number(text, 5, 2))),
      std::chrono::day(static_cast<unsigned>(Number(text, 8, 2))));
  const int hours = Number(text, 11, 2);
  const int minutes = Number(text, 14, 2);
  const int seconds = Number(text, 17, 2);
  const int year = static_cast<int>(date.year());
  if (!date.ok() || year < kFirstYear || year > kLastYear) return std::nullopt;
  if (hours > 23 || minutes > 59 || seconds > 59) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
         std::chrono::seconds(seconds) + microseconds(Number(text, 20, 6));
}

}  // namespace pgsteward
