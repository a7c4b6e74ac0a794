// pgsteward.proven_backup, from which purging learns what a backup holds (backup_interlock.h).
#pragma once

#include <string>
#include <vector>

#include "core/task.h"
#include "jobs/backup/place.h"
#include "jobs/job.h"

namespace pgsteward {

// Makes the rows of `place` those of its backups that exist and are proven: a deleted one takes its
// row along. `proven` are manifests as they lie there now; those of another cluster, and those
// without the database of the session, prove nothing here. Rows of other places that nobody has
// confirmed for a week go too. One transaction, fenced where there is `control`.
// kUnsupported: no such table, with the hint how to make it.
Task<Result<void>> SyncProvenBackups(JobSession& db, BackupPlace place,
                                     std::vector<Manifest> proven, RunControl* control = nullptr);

// The same with what ReadPlace finds there now.
Task<Result<void>> SyncProvenBackups(JobContext& context, BackupPlace place);

}  // namespace pgsteward
