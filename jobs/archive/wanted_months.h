// The months that a partitioned archive must have before messages are moved into it.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "jobs/archive/partitions.h"

namespace pgsteward {

struct WantedMonths {
  ArchivePartitions archive;
  std::set<std::chrono::year_month> old;    // some of whose messages are old
  std::set<std::chrono::year_month> young;  // with younger messages, and two from now on
  std::vector<PlannedPartition> missing;    // of the old ones
  // Old months that a purge has detached and not yet dropped.
  std::vector<std::string> leaving;
};

Task<Result<WantedMonths>> ReadWantedMonths(Database& db, std::string cutoff);
// An error when an old month cannot get its partition. Pure.
Result<void> CheckWantedMonths(const WantedMonths& wanted);
Error OverlapError(const std::string& name);

}  // namespace pgsteward
