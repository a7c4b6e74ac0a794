// A hub whose archive has rows, in the three forms that an archive has in the wild.
#pragma once

#include <string>

#include "jobs/registry.h"
#include "tests/jobs/job_fixture.h"

namespace pgsteward {

class PurgeTest : public JobTest {
 protected:
  void SetUp() override;

  // The archive of 1.2.0, converted by schema/partitioned_archive.sql.
  void Partition();
  // The archive of the document: LIKE messages INCLUDING ALL, no foreign key, no archived_at.
  void MakeLikeTable();
  // As schema/job_roles.sql makes pgsteward_jobs, from now on the role of the runs.
  void BecomeJobsRole();

  // Users 1 to 3 have chats 1 to 3. `count` rows, an hour apart.
  void Archive(int chat, const std::string& first, int count) const;
  void ProveBackup(const std::string& covers_until) const;
  // "2020-01:3 2020-02:4" of the archive.
  std::string Months() const;
  // Names of the archive's partitions, without "messages_archive_".
  std::string Partitions() const;

  static std::string Chat(int n) {
    return "00000000-0000-4000-8000-00000000020" + std::to_string(n);
  }
  static std::string User(int n) {
    return "00000000-0000-4000-8000-00000000010" + std::to_string(n);
  }

  static const JobSpec& Spec(const char* name) { return *FindJob(name); }
};

}  // namespace pgsteward
