// What a run of message_archive would do, in lines for a person.
#pragma once

#include "jobs/archive/archive_preflight.h"

namespace pgsteward {

// Counts no further than so many rows.
inline constexpr long long kMostOldRows = 1'000'000;

// Reads only.
Task<Result<void>> PlanArchive(JobContext& context, const ArchivePreflight& ready,
                               JobReport& report);

// Messages that a run would move now.
Task<Result<Backlog>> MeasureArchive(JobSession& db, const JobOptions& options,
                                     const std::string& time_zone);

}  // namespace pgsteward
