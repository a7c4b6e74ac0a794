// What goes on beside a dump: tables are locked and counted in its snapshot, and somebody looks who
// keeps it waiting for locks. No backend of it is left when it ends badly.
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
  explicit DumpBeat(std::vector<std::string> names) : applications(std::move(names)) {}

  std::vector<std::string> applications;  // names of its sessions, pg_dump's and ours
  DumpProgress progress;
  bool dumped = false;  // the dump has ended
  std::string blocker;  // last seen in the way of a lock
  std::vector<BackupTable> tables;
  bool locked = false;
  std::size_t counted = 0;
  std::optional<Error> error;  // the dump must not go on
};

// Locks `beat.tables`, which the dump waits for, and counts them once the dump has begun; ends with
// the last.
Task<void> CountTables(std::shared_ptr<DumpBeat> beat, Snapshot& snapshot, Duration lock_wait);
// Looks every second until the dump has ended. Gives up at once what waits for itself.
Task<void> WatchLocks(std::shared_ptr<DumpBeat> beat, JobSession& db);

// Ends what the server still does for a dump whose client is gone. Never fails, has a deadline of
// its own; on a connection of its own.
Task<void> EndBackends(Runtime& runtime, PgTarget target, std::vector<std::string> applications);

}  // namespace pgsteward
