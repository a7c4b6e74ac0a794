// The archive's partitions by month: which there are, and making those that are missing.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "jobs/archive/partition_plan.h"
#include "jobs/job.h"

namespace pgsteward {

struct ArchivePartition {
  std::string oid;
  std::string name;   // shown
  std::string table;  // quoted and qualified, for SQL
  char kind = 'r';    // pg_class.relkind: 'r' table, 'p' partitioned again, 'f' foreign
  bool is_default = false;
  // A DETACH CONCURRENTLY did not come to its end: queries no longer see it.
  bool pending = false;
  // False of a table that is detached already and only remembered by its mark.
  bool attached = true;
  std::string owner;
  TimeRange range;
  std::string comment;
};

struct ArchivePartitions {
  bool exists = false;       // public.messages_archive
  bool partitioned = false;  // by range of created_at, alone
  bool owned = false;        // the role may alter it
  std::string owner;
  std::vector<ArchivePartition> partitions;  // by range; the default one last
  // Tables that a purge has detached, or was about to, and not dropped: by the mark in their
  // comment. Only of the archive's owner. They may come back, so their ranges are taken.
  std::vector<ArchivePartition> detached;
  std::set<std::string> names;           // taken ones of schema public, messages_archive_y...
  std::chrono::year_month this_month{};  // UTC, as the server says

  const ArchivePartition* Default() const;
  // Of all of them, detached ones too.
  std::vector<TimeRange> Ranges() const;
};

Task<Result<ArchivePartitions>> ReadPartitions(Database& db);

// The month (UTC) of the last moment before `time`, timestamptz text.
Task<Result<std::chrono::year_month>> MonthBefore(Database& db, std::string time);

// The months (UTC) in which public.messages has rows.
Task<Result<std::set<std::chrono::year_month>>> MonthsOfMessages(Database& db);

// "begin" to "begin + count" months, both included.
std::set<std::chrono::year_month> MonthsFrom(std::chrono::year_month begin, int count);

struct PartitionPolicy {
  // For each lock. Creating a partition locks users and chat_sessions against writers for a moment,
  // and while it waits they wait behind it.
  Duration lock_wait = std::chrono::seconds(1);
  int attempts = 10;  // of one partition
  int most = 240;     // partitions of one call
};

// Makes the partitions of `months` that are missing, each in a fenced transaction. Adds their names
// to `created`, also when it ends with an error or early: then `stopped` is the control's reason,
// or "partitions" when there were more than `most`. Creates and attaches, because PARTITION OF
// would lock the whole archive.
// What overlaps with a table that nobody knew of (42P17) is left out, and told.
struct PartitionsMade {
  std::vector<std::string> created;
  std::vector<std::string> overlapping;
  std::string stopped;
};
Task<Result<void>> EnsurePartitions(JobContext& context, std::set<std::chrono::year_month> months,
                                    PartitionPolicy policy, PartitionsMade& made);

}  // namespace pgsteward
