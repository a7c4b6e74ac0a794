// Why a job does not run now, in sentences: pure.
#pragma once

#include <string>
#include <vector>

#include "daemon/job_due.h"

namespace pgsteward {

struct WhyNot {
  std::vector<std::string> reasons;  // the most decisive first; never empty
  std::vector<DueTime> passed;       // the latest due times and what became of them
  std::string missed;                // "3 paused, 1 window", since `known_since`
  std::string known_since;
};

WhyNot ExplainWhyNot(const JobFacts& facts, WallTime now);

}  // namespace pgsteward
