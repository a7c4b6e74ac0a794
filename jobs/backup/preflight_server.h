// The part of the preflight that asks the server, in each database of a backup.
#pragma once

#include "jobs/backup/preflight.h"

namespace pgsteward {

// Fills what the server knows, and adds what stands in the way.
Task<Result<void>> ReadServerSide(JobContext& context, const BackupSettings& settings,
                                  BackupFacts& facts);

}  // namespace pgsteward
