// What purging may rely on: the table of proven backups, from the folder to the purge.
#include "jobs/backup/proven_backup.h"

#include <filesystem>
#include <fstream>

#include "core/iso_time.h"
#include "core/runtime.h"
#include "core/task_group.h"
#include "jobs/archive/backup_interlock.h"
#include "tests/jobs/archive/purge_fixture.h"
#include "tests/jobs/backup/manifest_sample.h"

namespace pgsteward {

extern const JobSpec kArchivePurge;

namespace {

namespace fs = std::filesystem;

class ProvenBackupTest : public PurgeTest {
 protected:
  ProvenBackupTest() {
    std::string form = "/tmp/pgsteward-proven-XXXXXX";
    place_.target = ::mkdtemp(form.data());
    place_.server = "hub";
  }
  ~ProvenBackupTest() override { fs::remove_all(place_.target); }

  // Of this server and database, its snapshot `ago` ("1 hour") before now.
  Manifest Taken(const std::string& id, const std::string& ago, const std::string& verdict) const {
    Manifest manifest = SampleManifest(id);
    manifest.system_identifier = Value("SELECT system_identifier FROM pg_control_system()");
    manifest.databases[0].name = hub_;
    const auto now = [&](const std::string& minus) {
      return TimeOf(Value("SELECT to_char((now() - interval '" + minus +
                          "') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"));
    };
    manifest.databases[0].snapshot_at = now("1 minute");
    manifest.databases[0].purge_until = now(ago);
    manifest.proofs[0].at = now("1 second");
    manifest.proofs[0].verdict = verdict;
    if (verdict.empty()) manifest.proofs.clear();
    return manifest;
  }
  void Publish(const Manifest& manifest) const {
    fs::create_directories(place_.Published(manifest.id));
    std::ofstream(place_.Published(manifest.id) + "/manifest.json") << ManifestJson(manifest);
  }

  // "ok" or the error.
  std::string Sync() {
    Runtime runtime;
    std::string text;
    RunToEnd(runtime, DoSync(runtime, text));
    return text;
  }
  std::string Rows() const {
    return Value(
        "SELECT coalesce(string_agg(backup_id || ' ' || round(extract(epoch FROM now() - "
        "covers_until) / 3600), ', ' ORDER BY backup_id), '') FROM pgsteward.proven_backup");
  }

  BackupPlace place_;

 private:
  Task<void> DoSync(Runtime& runtime, std::string& text) {
    PgTarget target = Target();
    JobSession db(runtime, std::move(target));
    auto opened = co_await db.Open();
    if (!opened) {
      text = ToText(opened.error());
      co_return;
    }
    const JobOptions options(kArchivePurge.options);
    JobContext context{runtime, db, options, control_, "backup", "run", "UTC"};
    auto synced = co_await SyncProvenBackups(context, place_);
    text = synced ? "ok" : ToText(synced.error());
  }
};

TEST_F(ProvenBackupTest, TheTableIsWhatLiesThere) {
  Publish(Taken("20261101T030000Z-0001", "3 hours", "proven"));
  Publish(Taken("20261102T030000Z-0002", "2 hours", "failed"));
  Publish(Taken("20261103T030000Z-0003", "1 hour", ""));
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Rows(), "20261101T030000Z-0001 3");
  Publish(Taken("20261102T030000Z-0002", "2 hours", "proven"));
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Rows(), "20261101T030000Z-0001 3, 20261102T030000Z-0002 2");
  fs::remove_all(place_.Published("20261101T030000Z-0001"));
  Publish(Taken("20261102T030000Z-0002", "2 hours", "failed"));
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Rows(), "");
  EXPECT_EQ(control_.fences, 3);
}

TEST_F(ProvenBackupTest, ABackupOfSomethingElseProvesNothing) {
  Manifest other = Taken("20261101T030000Z-0001", "3 hours", "proven");
  other.system_identifier = "1";
  Publish(other);
  other = Taken("20261102T030000Z-0002", "2 hours", "proven");
  other.databases[0].name = "template1";
  Publish(other);
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Rows(), "");
}

TEST_F(ProvenBackupTest, OtherPlacesHaveTheirOwnRowsUntilNobodyConfirmsThem) {
  Exec(
      "INSERT INTO pgsteward.proven_backup VALUES "
      "('hub', '/elsewhere', 'a', now(), now() - interval '5 hours', now() - interval '6 days'), "
      "('hub', '/forgotten', 'b', now(), now() - interval '6 hours', now() - interval '8 days'), "
      "('other', '" +
      place_.target + "', 'c', now(), now() - interval '7 hours', now())");
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Rows(), "a 5, c 7");
}

TEST_F(ProvenBackupTest, WhoeverLostTheLeaseWritesNothing) {
  Publish(Taken("20261101T030000Z-0001", "3 hours", "proven"));
  control_.lose_lease_at = 1;
  EXPECT_EQ(Sync(), "the lease is lost");
  EXPECT_EQ(Rows(), "");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Rows(), "20261101T030000Z-0001 3");
}

TEST_F(ProvenBackupTest, WithoutTheTableSaysWhoMakesIt) {
  Exec("DROP TABLE pgsteward.proven_backup");
  EXPECT_EQ(Sync(),
            "there is no table pgsteward.proven_backup; hint: Make it with: pgsteward schema apply "
            "--component pgsteward.");
}

// The interlock from end to end: refused before there is a proven backup, allowed after, and
// refused again when it is deleted.
TEST_F(ProvenBackupTest, APurgeIsAllowedByAProvenBackupThatExists) {
  Archive(1, "2020-01-15", 10);
  const std::map<std::string, std::string> options = {{"older_than", "1 year"}};
  const std::string refused = Run(kArchivePurge, options).Text();
  EXPECT_EQ(refused.substr(0, 7), "skipped") << refused;
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive"), "10");

  Publish(Taken("20261101T030000Z-0001", "1 hour", ""));
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Run(kArchivePurge, options).Text(), refused);

  Publish(Taken("20261101T030000Z-0001", "1 hour", "proven"));
  EXPECT_EQ(Sync(), "ok");
  fs::remove_all(place_.Published("20261101T030000Z-0001"));
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Run(kArchivePurge, options).Text(), refused);

  Exec("UPDATE public.messages_archive SET archived_at = now() - interval '2 hours'");
  Publish(Taken("20261101T030000Z-0001", "1 hour", "proven"));
  EXPECT_EQ(Sync(), "ok");
  EXPECT_EQ(Run(kArchivePurge, options).Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive"), "0");
}

}  // namespace
}  // namespace pgsteward
