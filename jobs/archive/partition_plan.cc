#include "jobs/archive/partition_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace pgsteward {

namespace {

using std::chrono::sys_days;
using std::chrono::year_month;

constexpr long long kMicrosPerDay = 86'400'000'000;

long long MicrosOf(year_month month) {
  return sys_days(month / 1).time_since_epoch().count() * kMicrosPerDay;
}

std::string MonthName(year_month month) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "messages_archive_y%04dm%02u",
                static_cast<int>(month.year()), static_cast<unsigned>(month.month()));
  return text.data();
}

std::string FreeName(const std::string& wanted, const std::set<std::string>& names) {
  std::string name = wanted;
  for (int n = 2; names.contains(name); ++n) name = wanted + "_" + std::to_string(n);
  return name;
}

}  // namespace

std::vector<TimeRange> Subtract(TimeRange whole, std::vector<TimeRange> taken) {
  std::sort(taken.begin(), taken.end(),
            [](const TimeRange& a, const TimeRange& b) { return a.from < b.from; });
  std::vector<TimeRange> left;
  long long at = whole.from;
  for (const TimeRange& each : taken) {
    if (each.to <= at) continue;
    if (each.from >= whole.to) break;
    if (each.from > at) left.push_back({at, each.from});
    at = each.to;
  }
  if (at < whole.to) left.push_back({at, whole.to});
  return left;
}

TimeRange RangeOfMonth(year_month month) {
  return {MicrosOf(month), MicrosOf(month + std::chrono::months(1))};
}

std::string TimeText(long long microseconds) {
  if (microseconds == TimeRange::kBegin) return "-infinity";
  if (microseconds == TimeRange::kEnd) return "infinity";
  const auto since = std::chrono::microseconds(microseconds);
  const auto days = std::chrono::floor<std::chrono::days>(since);
  const std::chrono::year_month_day date{sys_days(days)};
  const std::chrono::hh_mm_ss time(since - days);
  // Years before 1 are written as PostgreSQL does: the year 0 is 1 BC.
  const int year = static_cast<int>(date.year());
  std::array<char, 80> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u %02d:%02d:%02d",
                year > 0 ? year : 1 - year, static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
  std::string all = text.data();
  if (const auto fraction = time.subseconds().count(); fraction != 0) {
    std::snprintf(text.data(), text.size(), ".%06d", static_cast<int>(fraction));
    all += text.data();
  }
  return all + "+00" + (year > 0 ? "" : " BC");
}

std::string BoundsSql(TimeRange range) {
  const std::string from =
      range.from == TimeRange::kBegin ? "MINVALUE" : "'" + TimeText(range.from) + "'";
  const std::string to = range.to == TimeRange::kEnd ? "MAXVALUE" : "'" + TimeText(range.to) + "'";
  return "FROM (" + from + ") TO (" + to + ")";
}

std::vector<PlannedPartition> PlanPartitions(std::set<year_month> months,
                                             const std::vector<TimeRange>& existing,
                                             std::set<std::string> names) {
  std::vector<PlannedPartition> planned;
  for (const year_month month : months) {
    if (month.year() < std::chrono::year(1) || month.year() > std::chrono::year(9999)) continue;
    for (const TimeRange& range : Subtract(RangeOfMonth(month), existing)) {
      std::string name = FreeName(MonthName(month), names);
      names.insert(name);
      planned.push_back({std::move(name), range});
    }
  }
  return planned;
}

}  // namespace pgsteward
