#include "core/task_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "core/log.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Deadline In(Duration d) { return SteadyNow() + d; }

Task<void> Fail(std::string what) {
  co_await SleepUntil(SteadyNow());
  throw std::runtime_error(what);
}

Task<void> FailAtOnce() {
  throw std::runtime_error("at once");
  co_return;
}

// Sets `flag` when its scope ends, also when a cancellation unwinds.
class AtEnd {
 public:
  explicit AtEnd(bool& flag) : flag_(flag) {}
  ~AtEnd() { flag_ = true; }

 private:
  bool& flag_;
};

Task<void> SleepLong(bool& unwound, bool& came_back) {
  const AtEnd at_end(unwound);
  co_await SleepUntil(In(1h));
  came_back = true;
}

Task<void> CountTo(int number, int& count) {
  for (; count < number; ++count) co_await SleepUntil(SteadyNow());
}

TEST(TaskGroup, BugIsLoggedOnceWithTheTasksName) {
  const LogCapture log;
  Runtime runtime;
  TaskGroup group(runtime);
  int count = 0;
  group.Spawn("locks@hub", Fail("no such column: x"));
  group.Spawn("other", CountTo(5, count));
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(log.lines(),
              ElementsAre("level=error msg=\"task failed\" task=locks@hub err=\"no such column: "
                          "x\""));
  EXPECT_EQ(count, 5) << "a bug ends only its own task";
}

TEST(TaskGroup, BugBeforeTheFirstWaitIsCaughtToo) {
  const LogCapture log;
  Runtime runtime;
  TaskGroup group(runtime);
  group.Spawn("early", FailAtOnce());
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(log.lines(),
              ElementsAre("level=error msg=\"task failed\" task=early err=\"at once\""));
}

TEST(TaskGroup, OnBugMayStartTheTaskAgain) {
  const LogCapture log;
  Runtime runtime;
  TaskGroup group(runtime);
  int bugs = 0;
  int count = 0;
  group.Spawn("collector", Fail("first"), [&] {
    ++bugs;
    group.Spawn("collector", CountTo(3, count), [&] { ++bugs; });
  });
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_EQ(bugs, 1) << "the second one ended well";
  EXPECT_EQ(count, 3);
  EXPECT_EQ(log.lines().size(), 1U);
}

TEST(TaskGroup, StopUnwindsAtTheWaitAndIsNoBug) {
  const LogCapture log;
  Runtime runtime;
  TaskGroup group(runtime);
  bool unwound[2] = {};
  bool came_back = false;
  int bugs = 0;
  group.Spawn("a", SleepLong(unwound[0], came_back), [&] { ++bugs; });
  group.Spawn("b", SleepLong(unwound[1], came_back), [&] { ++bugs; });
  RunCoro(runtime, SleepUntil(In(5ms)));
  EXPECT_THAT(group.Running(), ElementsAre("a", "b"));
  EXPECT_FALSE(unwound[0] || unwound[1]);

  group.Stop();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_TRUE(unwound[0] && unwound[1]);
  EXPECT_FALSE(came_back);
  EXPECT_EQ(bugs, 0);
  EXPECT_TRUE(group.empty());
  EXPECT_THAT(log.lines(), ElementsAre());
}

TEST(TaskGroup, StopReachesATaskThatHasNotYetBegun) {
  Runtime runtime;
  TaskGroup group(runtime);
  bool unwound = false;
  bool came_back = false;
  group.Spawn("a", SleepLong(unwound, came_back));
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_FALSE(came_back);
}

TEST(TaskGroup, StopTwiceAndStopOfAnEmptyGroup) {
  Runtime runtime;
  TaskGroup group(runtime);
  group.Stop();
  bool unwound = false;
  bool came_back = false;
  group.Spawn("a", SleepLong(unwound, came_back));
  RunCoro(runtime, SleepUntil(In(2ms)));
  group.Stop();
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_TRUE(unwound);
}

TEST(TaskGroup, TasksSpawnedAfterStopRun) {
  Runtime runtime;
  TaskGroup group(runtime);
  group.Stop();
  int count = 0;
  group.Spawn("later", CountTo(3, count));
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_EQ(count, 3);
}

TEST(TaskGroup, JoinGivesUpAtTheDeadline) {
  Runtime runtime;
  TaskGroup group(runtime);
  bool unwound = false;
  bool came_back = false;
  group.Spawn("stubborn", SleepLong(unwound, came_back));
  const SteadyTime start = SteadyNow();
  EXPECT_FALSE(RunCoro(runtime, group.Join(start + 20ms)));
  EXPECT_GE(SteadyNow() - start, 20ms);
  EXPECT_LT(SteadyNow() - start, 2s);
  EXPECT_THAT(group.Running(), ElementsAre("stubborn"));
  EXPECT_FALSE(unwound);
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
}

TEST(TaskGroup, JoinOfAnEmptyGroupDoesNotWait) {
  Runtime runtime;
  TaskGroup group(runtime);
  EXPECT_TRUE(RunCoro(runtime, group.Join(SteadyNow())));
}

TEST(TaskGroup, RunToEndRethrows) {
  Runtime runtime;
  EXPECT_THROW(RunToEnd(runtime, Fail("bug")), std::runtime_error);
  int count = 0;
  RunToEnd(runtime, CountTo(2, count));
  EXPECT_EQ(count, 2) << "the runtime is usable afterwards";
}

}  // namespace
}  // namespace pgsteward
