// The metrics of backups that lie in a place: pgsteward_backup_*.
#pragma once

#include <cstdint>
#include <optional>

#include "core/metrics.h"
#include "jobs/backup/offsite_state.h"
#include "jobs/backup/place.h"
#include "jobs/backup/retention.h"
#include "jobs/job.h"

namespace pgsteward {

struct TargetSpace {
  std::uint64_t bytes = 0;
  std::uint64_t free_bytes = 0;  // for us, not for root
};

// Pure. What the newest good backup and the newest proven one say, how many there are, whether
// retention is frozen, and who can decrypt.
Families BackupFamilies(const RetentionPolicy& policy, const PlaceContent& content, WallTime now,
                        std::optional<TargetSpace> space);

// Pure. How far the copies elsewhere have come.
Families OffsiteFamilies(const OffsiteState& state);

// SubjectFunction of a job with options `target`, `offsite_remote` and those of
// retention_options.h. A target that is not there says so in pgsteward_backup_target_available, and
// nothing else.
Task<Result<Families>> BackupSubject(SubjectContext context);

}  // namespace pgsteward
