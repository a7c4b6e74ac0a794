#include "jobs/backup/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "core/durable_file.h"
#include "tests/jobs/backup/manifest_sample.h"

namespace pgsteward {
namespace {

namespace fs = std::filesystem;

using testing::ElementsAre;
using testing::IsEmpty;

class PlaceTest : public testing::Test {
 protected:
  PlaceTest() {
    std::string form = "/tmp/pgsteward-place-XXXXXX";
    root_ = ::mkdtemp(form.data());
    place_.target = root_ + "/target";
    place_.server = "hub";
  }
  ~PlaceTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
  }
  void Publish(const std::string& id) {
    Write(place_.Published(id) + "/manifest.json", ManifestJson(SampleManifest(id)));
  }

  std::string root_;
  BackupPlace place_;
};

TEST(FileNameOf, KeepsHarmlessCharacters) {
  EXPECT_EQ(FileNameOf("hub-1_A.b"), "hub-1_A.b");
  EXPECT_EQ(FileNameOf("a/b"), "a%2Fb");
  EXPECT_EQ(FileNameOf(".."), "%2E%2E");
  EXPECT_EQ(FileNameOf(".a."), "%2Ea%2E");
  EXPECT_EQ(FileNameOf("a b\n%"), "a%20b%0A%25");
  EXPECT_EQ(FileNameOf("\xc3\xa9"), "%C3%A9");
}

TEST(FileNameOf, NoTwoNamesAreOneFile) {
  std::set<std::string> names;
  std::set<std::string> files;
  std::mt19937 random(5);
  const std::string bytes = "ab./%2F_- \xff";
  for (int i = 0; i < 20'000; ++i) {
    std::string name;
    for (unsigned n = 1 + random() % 6; n > 0; --n) name += bytes[random() % bytes.size()];
    names.insert(name);
    files.insert(FileNameOf(name));
  }
  EXPECT_EQ(names.size(), files.size());
}

TEST(BackupId, SortsByTime) {
  const std::string id = NewBackupId(TimeOf("2026-11-25T03:00:00.999999Z"));
  EXPECT_EQ(id.substr(0, 17), "20261125T030000Z-");
  EXPECT_TRUE(IsBackupId(id));
  EXPECT_LT(id, NewBackupId(TimeOf("2026-11-25T03:00:01.000000Z")));
  for (const char* name :
       {"", "20261125T030000Z", "20261125T030000Z-7F3A", "20261125T030000Z-7f3a0",
        "20261325T030000Z-7f3a", "20260229T030000Z-7f3a", "20261125T240000Z-7f3a",
        "20261125T036000Z-7f3a", "20261125T030060Z-7f3a", "20261125 030000Z-7f3a"}) {
    EXPECT_FALSE(IsBackupId(name)) << name;
  }
}

TEST_F(PlaceTest, ATargetNeedsItsSentinel) {
  const auto missing = CheckSentinel(place_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(ToText(missing.error()), "the target of backups is not there: " + place_.target +
                                         ": No such file or directory; hint: Mount it, or make it "
                                         "with: pgsteward backup init.");
  fs::create_directory(place_.target);
  const auto unmounted = CheckSentinel(place_);
  ASSERT_FALSE(unmounted);
  EXPECT_EQ(ToText(unmounted.error()),
            "the target of backups has no file " + place_.target +
                "/PGSTEWARD-BACKUPS; hint: Is the target mounted? Make a new one with: pgsteward "
                "backup init.");
  ASSERT_TRUE(MakeSentinel(place_.target));
  EXPECT_TRUE(CheckSentinel(place_));
  const auto again = MakeSentinel(place_.target);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kBusy);
  Write(place_.target + "/PGSTEWARD-BACKUPS", "something else\n");
  const auto other = CheckSentinel(place_);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::kUnavailable);
  EXPECT_EQ(other.error().message,
            place_.target + "/PGSTEWARD-BACKUPS is no sentinel that this program knows");
}

TEST_F(PlaceTest, ANewTargetIsForItsOwnerOnly) {
  ASSERT_TRUE(MakeSentinel(place_.target));
  struct stat status {};
  ASSERT_EQ(::stat(place_.target.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  const auto orphan = MakeSentinel(root_ + "/missing/target");
  ASSERT_FALSE(orphan);
  EXPECT_EQ(orphan.error().code, Errc::kUnavailable);
}

TEST_F(PlaceTest, NothingYetIsAnEmptyPlace) {
  const auto content = ReadPlace(place_);
  ASSERT_TRUE(content);
  EXPECT_THAT(content->backups, IsEmpty());
  EXPECT_THAT(content->foreign, IsEmpty());
}

TEST_F(PlaceTest, TellsBackupsFromEverythingElse) {
  Publish("20261125T030000Z-7f3a");
  Publish("20261124T030000Z-0001");
  fs::create_directories(place_.Published("20261123T030000Z-0002"));
  Write(place_.Published("20261122T030000Z-0003") + "/manifest.json",
        ManifestJson(SampleManifest("20261121T030000Z-0004")));
  Write(place_.Published("20261121T030000Z-0004") + "/manifest.json",
        ManifestJson(SampleManifest("20261121T030000Z-0004", "other")));
  Write(place_.Published("20261120T030000Z-0005") + "/manifest.json", "{}");
  Write(place_.Pin("20261124T030000Z-0001"), "before the migration\n");
  Write(place_.Root() + "/notes.txt", "mine");
  fs::create_directories(place_.Root() + "/lost+found");
  fs::create_directory_symlink("/tmp", place_.Root() + "/20261119T030000Z-0006");
  fs::create_directories(place_.Partial("20261125T040000Z-0007"));
  fs::create_directories(place_.Trash("20261101T040000Z-0008"));
  const auto content = ReadPlace(place_);
  ASSERT_TRUE(content);
  std::vector<std::string> seen;
  for (const FoundBackup& each : content->backups) {
    seen.push_back(each.id + ": " + (each.manifest ? "good" : each.manifest.error().message) +
                   (each.pin.empty() ? "" : ", pinned: " + each.pin));
  }
  EXPECT_THAT(
      seen,
      ElementsAre("20261120T030000Z-0005: no good manifest: its end is missing, it was cut off or "
                  "changed",
                  "20261121T030000Z-0004: its manifest is of server other",
                  "20261122T030000Z-0003: its manifest is of backup 20261121T030000Z-0004",
                  "20261123T030000Z-0002: there is no " +
                      place_.Published("20261123T030000Z-0002") + "/manifest.json",
                  "20261124T030000Z-0001: good, pinned: before the migration",
                  "20261125T030000Z-7f3a: good"));
  EXPECT_THAT(content->foreign, ElementsAre("20261119T030000Z-0006", "lost+found", "notes.txt"));
  EXPECT_THAT(content->partial, ElementsAre("20261125T040000Z-0007"));
  EXPECT_THAT(content->trash, ElementsAre("20261101T040000Z-0008"));
}

TEST_F(PlaceTest, ServersWithOddNamesHaveTheirOwnFolder) {
  place_.server = "../../etc";
  EXPECT_EQ(place_.Root(), place_.target + "/%2E.%2F..%2Fetc");
}

}  // namespace
}  // namespace pgsteward
