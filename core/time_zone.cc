#include "core/time_zone.h"

#include <date/tz.h>

#include <algorithm>
#include <stdexcept>

#include "core/shown.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::seconds;
using std::chrono::sys_seconds;

// What std::chrono can say in days and years without overflow, and still beyond all of WallTime.
constexpr seconds kFarthest = days(365 * 1000);

sys_seconds Near(seconds since_epoch) {
  return sys_seconds(std::clamp(since_epoch, -kFarthest, kFarthest));
}

// Years before 1677 and after 2262 have no WallTime: the nearest that has.
WallTime ToWall(sys_seconds time) {
  return WallTime(std::clamp(time, std::chrono::ceil<seconds>(WallTime::min()),
                             std::chrono::floor<seconds>(WallTime::max())));
}

std::string Two(std::int64_t number) { return (number < 10 ? "0" : "") + std::to_string(number); }

std::string CivilText(LocalSeconds local) {
  const auto day = std::chrono::floor<days>(local);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(local - day);
  return std::to_string(static_cast<int>(date.year())) + "-" +
         Two(static_cast<unsigned>(date.month())) + "-" + Two(static_cast<unsigned>(date.day())) +
         " " + Two(time.hours().count()) + ":" + Two(time.minutes().count()) + ":" +
         Two(time.seconds().count());
}

}  // namespace

bool IsTimeZone(const std::string& name) {
  if (name == "UTC") return true;
  if (name == "localtime") return false;
  // The library says "no such zone", "no tzdata here" and "unreadable" only by exception.
  try {
    date::locate_zone(name);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

Result<TimeZone> TimeZone::Find(const std::string& name) {
  TimeZone zone;
  if (name == zone.name_) return zone;
  const Error unknown(Errc::kBadConfig, Shown(name) + " is not a time zone of this machine", {},
                      "Write a name of tzdata such as Europe/Berlin, or UTC.");
  if (!IsTimeZone(name)) return unknown;
  try {
    zone.zone_ = date::locate_zone(name);
    zone.zone_->get_info(date::sys_seconds());  // reads the file
  } catch (const std::exception&) {
    return Error(Errc::kBadConfig, "the time zone " + Shown(name) + " cannot be read", {},
                 "Reinstall tzdata on this machine.");
  }
  zone.name_ = name;
  return zone;
}

LocalSeconds TimeZone::ToLocal(WallTime time) const {
  const auto second = std::chrono::floor<seconds>(time);
  return LocalSeconds(second.time_since_epoch() + PeriodOf(second).offset);
}

ZonePeriod TimeZone::PeriodOf(sys_seconds time) const {
  if (zone_ == nullptr) return {Near(seconds::min()), Near(seconds::max()), seconds(0), "UTC"};
  const auto info = zone_->get_info(Near(time.time_since_epoch()));
  return {Near(info.begin.time_since_epoch()), Near(info.end.time_since_epoch()), info.offset,
          info.abbrev};
}

LocalInstants TimeZone::Resolve(LocalSeconds local) const {
  using Kind = LocalInstants::Kind;
  const sys_seconds as_utc = Near(local.time_since_epoch());
  if (zone_ == nullptr) return {Kind::kUnique, ToWall(as_utc), ToWall(as_utc)};
  const auto info = zone_->get_info(date::local_seconds(as_utc.time_since_epoch()));
  const WallTime first = ToWall(as_utc - info.first.offset);
  switch (info.result) {
    case date::local_info::nonexistent: {
      const WallTime end = ToWall(info.first.end);
      return {Kind::kGap, end, end};
    }
    case date::local_info::ambiguous:
      return {Kind::kFold, first, ToWall(as_utc - info.second.offset)};
    default:
      return {Kind::kUnique, first, first};
  }
}

LocalDays TimeZone::LocalDay(WallTime time) const {
  return std::chrono::floor<days>(ToLocal(time));
}

WallTime TimeZone::StartOfDay(LocalDays day) const { return Resolve(day).first; }

std::string TimeZone::Format(WallTime time) const {
  const ZonePeriod period = PeriodOf(std::chrono::floor<seconds>(time));
  return CivilText(ToLocal(time)) + " " + period.abbreviation;
}

std::string TimeZone::FormatWithOffset(WallTime time) const {
  const seconds offset = PeriodOf(std::chrono::floor<seconds>(time)).offset;
  const std::chrono::hh_mm_ss parts(offset);
  std::string text = CivilText(ToLocal(time)) + (parts.is_negative() ? "-" : "+") +
                     Two(parts.hours().count()) + ":" + Two(parts.minutes().count());
  if (parts.seconds().count() != 0) text += ":" + Two(parts.seconds().count());
  return text;
}

}  // namespace pgsteward
