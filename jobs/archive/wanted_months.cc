#include "jobs/archive/wanted_months.h"

#include <algorithm>

namespace pgsteward {

namespace {

bool Overlap(const TimeRange& one, const TimeRange& other) {
  return one.from < other.to && other.from < one.to;
}

}  // namespace

Task<Result<WantedMonths>> ReadWantedMonths(Database& db, std::string cutoff) {
  WantedMonths wanted;
  auto archive = co_await ReadPartitions(db);
  if (!archive) co_return archive.error();
  wanted.archive = std::move(*archive);
  auto months = co_await MonthsOfMessages(db);
  if (!months) co_return months.error();
  auto last = co_await MonthBefore(db, std::move(cutoff));
  if (!last) co_return last.error();
  for (const std::chrono::year_month month : *months) {
    (month <= *last ? wanted.old : wanted.young).insert(month);
  }
  wanted.young.merge(MonthsFrom(wanted.archive.this_month, 2));
  if (wanted.archive.Default() != nullptr) co_return wanted;
  wanted.missing = PlanPartitions(wanted.old, wanted.archive.Ranges(), wanted.archive.names);
  for (const ArchivePartition& each : wanted.archive.detached) {
    const bool needed = std::any_of(wanted.old.begin(), wanted.old.end(), [&](auto month) {
      return Overlap(RangeOfMonth(month), each.range);
    });
    if (needed) wanted.leaving.push_back(each.table);
  }
  co_return wanted;
}

Result<void> CheckWantedMonths(const WantedMonths& wanted) {
  if (!wanted.leaving.empty()) {
    return Error(Errc::kQueryFailed,
                 "a purge has detached " + wanted.leaving.front() +
                     ", and there are old messages of its month",
                 {}, "Run archive_purge, which drops it or attaches it again.");
  }
  if (wanted.missing.empty() || wanted.archive.owned) return Result<void>();
  return Error(Errc::kQueryFailed,
               "old messages have no partition, " + wanted.missing.front().name +
                   " for one, and only the owner of messages_archive may add it",
               "42501",
               "Grant the archive's owner to the role, or let the owner run "
               "pgsteward job run archive_partitions.");
}

Error OverlapError(const std::string& name) {
  return Error(Errc::kQueryFailed, "public." + name + " would overlap with another partition",
               "42P17", "Look at the partitions of public.messages_archive.");
}

}  // namespace pgsteward
