// The metrics of what jobs look after (SubjectFunction), read now and then, also while their
// database is away.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/wait.h"
#include "jobs/runner/job_policy.h"

namespace pgsteward {

class SubjectWatch {
 public:
  // `jobs` must outlive this; those that are switched off say nothing.
  SubjectWatch(Runtime& runtime, const std::vector<JobPolicy>& jobs, std::string server);

  // For ever.
  Task<void> Run();
  // Read again at once: after a run.
  void Wake() { woken_.Notify(); }
  // As last read, with labels server and job_name in front, and whether that went well.
  Families All() const;

 private:
  struct Read {
    Families families;
    std::string error;
  };
  Task<void> ReadOne(const JobPolicy& job);

  Runtime& runtime_;
  const std::vector<JobPolicy>& jobs_;
  std::string server_;
  std::map<std::string, Read> reads_;  // by job
  Event woken_;
};

}  // namespace pgsteward
