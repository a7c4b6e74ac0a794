// How far the copies elsewhere have come: pure, from the marks beside the backups.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/backup/retention.h"

namespace pgsteward {

// Of the good backups that retention keeps. A copy on another remote counts for nothing.
struct OffsiteState {
  int copied = 0;
  std::vector<std::string> missing;  // ids: the newest backup if it is one, then the oldest first
  bool newest_copied = false;        // of all good backups
  std::optional<WallTime> verified;  // the last copy
};
OffsiteState OffsiteStateOf(const RetentionPolicy& policy, const PlaceContent& content,
                            const std::string& remote, WallTime now);

}  // namespace pgsteward
