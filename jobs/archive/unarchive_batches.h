// The two passes of bringing messages back: the holds, then the rows.
#pragma once

#include <cstdint>
#include <string>

#include "jobs/archive/unarchive_scope.h"
#include "jobs/batches.h"

namespace pgsteward {

// A hold on each chat that has rows of `scope` and no hold that lasts as long. Counts holds.
class HoldBatches : public BatchWork {
 public:
  explicit HoldBatches(const UnarchiveScope& scope) : scope_(scope), walk_(scope.Walk()) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override { walk_.MoveTo(last_at_, last_id_); }
  Task<Result<void>> Quarantine(JobSession& db) override;
  void Rewind() override { walk_.Rewind(); }

 private:
  const UnarchiveScope& scope_;
  ArchiveWalk walk_;
  std::string last_at_;
  std::string last_id_;
};

// Moves the rows of `scope` that are under a hold that lasts as long as was asked for, and no
// others: whatever happened to the holds, no row comes back that the next archive run would take.
class UnarchiveBatches : public BatchWork {
 public:
  UnarchiveBatches(const UnarchiveScope& scope, std::string job, std::string run_id)
      : scope_(scope), job_(std::move(job)), run_id_(std::move(run_id)), walk_(scope.Walk()) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override;
  Task<Result<void>> Quarantine(JobSession& db) override;
  void Rewind() override { walk_.Rewind(); }

  // Of all rows that were moved, in any order: the sum of their hashes modulo 2^64, in hex. The
  // same for what was taken out and what was put in, else the batch was rolled back.
  std::string Checksum() const;

 private:
  std::string FilterSql() const;

  const UnarchiveScope& scope_;
  std::string job_;
  std::string run_id_;
  ArchiveWalk walk_;
  std::string last_at_;
  std::string last_id_;
  std::string why_;  // the last batch could not be stored
  std::uint64_t batch_sum_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace pgsteward
