#include "jobs/backup/pg_tools.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/private_postgres.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

class PgTools : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/pg_tools_test.XXXXXX";
    folder_ = ::mkdtemp(path);
    old_path_ = std::getenv("PATH");
    ::setenv("PATH", (folder_ + "/path:/usr/bin:/bin").c_str(), 1);
  }
  void TearDown() override {
    ::setenv("PATH", old_path_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }

  // A program that says `line` when it is asked for its version.
  std::string Fake(const std::string& folder, const std::string& name, const std::string& line) {
    std::filesystem::create_directories(folder_ + "/" + folder);
    std::string path = folder_ + "/" + folder + "/" + name;
    std::ofstream(path) << "#!/bin/sh\necho '" << line << "'\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }
  Result<PgTool> Find(const std::string& name, int major,
                      std::vector<std::string> directories = {}) {
    return RunCoro(runtime_, FindPgTool(runtime_, name, major, std::move(directories)));
  }

  Runtime runtime_;
  std::string folder_;
  std::string old_path_;
};

TEST_F(PgTools, ConfiguredFolderFirstThenThePath) {
  const std::string one = Fake("one", "pg_dump", "pg_dump (PostgreSQL) 98.3 (Debian 98.3-1)");
  const std::string in_path = Fake("path", "pg_dump", "pg_dump (PostgreSQL) 98.4");
  auto tool = Find("pg_dump", 98, {folder_ + "/none", folder_ + "/one"});
  ASSERT_TRUE(tool) << ToText(tool.error());
  EXPECT_EQ(tool->path, one);
  EXPECT_EQ(tool->version, "98.3");
  EXPECT_EQ(tool->major, 98);
  tool = Find("pg_dump", 98);
  ASSERT_TRUE(tool);
  EXPECT_EQ(tool->path, in_path);
}

TEST_F(PgTools, OtherMajorsAreNamed) {
  const std::string old = Fake("one", "pg_restore", "pg_restore (PostgreSQL) 97.1");
  const std::string odd = Fake("two", "pg_restore", "hello");
  const std::string good = Fake("three", "pg_restore", "pg_restore (PostgreSQL) 98beta1");
  const auto none = Find("pg_restore", 98, {folder_ + "/one", folder_ + "/two"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::kUnsupported);
  EXPECT_TRUE(none.error().message.starts_with("there is no pg_restore of PostgreSQL 98; found: " +
                                               old + " (97.1), " + odd + " (says no version)"))
      << none.error().message;
  EXPECT_EQ(none.error().hint,
            "Install the package postgresql-client-98, or name its folder in tools.");
  const auto tool = Find("pg_restore", 98, {folder_ + "/one", folder_ + "/three"});
  ASSERT_TRUE(tool);
  EXPECT_EQ(tool->path, good);
  EXPECT_EQ(tool->version, "98beta1");
}

TEST_F(PgTools, NothingAtAll) {
  const auto none = Find("initdb", 98);
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().message.starts_with("there is no initdb of PostgreSQL 98"));
  EXPECT_EQ(none.error().hint, "Install the package postgresql-98, or name its folder in tools.");
}

TEST_F(PgTools, ThoseOfThisMachine) {
  for (const char* name : {"pg_dump", "pg_dumpall", "pg_restore", "psql", "initdb", "pg_ctl"}) {
    const auto tool = Find(name, 15);
    if (!tool && ProgramsAreRequired()) FAIL() << ToText(tool.error());
    if (!tool) GTEST_SKIP() << ToText(tool.error());
    EXPECT_EQ(tool->major, 15);
    EXPECT_EQ(tool->path, std::string("/usr/lib/postgresql/15/bin/") + name);
  }
}

}  // namespace
}  // namespace pgsteward
