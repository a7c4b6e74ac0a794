// A backup in the making: a hidden folder beside the published ones, that becomes one of them by a
// single rename, or goes. All of it blocks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "jobs/backup/place.h"

namespace pgsteward {

class PartialBackup {
 public:
  // Its folder under .partial (0700), with a lock that is free as soon as this process is gone.
  static Result<std::unique_ptr<PartialBackup>> Begin(const BackupPlace& place,
                                                      const std::string& id);
  // What was not published is removed.
  ~PartialBackup();
  PartialBackup(const PartialBackup&) = delete;
  PartialBackup& operator=(const PartialBackup&) = delete;

  const std::string& id() const { return id_; }
  std::string PathOf(std::string_view file) const;
  // A new file (0600), synced.
  Result<void> Write(std::string_view file, std::string_view text) const;
  // Syncs the folder and gives it its name, which nobody must have. kUnavailable: not published,
  // or, where the message says so, published and perhaps not safe yet from a power failure.
  Result<void> Publish();

 private:
  PartialBackup(BackupPlace place, std::string id) : place_(std::move(place)), id_(std::move(id)) {}

  BackupPlace place_;
  std::string id_;
  Fd lock_;
  bool published_ = false;
};

// Removes what runs that are gone have left under .partial; the ids. Those whose lock is held stay.
Result<std::vector<std::string>> SweepPartials(const BackupPlace& place);

}  // namespace pgsteward
