// What a purge of the archive would do, and by which way a partition goes.
#pragma once

#include <string>

#include "jobs/archive/partitions.h"
#include "jobs/archive/purge_scope.h"

namespace pgsteward {

// A table whose every row was created before the cut-off, by its bounds alone.
bool IsWhollyExpired(const ArchivePartition& partition, const ArchivePartitions& archive,
                     const PurgeScope& scope);

// Names of those of the archive that fire for a DELETE, separated by commas.
Task<Result<std::string>> DeleteTriggers(Database& db);

// Empty when partitions may be dropped as a whole, else why rows are deleted one by one:
// "plain table", "not the owner", "delete trigger audit".
Task<Result<std::string>> MayDropWhole(Database& db, const ArchivePartitions& archive);

// Fills report.plan.
Task<Result<void>> PlanPurge(JobContext& context, const PurgeScope& scope,
                             const ArchivePartitions& archive, JobReport& report);

}  // namespace pgsteward
