// What might lie in a place, made by hand for tests of what is decided over it.
#pragma once

#include <string>
#include <string_view>

#include "jobs/backup/place.h"
#include "jobs/backup/retention.h"

namespace pgsteward {

// "2026-11-25 03:00" of UTC.
WallTime At(std::string_view minute);

// Backups by the time of their snapshot.
class PlaceModel {
 public:
  // Of that time, published a minute later; "proven", "failed" or "" for its drill, an hour later.
  FoundBackup& Add(WallTime at, std::string_view drill = "");
  FoundBackup& Add(std::string_view minute, std::string_view drill = "");
  FoundBackup& AddUnreadable(std::string_view minute);

  PlaceContent content;
};

// "keep 1125T0300 the newest" per backup, newest first, then "frozen clock: ...".
std::string Text(const RetentionPlan& plan);

}  // namespace pgsteward
