// Another attempt at a step that waits for somebody's lock.
#pragma once

#include <string>

#include "jobs/job.h"

namespace pgsteward {

// A lock timeout, a deadlock, a statement that was cancelled.
bool IsLockTrouble(const Error& error);

class Retrying {
 public:
  Retrying(JobContext& context, int attempts) : context_(context), attempts_left_(attempts) {}

  // Before each attempt: pauses after one that failed, waits for the throttle gates. Why the run
  // must end, empty to go on.
  Task<std::string> Ready();
  // After an attempt that failed: whether there is another one.
  bool Again(const Error& error);

 private:
  JobContext& context_;
  int attempts_left_;
  Duration pause_{};
};

}  // namespace pgsteward
