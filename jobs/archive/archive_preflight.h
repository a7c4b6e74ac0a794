// Everything that is known before the first message is moved.
#pragma once

#include <string>
#include <vector>

#include "jobs/archive/archive_tables.h"
#include "jobs/archive/trigger_mode.h"
#include "jobs/job.h"

namespace pgsteward {

struct ArchivePreflight {
  ArchiveShape shape;
  TriggerChoice triggers;
  std::string cutoff;
  // An index leads to the old rows.
  bool walkable = false;
  bool can_maintain = false;
  std::vector<ShapeFinding> warnings;
};

// Reads only, and also on a standby. An error says all that is in the way: the shape of the tables,
// rights, row level security, triggers that do not suit the mode.
Task<Result<ArchivePreflight>> PrepareArchive(JobSession& db, const std::string& time_zone,
                                              const std::string& older_than,
                                              const std::string& trigger_mode);

// The problems as one error.
Error ErrorOf(const std::vector<ShapeFinding>& problems);

}  // namespace pgsteward
