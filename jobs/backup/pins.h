// Marks beside backups: a person wants this one kept, or has looked at that one; a copy of it lies
// elsewhere.
#pragma once

#include <string>
#include <utility>

#include "core/fd.h"
#include "jobs/backup/place.h"

namespace pgsteward {

// Held by whoever changes what lies in a place; ends with the process. For short: nobody waits.
class PlaceLock {
 public:
  // kBusy: held by somebody else. kUnavailable: the file system has none, or it cannot be written.
  static Result<PlaceLock> Take(const BackupPlace& place);

 private:
  explicit PlaceLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// All of these block, and need a place whose sentinel was checked. `reason` is one line; empty:
// "kept by hand". kNoData: no such backup.
Result<void> KeepBackup(const BackupPlace& place, const std::string& id, const std::string& reason);
// False: it was not kept by hand.
Result<bool> UnkeepBackup(const BackupPlace& place, const std::string& id);
// The anomaly of `id` keeps no backup any more.
Result<void> AcceptAnomaly(const BackupPlace& place, const std::string& id);
// In the stead of an earlier one.
Result<void> MarkOffsite(const BackupPlace& place, const std::string& id, const OffsiteMark& mark);

}  // namespace pgsteward
