// A whole backup, from its hidden folder to its publication.
#pragma once

#include "jobs/backup/take_database.h"

namespace pgsteward {

// After the preflight. The manifest of what was published; before it everything that the run has
// made is removed again.
Task<Result<Manifest>> TakeBackup(JobContext& context, const BackupSettings& settings,
                                  const BackupFacts& facts, JobReport& report);

}  // namespace pgsteward
