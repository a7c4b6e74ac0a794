// What goes on beside a dump: tables are counted in its snapshot, and somebody looks who keeps it
// waiting for locks. No backend of it is left when it ends badly.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/task_group.h"
#include "jobs/backup/dump_stream.h"
#include "jobs/backup/snapshot.h"
#include "jobs/job.h"

namespace pgsteward {

// Shared by the tasks of one dump.
struct DumpBeat {
  explicit DumpBeat(std::string name) : application(std::move(name)) {}

  std::string application;  // of pg_dump's sessions
  DumpProgress progress;
  bool dumped = false;  // the dump has ended
  std::string blocker;  // last seen in the way of a lock
  std::vector<BackupTable> tables;
  std::size_t counted = 0;
  std::optional<Error> count_error;
};

// Counts `beat.tables` once the dump has its locks; ends with the last.
Task<void> CountTables(std::shared_ptr<DumpBeat> beat, Snapshot& snapshot);
// Looks every second until the dump has ended.
Task<void> WatchLocks(std::shared_ptr<DumpBeat> beat, JobSession& db);

// Ends what the server still does for a dump whose client is gone. Never fails, has a deadline of
// its own; on a connection of its own.
Task<void> EndBackends(Runtime& runtime, PgTarget target, std::string application);

}  // namespace pgsteward
