// Which monthly partitions an archive needs and lacks: pure.
#pragma once

#include <chrono>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace pgsteward {

// From `from` up to but not including `to`, in microseconds since 1970 UTC.
struct TimeRange {
  static constexpr long long kBegin = std::numeric_limits<long long>::min();
  static constexpr long long kEnd = std::numeric_limits<long long>::max();

  long long from = kBegin;
  long long to = kEnd;

  bool operator==(const TimeRange&) const = default;
};

// What of `whole` none of `taken` covers, in order.
std::vector<TimeRange> Subtract(TimeRange whole, std::vector<TimeRange> taken);

TimeRange RangeOfMonth(std::chrono::year_month month);
// "2001-03-01 00:00:00+00", with microseconds where there are some; "-infinity", "infinity".
std::string TimeText(long long microseconds);
// "FROM ('2001-03-01 00:00:00+00') TO ('2001-04-01 00:00:00+00')", with MINVALUE and MAXVALUE.
std::string BoundsSql(TimeRange range);

struct PlannedPartition {
  std::string name;
  TimeRange range;
};

// A partition for each of `months` that `existing` ranges do not cover,
// "messages_archive_y2001m03". Where they cover a part of it, for what is left: never an overlap,
// whatever width the others have. A name that is in `names` gets _2, _3. Months outside of the
// years 1 to 9999 have no name and are left out.
std::vector<PlannedPartition> PlanPartitions(std::set<std::chrono::year_month> months,
                                             const std::vector<TimeRange>& existing,
                                             std::set<std::string> names);

}  // namespace pgsteward
