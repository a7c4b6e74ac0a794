// VACUUM of one table by a job, whose refusals the server only warns of.
#pragma once

#include <string>

#include "jobs/job.h"

namespace pgsteward {

struct VacuumOptions {
  VacuumOptions() = default;
  explicit VacuumOptions(bool with_analyze) : analyze(with_analyze) {}

  bool vacuum = true;  // false: only ANALYZE
  bool analyze = true;
  Duration timeout = std::chrono::hours(1);
};

// VACUUM (TRUNCATE false, SKIP_LOCKED true, PARALLEL 0) of a table and its partitions, outside a
// transaction. `table` is a name as in SQL, with its schema: "public.messages". Tells
// control.Note(). In a dry run only checks whether it could.
// Errors: 42501 when the role may not vacuum it (the server itself warns and says VACUUM), 42P01
// when there is no such table, one where client_min_messages would hide what the server says, kBusy
// with 55P03 when somebody else's lock made the server pass over it or over one of its partitions,
// and what Fence() says.
Task<Result<void>> VacuumTable(JobContext& context, std::string table, VacuumOptions options);

}  // namespace pgsteward
