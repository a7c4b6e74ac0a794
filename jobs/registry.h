// The table of jobs.
#pragma once

#include <span>
#include <string_view>

#include "jobs/job.h"

namespace pgsteward {

// Alphabetical by name.
std::span<const JobSpec* const> AllJobs();
// nullptr when there is none of that name.
const JobSpec* FindJob(std::string_view name);

}  // namespace pgsteward
