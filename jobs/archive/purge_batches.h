// Deleting rows of the archive in batches.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "jobs/archive/archive_walk.h"
#include "jobs/archive/partition_plan.h"
#include "jobs/archive/purge_scope.h"
#include "jobs/batches.h"

namespace pgsteward {

// The rows of `scope` whose created_at is in one of `windows`, but those under a hold.
class PurgeBatches : public BatchWork {
 public:
  // `windows`: in order, at least one.
  PurgeBatches(const PurgeScope& scope, std::vector<TimeRange> windows);

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override;
  Task<Result<void>> Quarantine(JobSession& db) override;
  void Rewind() override;

  // Of the rows that it looked at: under a hold, or in no proven backup.
  long long kept() const { return kept_; }

 private:
  void Enter(std::size_t window);

  const PurgeScope& scope_;
  std::vector<TimeRange> windows_;
  std::size_t window_ = 0;
  ArchiveWalk walk_;
  std::string last_at_;
  std::string last_id_;
  long long next_kept_ = 0;
  long long kept_ = 0;
  bool rewound_ = false;
};

// From the options that the jobs on the archive share: batch_target_ms, nice.
BatchPolicy ArchiveBatchPolicy(const JobOptions& options);

}  // namespace pgsteward
