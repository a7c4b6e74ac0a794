// How much the jobs of a server have before them, asked now and then.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/wait.h"
#include "jobs/job_session.h"
#include "jobs/runner/job_policy.h"

namespace pgsteward {

class BacklogWatch {
 public:
  struct Measured {
    std::optional<Backlog> backlog;
    std::string error;  // why there is none
    SteadyTime due{};   // when it is asked again
  };

  // `jobs` must outlive this. Asks only while `wanted` says so.
  BacklogWatch(Runtime& runtime, PgTarget target, const std::vector<JobPolicy>& jobs,
               std::string server, Duration interval, std::function<bool()> wanted);

  // For ever, on a connection of its own that is open only while it asks.
  Task<void> Run();
  // One job's is out of date: after a run.
  void Outdate(const std::string& job);
  // Nothing is known any more.
  void Forget() { measured_.clear(); }
  // `wanted` may say something else now.
  void Wake() { woken_.Notify(); }
  // nullptr: not asked yet.
  const Measured* Find(const std::string& job) const;

 private:
  Task<void> Measure(JobSession& db, const JobPolicy& job);

  Runtime& runtime_;
  PgTarget target_;
  const std::vector<JobPolicy>& jobs_;
  std::string server_;
  Duration interval_;
  std::function<bool()> wanted_;
  std::map<std::string, Measured> measured_;
  Event woken_;
};

}  // namespace pgsteward
