// Backups of a fresh hub into a folder of the test's own, with two key pairs of the test's own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "jobs/backup/manifest.h"
#include "jobs/backup/place.h"
#include "tests/jobs/job_fixture.h"

namespace pgsteward {

extern const JobSpec kBackup;

class TakingTest : public JobTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::map<std::string, std::string> Options() const;
  // One run with these options on top of Options(); "ok", or what Text() says.
  RunResult Take(const std::map<std::string, std::string>& more = {}, bool dry_run = false);

  BackupPlace Place() const;
  std::vector<FoundBackup> Backups() const;
  // What lies in a folder of the place, sorted, separated by blanks.
  std::string ListOf(const std::string& folder) const;
  // One published backup, whole: its files are there, with their sums, and the dump is read to its
  // end after decryption. Empty, or what is wrong.
  std::string Whole(const FoundBackup& backup) const;
  // Nothing half-finished is left: no partial, no backend, no child.
  void ExpectNothingLeft();
  // The decrypted and decompressed content of a stored file.
  std::string Opened(const FoundBackup& backup, const std::string& file) const;
  std::string Shell(const std::string& script) const;

  std::string folder_;  // of the test
  std::string target_;
  std::string identity_;
  std::string recipients_;
  std::string password_conninfo_;  // instead of the usual connection
};

}  // namespace pgsteward
