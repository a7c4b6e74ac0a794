// Any change of a backup is refused and named, wherever it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <random>

#include "jobs/backup/verify.h"
#include "tests/jobs/backup/hand_made.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {
namespace {

namespace fs = std::filesystem;

constexpr int kByChecksum = 700;
constexpr int kWithContents = 60;

// What was done to which file; empty: nothing was changed.
struct Mutation {
  std::string what;
  std::vector<std::string> files;  // one of them must be named
};

class Mutator {
 public:
  Mutator(const BackupWorld& world, std::string pristine, std::string id, std::string other,
          unsigned seed)
      : world_(world),
        pristine_(std::move(pristine)),
        id_(std::move(id)),
        other_(std::move(other)),
        random_(seed) {}

  // On a fresh copy.
  Mutation Next() {
    Restore();
    const std::string folder = world_.Folder(id_);
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    const std::string name = names[Below(names.size())];
    const std::string second = names[Below(names.size())];
    const std::string path = folder + "/" + name;
    std::string text = ReadFile(path);
    const std::string before = text;
    const std::size_t at = Below(text.size());
    const std::size_t length = 1 + Below(std::min<std::size_t>(text.size() - at, 300));
    switch (Below(13)) {
      case 0:
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << Below(8)));
        return Put(path, before, text, "flip at " + std::to_string(at), name);
      case 2:
        text.resize(at);
        return Put(path, before, text, "cut to " + std::to_string(at), name);
      case 3:
        for (std::size_t i = 0; i < length; ++i) text += static_cast<char>(Below(256));
        return Put(path, before, text, "append " + std::to_string(length), name);
      case 4: {
        const std::size_t to = Below(text.size() - length + 1);
        for (std::size_t i = 0; i < length; ++i)
          std::swap(text[at + i - (at + i >= text.size())], text[to + i]);
        return Put(path, before, text, "reorder", name);
      }
      case 5:
        text.replace(at, length, std::string(length, '\0'));
        return Put(path, before, text, "zeros at " + std::to_string(at), name);
      case 6:
        text.insert(at, text.substr(at, length));
        return Put(path, before, text, "repeat at " + std::to_string(at), name);
      case 7:
        text.erase(at, length);
        return Put(path, before, text, "leave out at " + std::to_string(at), name);
      case 8:
        fs::remove(path);
        return {"remove " + name, {name}};
      case 9:
        if (name == second) return {};
        fs::rename(path, folder + "/swap");
        fs::rename(folder + "/" + second, path);
        fs::rename(folder + "/swap", folder + "/" + second);
        return {"swap " + name + " and " + second, {name, second}};
      case 10:
        text = ReadFile(world_.Folder(other_) + "/" + name);
        return Put(path, before, text, "that of another backup", name);
      case 11:
        fs::rename(path, path + "x");
        if (Below(2) == 0) fs::create_symlink(path + "x", path);
        return {"rename " + name, {name, name + "x"}};
      default:
        WriteFile(path + "~", before);
        return {"a copy of " + name, {name + "~"}};
    }
  }
  void Restore() {
    fs::remove_all(world_.Folder(id_));
    fs::copy(pristine_, world_.Folder(id_), fs::copy_options::recursive);
  }

 private:
  std::size_t Below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }
  static Mutation Put(const std::string& path, const std::string& before, const std::string& text,
                      const std::string& what, const std::string& name) {
    if (text == before) return {};
    WriteFile(path, text);
    return {what + " of " + name, {name}};
  }

  const BackupWorld& world_;
  std::string pristine_;
  std::string id_;
  std::string other_;
  std::mt19937 random_;
};

class MutationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Postgres().CreateDatabase("mutated");
    Postgres().Exec("CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 2000) AS i",
                    "mutated");
    HandMadeOptions options;
    options.databases = {"mutated"};
    id_ = world_.Make(options);
    Postgres().Exec("UPDATE t SET i = i + 1", "mutated");
    other_ = world_.Make(options);
    pristine_ = world_.folder() + "/pristine";
    fs::copy(world_.Folder(id_), pristine_, fs::copy_options::recursive);
  }
  void TearDown() override { Postgres().DropDatabase("mutated"); }

  Result<VerifyReport> Verify(bool contents) {
    VerifyRequest request;
    request.folder = world_.Folder(id_);
    request.pg_restore = Postgres().binaries() + "/pg_restore";
    if (contents) request.identity = world_.identity();
    StopSwitch stop;
    return VerifyBackup(request, stop);
  }
  void Try(int count, unsigned seed, bool contents) {
    Mutator mutator(world_, pristine_, id_, other_, seed);
    for (int i = 0; i < count; ++i) {
      const Mutation mutation = mutator.Next();
      const std::string trace =
          "seed " + std::to_string(seed) + ", number " + std::to_string(i) + ": " + mutation.what;
      const auto report = Verify(contents);
      ASSERT_TRUE(report.has_value()) << trace;
      if (mutation.files.empty()) {
        EXPECT_TRUE(report->whole()) << trace;
        continue;
      }
      std::string named;
      bool found = false;
      for (const VerifyProblem& problem : report->problems) {
        named += problem.Text() + "\n";
        for (const std::string& file : mutation.files) found = found || problem.file == file;
      }
      EXPECT_FALSE(report->whole()) << trace;
      EXPECT_TRUE(found) << trace << "\n" << named;
    }
    mutator.Restore();
    EXPECT_TRUE(Verify(contents)->whole());
  }

  BackupWorld world_;
  std::string id_, other_, pristine_;
};

TEST_F(MutationTest, EveryOneIsRefusedAndNamed) { Try(kByChecksum, 20261125, false); }

TEST_F(MutationTest, LikewiseWhenTheContentsAreRead) { Try(kWithContents, 4, true); }

TEST_F(MutationTest, AFolderOfAnotherNameIsNoBackup) {
  fs::rename(world_.Folder(id_), world_.Folder("20200101T000000Z-0000"));
  VerifyRequest request;
  request.folder = world_.Folder("20200101T000000Z-0000");
  StopSwitch stop;
  const auto report = VerifyBackup(request, stop);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_EQ(report->problems[0].Text(), "manifest.json is of another backup, " + id_);
}

}  // namespace
}  // namespace pgsteward
