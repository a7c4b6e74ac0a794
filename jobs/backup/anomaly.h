// Whether a backup holds so much less than the one before that somebody must look before older ones
// go: pure.
#pragma once

#include <string>
#include <vector>

#include "jobs/backup/manifest.h"

namespace pgsteward {

struct AnomalyPolicy {
  double drop = 0.5;                 // a fall by this part of it or more; 0: never an anomaly
  long long least_rows = 1000;       // tables that had fewer say nothing
  std::vector<std::string> ignored;  // "schema.table", "schema.*"; of all databases
};

// Empty, or what fell, to be kept as Manifest::anomaly of `current`: "rows of public.messages in
// hub: 120 after 100000 in 20261124T030000Z-7f3a". The greatest fall first, at most three. A table
// or database that is gone altogether fell to nothing.
std::string DetectAnomaly(const Manifest& previous, const Manifest& current,
                          const AnomalyPolicy& policy);

}  // namespace pgsteward
