// Jobs against the executable's private server, each test on a fresh hub with pgsteward's schema.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "jobs/job.h"
#include "tests/jobs/fake_control.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

// What one run gave.
struct RunResult {
  Result<void> outcome = Result<void>();
  JobReport report;

  // "ok", "partial skipped_locked: ...", or "error 42501 permission denied ...".
  std::string Text() const;
};

class JobTest : public ::testing::Test {
 protected:
  // Roles of the cluster: pgsteward_jobs as schema/job_roles.sql makes it, hub_owner owns the hub.
  static void SetUpTestSuite();
  void SetUp() override;
  void TearDown() override;

  // One run of `spec` with the options given in text form, by role `user`.
  RunResult Run(const JobSpec& spec, const std::map<std::string, std::string>& options = {},
                const std::map<std::string, std::string>& arguments = {});
  RunResult DryRun(const JobSpec& spec, const std::map<std::string, std::string>& options = {},
                   const std::map<std::string, std::string>& arguments = {});
  Result<Backlog> MeasureBacklog(const JobSpec& spec,
                                 const std::map<std::string, std::string>& options = {});
  PgTarget Target() const;

  std::string Value(const std::string& sql) const { return Postgres().Value(sql, hub_); }
  void Exec(const std::string& sql) const { Postgres().Exec(sql, hub_); }
  PgClient Connect() const { return Postgres().Connect(hub_); }
  // Asks until `sql` gives "t"; throws when it does not within 10 s.
  void WaitFor(const std::string& sql) const;

  std::string hub_;
  std::string user_ = "postgres";
  std::string time_zone_ = "UTC";
  std::string server_ = "main";
  std::string run_id_;  // of the last run
  FakeControl control_;
};

}  // namespace pgsteward
