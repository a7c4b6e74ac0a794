// Moves messages into the archive, batch by batch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "jobs/archive/archive_statement.h"
#include "jobs/batches.h"

namespace pgsteward {

// What was committed.
struct ArchiveTotals {
  long long moved = 0;
  long long stored = 0;
  long long fresh = 0;  // of the stored: not in the archive already
  long long held = 0;   // passed over, for a hold or because they are in quarantine; first pass
  // Of the rows' hashes, in no order, modulo 2^64.
  std::uint64_t moved_sum = 0;
  std::uint64_t stored_sum = 0;
  std::uint64_t fresh_sum = 0;
  // created_at of the moved rows, as text.
  std::optional<std::string> first;
  std::optional<std::string> last;
};

class ArchiveBatches : public BatchWork {
 public:
  // `timeout` is of a statement that looks for rows.
  ArchiveBatches(ArchiveShape shape, TriggerMode mode, std::string cutoff, Duration timeout,
                 JobContext& context)
      : shape_(std::move(shape)),
        mode_(mode),
        cutoff_(std::move(cutoff)),
        timeout_(timeout),
        context_(context) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override;
  Task<Result<void>> Quarantine(JobSession& db) override;
  void Rewind() override;

  const ArchiveTotals& totals() const { return totals_; }

 protected:
  // The row that a batch of one row was refused for by a CHECK, or for want of a partition: the
  // server's SQLSTATE is the same. Else "".
  std::string CheckedRow() const;

 private:
  struct Row {
    std::string id;
    std::string created_at;
  };

  Task<Result<PgResult>> Move(JobSession& db, BatchStart start, int size);
  Task<Result<BatchOutcome>> SkipAll(JobSession& db, BatchStart start, int size);
  Task<Result<std::optional<Row>>> NextRow(JobSession& db);
  Task<Result<bool>> IsInArchive(JobSession& db);
  Result<BatchOutcome> Judge(const PgResult& rows);
  Result<BatchOutcome> Refused(const Error& error, int size);
  PgValues StartValues(int size) const;

  ArchiveShape shape_;
  TriggerMode mode_;
  std::string cutoff_;
  Duration timeout_;
  JobContext& context_;

  std::optional<Row> cursor_;
  // Of the batch that is not committed yet.
  std::optional<Row> next_cursor_;
  ArchiveTotals next_totals_;
  // The one row that a batch of one row is about, and why it could not be stored.
  std::optional<Row> single_;
  std::string refusal_;
  std::string refusal_state_;  // SQLSTATE

  ArchiveTotals totals_;
  bool rewound_ = false;
  int quarantined_ = 0;
};

}  // namespace pgsteward
