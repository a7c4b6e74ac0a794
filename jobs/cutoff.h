// From which moment on rows are old.
#pragma once

#include <string>

#include "jobs/job_session.h"

namespace pgsteward {

// Midnight of today in `time_zone`, `age` ("1 year") earlier by the calendar there, as timestamptz
// text with microseconds and offset. Asked once per run: the documented CURRENT_DATE - INTERVAL is
// another moment in each session's time zone, and another one after midnight.
Task<Result<std::string>> ReadCutoff(Database& db, const std::string& time_zone,
                                     const std::string& age);

}  // namespace pgsteward
