// One run of the reaper: looks, looks again, signals, and sees what became of it.
#pragma once

#include "jobs/job.h"
#include "jobs/reaper/reaper_policy.h"

namespace pgsteward {

Task<Result<void>> Reap(JobContext& context, ReaperPolicy policy, JobReport& report);

}  // namespace pgsteward
