#include "daemon/job_times.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <optional>

#include "core/iso_time.h"
#include "core/shown.h"
#include "core/terminal_text.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::year_month_day;

constexpr WallTime kForEver = std::chrono::sys_days(std::chrono::year(2200) / 1 / 1);

// `pattern` with a digit for each 'd', everything else as it stands.
bool Looks(std::string_view text, std::string_view pattern) {
  if (text.size() != pattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (pattern[i] == 'd' ? !digit : text[i] != pattern[i]) return false;
  }
  return true;
}

int Digits(std::string_view text, std::size_t at, std::size_t count) {
  int number = 0;
  for (const char c : text.substr(at, count)) number = number * 10 + (c - '0');
  return number;
}

std::optional<LocalSeconds> ReadLocal(std::string_view text) {
  const bool with_time = Looks(text, "dddd-dd-dd dd:dd");
  const bool with_seconds = Looks(text, "dddd-dd-dd dd:dd:dd");
  if (!with_time && !with_seconds && !Looks(text, "dddd-dd-dd")) return std::nullopt;
  const year_month_day day(std::chrono::year(Digits(text, 0, 4)),
                           std::chrono::month(static_cast<unsigned>(Digits(text, 5, 2))),
                           std::chrono::day(static_cast<unsigned>(Digits(text, 8, 2))));
  const int hour = with_time || with_seconds ? Digits(text, 11, 2) : 0;
  const int minute = with_time || with_seconds ? Digits(text, 14, 2) : 0;
  const int second = with_seconds ? Digits(text, 17, 2) : 0;
  if (!day.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  if (day.year() < std::chrono::year(1970) || day.year() >= std::chrono::year(2200)) {
    return std::nullopt;
  }
  return std::chrono::local_days(day) + hours(hour) + minutes(minute) + seconds(second);
}

}  // namespace

bool IsForEver(WallTime time) { return time >= kForEver; }

std::string LocalTime(const TimeZone& zone, WallTime time) {
  return IsForEver(time) ? "for ever" : zone.Format(time);
}

std::string Relative(WallTime time, WallTime now) {
  const double distance = std::chrono::duration<double>(time - now).count();
  if (distance > -1 && distance < 1) return "now";
  return distance > 0 ? "in " + ShortDuration(distance) : ShortDuration(-distance) + " ago";
}

std::string IsoTime(WallTime time) {
  if (IsForEver(time)) return "infinity";
  return IsoMicros(time).substr(0, 23) + "Z";  // milliseconds
}

Result<WallTime> ParseLocalTime(std::string_view text, const TimeZone& zone) {
  const auto local = ReadLocal(text);
  if (!local) {
    return Error(Errc::kBadConfig, Shown(text) + " is not a time", {},
                 "Write it as the clock on the wall says it: \"2026-12-01 08:00\".");
  }
  return zone.Resolve(*local).second;
}

}  // namespace pgsteward
