// What the page says of jobs. Every configured job has its series from the first second.
#pragma once

#include "core/metrics.h"
#include "jobs/runner/scheduler.h"

namespace pgsteward {

// pgsteward_job_* and pgsteward_jobs_* of one server, labels server and job_name.
Families JobMetrics(const Scheduler& scheduler);

}  // namespace pgsteward
