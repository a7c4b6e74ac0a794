// Due times of a job, those to come and those that have passed: pure.
#pragma once

#include <string>
#include <vector>

#include "daemon/job_facts.h"

namespace pgsteward {

struct DueTime {
  WallTime at;
  std::string remark;  // what moves or hinders it, or what became of it
};

// The next `count` due times after `now`, and one that has come and was not run yet.
std::vector<DueTime> ComingDueTimes(const JobFacts& facts, int count, WallTime now);

// The latest `count` due times until `now` and what became of each, the latest first. As far back
// as the job is known, and not further than a year.
std::vector<DueTime> PassedDueTimes(const JobFacts& facts, int count, WallTime now);

// "3 paused, 1 window": due times that were not run, of the job's counters; empty when none.
std::string MissedText(const JobState& state);

// When the job may next begin, if it may not at `now`; empty: within the next 400 days never.
std::optional<WallTime> OpensAfter(const JobPolicy& policy, WallTime now);

}  // namespace pgsteward
