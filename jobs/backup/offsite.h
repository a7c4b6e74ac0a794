// A copy of a published backup elsewhere, by rclone: verified by checksums after the upload.
#pragma once

#include <string>

#include "jobs/backup/backup_options.h"
#include "jobs/job.h"

namespace pgsteward {

// The folder of one backup below the remote: "<remote>/<server>/<id>".
std::string OffsiteFolder(const BackupSettings& settings, const std::string& id);

// Copies (the manifest last), then compares every file there with ours. Files that are there
// already are not overwritten.
Task<Result<void>> CopyOffsite(JobContext& context, const BackupSettings& settings, std::string id);

}  // namespace pgsteward
