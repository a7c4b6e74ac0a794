#include "jobs/runner/journal.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/durable_file.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/pgsteward-journal-XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/main.jobs";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Runtime runtime_;
  std::string folder_;
  std::string path_;
};

JobState PausedForEver() {
  JobState state;
  state.job = "sweep";
  state.type = "session_cleanup";
  state.next_due = WallTime(std::chrono::microseconds(1764041202123457));
  state.paused_until = WallTime::max();
  state.counters["runs.ok"] = 3;
  return state;
}

TEST_F(JournalTest, KeepsStatesAndUntoldEnds) {
  Journal journal(runtime_, path_);
  ASSERT_TRUE(journal.Load());
  journal.SetServer(7123456789, 4);
  journal.SetStates({PausedForEver()});
  RunRecord run;
  run.run_id = "r1";
  run.job = "sweep";
  run.due = WallTime(std::chrono::microseconds(1764041202000001));
  run.finished = WallTime(std::chrono::microseconds(1764041209999999));
  run.report.reason = "window: \"closed\"\n";
  journal.AddUntold(run);
  ASSERT_TRUE(RunCoro(runtime_, journal.Save()));

  Journal again(runtime_, path_);
  ASSERT_TRUE(again.Load());
  EXPECT_EQ(again.ToText(), journal.ToText());
  ASSERT_EQ(again.states().size(), 1U);
  EXPECT_EQ(again.states()[0].paused_until, WallTime::max());
  EXPECT_EQ(again.states()[0].next_due, PausedForEver().next_due);
  ASSERT_EQ(again.untold().size(), 1U);
  EXPECT_EQ(again.untold()[0].due, run.due);
  EXPECT_EQ(again.untold()[0].finished, run.finished);
  EXPECT_EQ(again.untold()[0].report.reason, run.report.reason);
}

TEST_F(JournalTest, WhoOnlyReadsChangesNothing) {
  Journal owner(runtime_, path_);
  owner.SetServer(7, 2);
  ASSERT_TRUE(RunCoro(runtime_, owner.Save()));
  const std::string before = *ReadWholeFile(path_);
  Journal reader(runtime_, path_, Journal::Use::kReadOnly);
  ASSERT_TRUE(reader.Peek());
  EXPECT_TRUE(reader.CheckServer(7, 2));
  EXPECT_TRUE(reader.CheckServer(7, 3));
  const auto older = reader.CheckServer(7, 1);
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().message,
            "this server is on timeline 1, and 2 was seen before: it is a primary from before a "
            "failover");
  EXPECT_FALSE(reader.CheckServer(8, 2));
  reader.SetServer(8, 1);
  ASSERT_TRUE(RunCoro(runtime_, reader.Save()));
  EXPECT_EQ(*ReadWholeFile(path_), before);
}

TEST_F(JournalTest, ABrokenOneIsSetAsideAndTheNextBegins) {
  ASSERT_TRUE(WriteFileDurably(path_, "{\"kind\":\"server\""));
  Journal journal(runtime_, path_);
  const auto loaded = journal.Load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message, "the journal was not understood and was set aside");
  EXPECT_EQ(*ReadWholeFile(path_ + ".broken"), "{\"kind\":\"server\"");
  ASSERT_TRUE(RunCoro(runtime_, journal.Save()));
  Journal again(runtime_, path_);
  EXPECT_TRUE(again.Load());
}

}  // namespace
}  // namespace pgsteward
