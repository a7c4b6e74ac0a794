#include "jobs/backup/verify.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/sha256.h"
#include "tests/jobs/backup/hand_made.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {
namespace {

namespace fs = std::filesystem;
using testing::StartsWith;

class VerifyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = new BackupWorld;
    Postgres().CreateDatabase("a/b");
    Postgres().Exec("CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i",
                    "a/b");
  }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }
  void SetUp() override {
    HandMadeOptions options;
    options.databases = {"a/b"};
    id_ = world_->Make(options);
  }
  void TearDown() override { fs::remove_all(world_->Folder(id_)); }

  // "ok", or the problems, a line each.
  std::string Verify(bool contents = true) {
    VerifyRequest request;
    request.folder = world_->Folder(id_);
    request.pg_restore = Postgres().binaries() + "/pg_restore";
    if (contents) request.identity = world_->identity();
    StopSwitch stop;
    const auto report = VerifyBackup(request, stop);
    if (!report) return "error " + report.error().message;
    if (report->whole()) return "ok";
    std::string text;
    for (const VerifyProblem& problem : report->problems) text += problem.Text() + "\n";
    return text;
  }
  std::string Path(const std::string& name) const { return world_->Folder(id_) + "/" + name; }
  std::string Dump() const { return world_->Read(id_).databases.at(0).file; }

  static BackupWorld* world_;
  std::string id_;
};

BackupWorld* VerifyTest::world_ = nullptr;

TEST_F(VerifyTest, AWholeBackupIsWhole) {
  EXPECT_EQ(Verify(false), "ok");
  EXPECT_EQ(Verify(true), "ok");
  EXPECT_EQ(Dump().substr(0, 7), "a%2Fb-1");
}

TEST_F(VerifyTest, EachFileIsNamedWithWhatIsWrong) {
  const std::string dump = Dump();
  const std::string text = ReadFile(Path(dump));
  const std::string length = std::to_string(text.size());

  WriteFile(Path(dump), text.substr(0, text.size() - 1));
  const std::string shorter =
      dump + " has " + std::to_string(text.size() - 1) + " bytes instead of " + length + "\n";
  EXPECT_EQ(Verify(false), shorter);
  EXPECT_EQ(Verify(true), shorter);

  std::string flipped = text;
  flipped[text.size() / 2] = static_cast<char>(flipped[text.size() / 2] ^ 1);
  WriteFile(Path(dump), flipped);
  const std::string changed = dump + " has another content than when it was stored (sha256)\n";
  EXPECT_EQ(Verify(false), changed);
  EXPECT_EQ(Verify(true), changed);

  fs::remove(Path(dump));
  EXPECT_EQ(Verify(true), dump + " is missing\n");
  fs::create_symlink("/etc/passwd", Path(dump));
  EXPECT_EQ(Verify(true), dump + " is no regular file\n");
  fs::remove(Path(dump));
  ::mkfifo(Path(dump).c_str(), 0600);
  EXPECT_EQ(Verify(true), dump + " is no regular file\n");
  fs::remove(Path(dump));

  WriteFile(Path(dump), text);
  WriteFile(Path("no\nfile"), "");
  EXPECT_EQ(Verify(true), "no file is not in the manifest\n");
  fs::remove(Path("no\nfile"));
  EXPECT_EQ(Verify(true), "ok");
}

// What the machine lacks is said, and is no damage of the backup.
TEST_F(VerifyTest, TheMachineIsNotTheBackup) {
  const std::string dump = Dump();
  VerifyRequest request;
  request.folder = world_->Folder(id_);
  request.identity = world_->identity();
  request.pg_restore = "/nonexistent/pg_restore";
  StopSwitch stop;
  auto report = VerifyBackup(request, stop);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, StartsWith(dump + " cannot start "));
  // Damaged as well: that is the better answer.
  const std::string text = ReadFile(Path(dump));
  WriteFile(Path(dump), text + "x");
  report = VerifyBackup(request, stop);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->problems.at(0).Text(), dump + " has " + std::to_string(text.size() + 1) +
                                               " bytes instead of " + std::to_string(text.size()));
  WriteFile(Path(dump), text);
  // A crash while a verdict was written.
  WriteFile(Path("manifest.json.new"), "{");
  EXPECT_EQ(Verify(), "ok");
}

TEST_F(VerifyTest, TheManifestMustBeThisBackups) {
  const std::string text = ReadFile(Path("manifest.json"));
  WriteFile(Path("manifest.json"), text.substr(0, text.size() / 2));
  EXPECT_EQ(Verify(),
            "manifest.json no good manifest: its end is missing, it was cut off or "
            "changed\n");
  fs::remove(Path("manifest.json"));
  EXPECT_EQ(Verify(), "manifest.json is missing\n");

  HandMadeOptions options;
  options.databases = {"a/b"};
  const std::string other = world_->Make(options);
  WriteFile(Path("manifest.json"), ReadFile(world_->Folder(other) + "/manifest.json"));
  fs::remove_all(world_->Folder(other));
  EXPECT_EQ(Verify(), "manifest.json is of another backup, " + other + "\n");

  WriteFile(Path("manifest.json"), text);
  EXPECT_EQ(Verify(), "ok");
}

// Whoever can write can also write a manifest that fits; the key is what he lacks, and what
// pg_restore reads must be a dump.
TEST_F(VerifyTest, WhatTheManifestVouchesForMustBeADump) {
  Manifest manifest = world_->Read(id_);
  const auto replace = [&](const std::string& name, const std::string& shell) {
    Shell(shell + " > '" + Path(name) + "'");
    for (BackupFile& file : manifest.files) {
      if (file.name != name) continue;
      file.bytes = fs::file_size(Path(name));
      file.sha256 = *Sha256OfFile(Path(name));
    }
    std::string sums;
    for (const BackupFile& file : manifest.files) {
      if (file.name != "SHA256SUMS") sums += file.sha256 + "  " + file.name + "\n";
    }
    WriteFile(Path("SHA256SUMS"), sums);
    manifest.files.back().bytes = sums.size();
    manifest.files.back().sha256 = Sha256Of(sums);
    world_->Write(id_, manifest);
  };
  const std::string dump = Dump();
  const std::string seal = " | zstd -q | age -r " + world_->key().recipient;
  replace(dump, "echo no dump" + seal);
  EXPECT_EQ(Verify(false), "ok");
  EXPECT_THAT(Verify(), StartsWith(dump + " pg_restore ended with exit code 1: pg_restore: error: "
                                          "input file "));
  replace(dump, "(" + Postgres().binaries() + "/pg_dump -Fc -Z0 -d \"" +
                    Postgres().Conninfo("a/b") + "\" | head -c 100000 || true)" + seal);
  EXPECT_NE(Verify().find(dump + " pg_restore ended with exit code 1"), std::string::npos);
  replace(dump, "echo x | age -r " + world_->key().recipient);
  EXPECT_EQ(Verify(), dump + " cannot be decompressed: Unknown frame descriptor\n");
  replace(dump,
          "(head -c 100000 /dev/zero | zstd -q | head -c 10) | age -r " + world_->key().recipient);
  EXPECT_EQ(Verify(), dump + " ends in the middle of its compressed data\n");
  replace(dump, "echo x | age -a -r " + world_->key().recipient + " | tr a b");
  EXPECT_NE(Verify().find(dump + " cannot be decrypted: "), std::string::npos);
  // Another dump of the same database, of another length.
  Postgres().Exec("CREATE TABLE more AS SELECT 1", "a/b");
  replace(dump, Postgres().binaries() + "/pg_dump -Fc -Z0 -d \"" + Postgres().Conninfo("a/b") +
                    "\"" + seal);
  Postgres().Exec("DROP TABLE more", "a/b");
  EXPECT_NE(Verify().find(dump + " holds a dump of "), std::string::npos);
}

TEST_F(VerifyTest, WithoutTheKeyContentsStayClosed) {
  VerifyRequest request;
  request.folder = world_->Folder(id_);
  request.pg_restore = Postgres().binaries() + "/pg_restore";
  Shell("umask 077; age-keygen -o '" + world_->folder() + "/wrong.key' 2>/dev/null");
  Identity wrong;
  wrong.path = world_->folder() + "/wrong.key";
  request.identity = wrong;
  StopSwitch stop;
  const auto report = VerifyBackup(request, stop);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kBadConfig);
  EXPECT_THAT(
      report.error().message,
      StartsWith("globals.sql.zst.age cannot be decrypted: age: error: no identity matched"));
  fs::remove(wrong.path);
}

TEST_F(VerifyTest, StopEndsItAtOnce) {
  VerifyRequest request;
  request.folder = world_->Folder(id_);
  request.identity = world_->identity();
  request.pg_restore = Postgres().binaries() + "/pg_restore";
  StopSwitch stop;
  stop.Stop();
  const auto report = VerifyBackup(request, stop);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().message, "stopped");
  EXPECT_EQ(Verify(), "ok");
}

TEST_F(VerifyTest, PlainDumpsNeedTheirEnd) {
  HandMadeOptions options;
  options.databases = {"a/b"};
  options.format = "plain";
  fs::remove_all(world_->Folder(id_));
  id_ = world_->Make(options);
  EXPECT_EQ(Verify(), "ok");
  options.encrypted = false;
  fs::remove_all(world_->Folder(id_));
  id_ = world_->Make(options);
  EXPECT_EQ(Verify(false), "ok");
  EXPECT_EQ(Dump().substr(Dump().size() - 8), ".sql.zst");
}

TEST(DumpTrailerTest, OnlyTheTrueEndCounts) {
  EXPECT_TRUE(HasDumpTrailer("x;\n--\n-- PostgreSQL database dump complete\n--\n\n"));
  EXPECT_TRUE(HasDumpTrailer("-- PostgreSQL database dump complete\n--\n\n\\unrestrict ab\n\n"));
  EXPECT_FALSE(HasDumpTrailer("-- PostgreSQL database dump complete"));
  EXPECT_FALSE(HasDumpTrailer("-- PostgreSQL database dump complete\n--\nDROP TABLE x;\n"));
  EXPECT_FALSE(HasDumpTrailer("-- PostgreSQL database cluster dump complete\n"));
  EXPECT_TRUE(HasGlobalsTrailer("-- PostgreSQL database cluster dump complete\n--\n\n"));
}

}  // namespace
}  // namespace pgsteward
