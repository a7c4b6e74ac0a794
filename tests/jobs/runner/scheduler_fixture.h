// What tests of schedulers share: a job that leaves traces, and a policy in a hurry.
#pragma once

#include <string>
#include <vector>

#include "jobs/runner/scheduler.h"
#include "tests/jobs/job_fixture.h"

namespace pgsteward {

// Writes a row into public.steps in each of `steps` transactions, until it is told to stop; options
// steps, pause_ms (after each), fail (the SQLSTATE to fail with) and older_than (nothing).
extern const JobSpec kSteps;

// Has no runtime, and so no threads: a test may fork.
class SchedulerFixture : public JobTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  JobPolicy Job(const std::string& schedule = "every 1s", const JobSpec& spec = kSteps) const;
  SchedulerPolicy Policy(std::vector<JobPolicy> jobs, const std::string& journal = "") const;

  std::string folder_;  // for journals
};

}  // namespace pgsteward
