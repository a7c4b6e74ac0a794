// Copies of published backups elsewhere, by rclone: verified by checksums after the upload.
#pragma once

#include <string>
#include <string_view>

#include "jobs/backup/backup_options.h"
#include "jobs/job.h"

namespace pgsteward {

// What rclone says was wrong: its first error that is no mere count of attempts, else its last
// line.
std::string RcloneMessage(std::string_view error_output);

// Copies what is missing, compares every file there with ours, and marks each that is whole there
// in the place. A copy is whole when its manifest lies there: from then on nothing of it is written
// again. Goes on after a backup that cannot be copied, unless none could. The first error; adds to
// `report` the details offsite, offsite_copied and offsite_missing.
Task<Result<void>> CopyOffsite(JobContext& context, const BackupSettings& settings,
                               JobReport& report);
// Adds to `report` what the former would do after a backup.
Task<void> PlanOffsite(JobContext& context, const BackupSettings& settings, JobReport& report);

}  // namespace pgsteward
