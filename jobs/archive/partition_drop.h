// Taking a whole partition out of the archive, in steps that a crash may separate: what is half
// done is read from the catalog and gone on with.
#pragma once

#include <string>
#include <vector>

#include "jobs/archive/partitions.h"
#include "jobs/archive/purge_scope.h"

namespace pgsteward {

// What stands in a partition's way of being dropped.
struct PartitionRows {
  long long rows = 0;
  long long young = 0;      // created at or after the cut-off
  long long uncovered = 0;  // in no proven backup
  long long held = 0;

  bool droppable() const { return young == 0 && uncovered == 0 && held == 0; }
};
// Reads all of its index or heap. In the open transaction, if there is one.
Task<Result<PartitionRows>> ExaminePartition(Database& db, const std::string& table,
                                             const PurgeScope& scope);
// Only rows that were written by transactions from `since` on, a txid_snapshot_xmin(); all of them
// where it is empty. Reads the heap, and asks for holds only of those.
Task<Result<PartitionRows>> ExaminePartition(Database& db, const std::string& table,
                                             const PurgeScope& scope, std::string since,
                                             Duration timeout);

struct DropPolicy {
  // By DETACH CONCURRENTLY and then DROP: nobody who reads the archive waits, users and
  // chat_sessions are locked for a moment twice. Else by DROP alone, which locks the archive and
  // not these two.
  bool detach = true;
  Duration lock_wait = std::chrono::seconds(1);
  int attempts = 10;
};

struct DropOutcome {
  bool dropped = false;
  long long rows = 0;   // that it had
  std::string left;     // why it was not dropped: "held", "uncovered", "locked", "young", ...
  std::string stopped;  // the control's reason to end the run
};

// Drops one partition, or goes on with one that is pending or detached already. It is read without
// locks; before it is dropped, what was written since is looked at under a lock that keeps rows and
// holds from coming, for no longer than lock_wait. One that was detached and may not be dropped any
// more is attached again.
Task<Result<DropOutcome>> DropPartition(JobContext& context, const ArchivePartition& partition,
                                        const PurgeScope& scope, DropPolicy policy);

// Tables that an earlier run has detached, or was about to, and not dropped: by the mark in their
// comment. Those that are attached still are in ReadPartitions(). Only of the archive's owner.
Task<Result<std::vector<ArchivePartition>>> ReadDetached(Database& db);

}  // namespace pgsteward
