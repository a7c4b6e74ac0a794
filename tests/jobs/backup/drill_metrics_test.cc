#include "jobs/backup/drill_metrics.h"

#include <gtest/gtest.h>

#include "jobs/backup/drill_blame.h"

namespace pgsteward {
namespace {

using std::chrono::seconds;

WallTime At(long long unix) { return WallTime(seconds(unix)); }

Manifest Backup(long long taken, std::uint64_t dump_bytes) {
  Manifest manifest;
  BackupDatabase database;
  database.name = "hub";
  database.dump_bytes = dump_bytes;
  database.snapshot_at = At(taken);
  manifest.databases.push_back(std::move(database));
  return manifest;
}

BackupProof Proof(const std::string& verdict, long long at) {
  BackupProof proof;
  proof.verdict = verdict;
  proof.at = At(at);
  proof.restore_seconds = 35;
  proof.phases = {{"verify", "4.000"},     {"cluster", "3.000"},  {"globals", "2.000"},
                  {"databases", "20.000"}, {"analyze", "10.000"}, {"checks", "7.000"}};
  return proof;
}

std::string Page(const std::vector<Manifest>& manifests, long long now) {
  std::string text;
  for (const auto& family : DrillFamilies(manifests, At(now))) {
    text += RenderSamples(family, {}).text;
  }
  return text;
}

TEST(DrillMetricsTest, WithoutBackupsNothingIsClaimed) {
  EXPECT_EQ(Page({}, 1000),
            "pgsteward_restore_drill_last_success_timestamp_seconds 0\n"
            "pgsteward_restore_drill_last_verdict_timestamp_seconds 0\n");
}

TEST(DrillMetricsTest, TheLastSuccessIsExtrapolatedToTheNewestBackup) {
  std::vector<Manifest> manifests = {Backup(100, 1000), Backup(200, 2000), Backup(300, 3000)};
  manifests[0].proofs = {Proof("proven", 150)};
  manifests[1].proofs = {Proof("failed", 210), Proof("proven", 250)};
  // 3 + 2 s whatever the size, 30 s for 2000 bytes.
  EXPECT_EQ(Page(manifests, 1000),
            "pgsteward_restore_drill_last_success_timestamp_seconds 250\n"
            "pgsteward_restore_drill_last_verdict_timestamp_seconds 250\n"
            "pgsteward_restore_drill_last_verdict 1\n"
            "pgsteward_restore_drill_phase_seconds{phase=\"verify\"} 4\n"
            "pgsteward_restore_drill_phase_seconds{phase=\"cluster\"} 3\n"
            "pgsteward_restore_drill_phase_seconds{phase=\"globals\"} 2\n"
            "pgsteward_restore_drill_phase_seconds{phase=\"databases\"} 20\n"
            "pgsteward_restore_drill_phase_seconds{phase=\"analyze\"} 10\n"
            "pgsteward_restore_drill_phase_seconds{phase=\"checks\"} 7\n"
            "pgsteward_restore_drill_restore_seconds 35\n"
            "pgsteward_restore_drill_bytes_per_second 100\n"
            "pgsteward_restore_drill_estimated_restore_seconds 50\n"
            "pgsteward_restore_drill_data_at_risk_seconds 800\n");
}

TEST(DrillMetricsTest, AFailureTakesTheProofOfItsBackup) {
  std::vector<Manifest> manifests = {Backup(100, 1000), Backup(200, 1000)};
  manifests[0].proofs = {Proof("proven", 150)};
  manifests[1].proofs = {Proof("proven", 250), Proof("failed", 260)};
  const std::string page = Page(manifests, 1000);
  EXPECT_NE(page.find("last_success_timestamp_seconds 250\n"), std::string::npos);
  EXPECT_NE(page.find("last_verdict_timestamp_seconds 260\n"), std::string::npos);
  EXPECT_NE(page.find("last_verdict 0\n"), std::string::npos);
  // Up to the older backup's moment.
  EXPECT_NE(page.find("data_at_risk_seconds 900\n"), std::string::npos);
  manifests[0].proofs.push_back(Proof("failed", 270));
  EXPECT_EQ(Page(manifests, 1000).find("data_at_risk"), std::string::npos);
}

TEST(DrillBlameTest, TheMachineIsToldFromTheBackup) {
  const auto blamed = [](const std::string& text) {
    return BlameOnMachine(Error(Errc::kChildFailed, text)).has_value();
  };
  EXPECT_TRUE(
      blamed("pg_restore ended with exit code 1: could not extend file: No space left on device"));
  EXPECT_TRUE(blamed("a.dump.zst.age cannot be decrypted: age: error: no identity matched any of"));
  EXPECT_TRUE(blamed("ERROR:  could not open extension control file \"/usr/share/x.control\""));
  EXPECT_TRUE(blamed("cannot start age: not found"));
  EXPECT_FALSE(blamed("pg_restore ended with exit code 1: error: role \"x\" does not exist"));
  EXPECT_FALSE(BlameOnMachine(Error(Errc::kQueryFailed, "a has 1 bytes instead of 2")).has_value());
  EXPECT_TRUE(BlameOnMachine(Error(Errc::kTimeout, "stopped")).has_value());
}

}  // namespace
}  // namespace pgsteward
