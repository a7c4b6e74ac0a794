// What the manifests say about drills, as metrics and as numbers for people. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/clock.h"
#include "core/metrics.h"
#include "jobs/backup/manifest.h"

namespace pgsteward {

// Of the last drill that has proven a backup.
struct RestoreEstimate {
  double seconds = 0;           // as measured
  double bytes = 0;             // of the dumps that were restored in them
  double bytes_per_second = 0;  // of the phase "databases"
  double now_seconds = 0;       // the same for the newest backup's size
};

// `manifests` in the order of their ids. Empty: nothing is proven.
std::optional<RestoreEstimate> EstimateRestore(const std::vector<Manifest>& manifests);
// The newest moment up to which everything is in a proven backup.
std::optional<WallTime> ProvenUntil(const std::vector<Manifest>& manifests);

Families DrillFamilies(const std::vector<Manifest>& manifests, WallTime now);

}  // namespace pgsteward
