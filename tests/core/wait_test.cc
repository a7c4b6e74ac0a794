#include "core/wait.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "core/task_group.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Deadline In(Duration d) { return SteadyNow() + d; }

// Lets everything that is ready on the loop run.
void Settle(Runtime& runtime) { RunCoro(runtime, SleepUntil(In(2ms))); }

// ---- Event ----

Task<void> Wait(Event& event, Deadline deadline, std::vector<bool>& outcomes) {
  const bool notified = co_await event.WaitUntil(deadline);
  outcomes.push_back(notified);
}

TEST(Event, NotifyWakesEveryWaiter) {
  Runtime runtime;
  Event event(runtime);
  TaskGroup group(runtime);
  std::vector<bool> outcomes;
  group.Spawn("a", Wait(event, In(1h), outcomes));
  group.Spawn("b", Wait(event, In(1h), outcomes));
  Settle(runtime);
  EXPECT_THAT(outcomes, ElementsAre());
  event.Notify();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(outcomes, ElementsAre(true, true));
}

TEST(Event, FalseAtTheDeadline) {
  Runtime runtime;
  Event event(runtime);
  const SteadyTime start = SteadyNow();
  EXPECT_FALSE(RunCoro(runtime, event.WaitUntil(start + 10ms)));
  EXPECT_GE(SteadyNow() - start, 10ms);
  EXPECT_FALSE(RunCoro(runtime, event.WaitUntil(start))) << "a deadline that has passed";
}

TEST(Event, NotifyWithoutWaitersIsForgotten) {
  Runtime runtime;
  Event event(runtime);
  event.Notify();
  EXPECT_FALSE(RunCoro(runtime, event.WaitUntil(In(5ms))));
}

TEST(Event, CancelledWaiterIsOffTheList) {
  Runtime runtime;
  Event event(runtime);
  TaskGroup stopped(runtime);
  TaskGroup group(runtime);
  std::vector<bool> outcomes;
  stopped.Spawn("stopped", Wait(event, In(1h), outcomes));
  group.Spawn("stays", Wait(event, In(1h), outcomes));
  Settle(runtime);
  stopped.Stop();
  EXPECT_TRUE(RunCoro(runtime, stopped.Join(In(5s))));
  event.Notify();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(outcomes, ElementsAre(true));
}

// ---- AsyncMutex ----

// Takes a turn, notes `id`, holds the turn for `hold`.
Task<void> TakeTurn(AsyncMutex& mutex, int id, Duration hold, Deadline deadline,
                    std::vector<int>& turns) {
  auto lock = co_await mutex.Acquire(deadline);
  turns.push_back(lock ? id : -id);
  if (lock) co_await SleepUntil(In(hold));
}

// As TakeTurn, for a turn that takes `expected` at most.
Task<void> TakeTurnOf(AsyncMutex& mutex, int id, Duration expected, std::vector<int>& turns) {
  auto lock = co_await mutex.Acquire(In(5s), expected);
  turns.push_back(id);
}

Task<AsyncMutex::Lock> Take(AsyncMutex& mutex) { co_return co_await mutex.Acquire(In(5s)); }

TEST(AsyncMutex, FirstComeFirstServed) {
  Runtime runtime;
  AsyncMutex mutex(runtime);
  TaskGroup group(runtime);
  std::vector<int> turns;
  for (int id = 1; id <= 4; ++id) {
    // The holder of the first turn is the slowest.
    group.Spawn("turn", TakeTurn(mutex, id, id == 1 ? 5ms : 0ms, In(5s), turns));
  }
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(turns, ElementsAre(1, 2, 3, 4));
}

TEST(AsyncMutex, ShorterTurnsGoFirstAndEqualOnesInOrder) {
  Runtime runtime;
  AsyncMutex mutex(runtime);
  TaskGroup group(runtime);
  std::vector<int> turns;
  auto held = RunCoro(runtime, Take(mutex));
  group.Spawn("slow", TakeTurnOf(mutex, 1, 30s, turns));
  group.Spawn("slow", TakeTurnOf(mutex, 2, 30s, turns));
  group.Spawn("quick", TakeTurnOf(mutex, 3, 5s, turns));
  group.Spawn("quick", TakeTurnOf(mutex, 4, 5s, turns));
  group.Spawn("middle", TakeTurnOf(mutex, 5, 10s, turns));
  Settle(runtime);
  held = AsyncMutex::Lock();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(turns, ElementsAre(3, 4, 5, 1, 2));
}

TEST(AsyncMutex, EmptyLockAtTheDeadlineAndTheQueueGoesOn) {
  Runtime runtime;
  AsyncMutex mutex(runtime);
  TaskGroup group(runtime);
  std::vector<int> turns;
  auto held = RunCoro(runtime, Take(mutex));
  ASSERT_TRUE(held);
  group.Spawn("impatient", TakeTurn(mutex, 1, 0ms, In(5ms), turns));
  group.Spawn("patient", TakeTurn(mutex, 2, 0ms, In(5s), turns));
  RunCoro(runtime, SleepUntil(In(20ms)));
  EXPECT_THAT(turns, ElementsAre(-1));
  held = AsyncMutex::Lock();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(turns, ElementsAre(-1, 2));
  EXPECT_TRUE(RunCoro(runtime, Take(mutex))) << "free again";
}

TEST(AsyncMutex, CancelledWhileQueued) {
  Runtime runtime;
  AsyncMutex mutex(runtime);
  TaskGroup stopped(runtime);
  TaskGroup group(runtime);
  std::vector<int> turns;
  auto held = RunCoro(runtime, Take(mutex));
  stopped.Spawn("stopped", TakeTurn(mutex, 1, 0ms, In(5s), turns));
  group.Spawn("stays", TakeTurn(mutex, 2, 0ms, In(5s), turns));
  Settle(runtime);
  stopped.Stop();
  EXPECT_TRUE(RunCoro(runtime, stopped.Join(In(5s))));
  held = AsyncMutex::Lock();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_THAT(turns, ElementsAre(2));
  EXPECT_TRUE(RunCoro(runtime, Take(mutex)));
}

TEST(AsyncMutex, CancelledAfterTheGrantBeforeTheTurn) {
  Runtime runtime;
  AsyncMutex mutex(runtime);
  TaskGroup stopped(runtime);
  TaskGroup group(runtime);
  std::vector<int> turns;
  auto held = RunCoro(runtime, Take(mutex));
  stopped.Spawn("stopped", TakeTurn(mutex, 1, 0ms, In(5s), turns));
  group.Spawn("stays", TakeTurn(mutex, 2, 0ms, In(5s), turns));
  Settle(runtime);
  // The cancellation is posted first and so runs before the granted task wakes up.
  stopped.Stop();
  held = AsyncMutex::Lock();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_TRUE(stopped.empty());
  EXPECT_THAT(turns, ElementsAre(2)) << "the turn was passed on, not lost";
  EXPECT_TRUE(RunCoro(runtime, Take(mutex)));
}

TEST(AsyncMutex, CancelledWhileHolding) {
  Runtime runtime;
  AsyncMutex mutex(runtime);
  TaskGroup stopped(runtime);
  std::vector<int> turns;
  stopped.Spawn("holder", TakeTurn(mutex, 1, 1h, In(5s), turns));
  Settle(runtime);
  stopped.Stop();
  EXPECT_TRUE(RunCoro(runtime, stopped.Join(In(5s))));
  EXPECT_TRUE(RunCoro(runtime, Take(mutex)));
}

// ---- Offload ----

template <class F>
auto RunOffload(Runtime& runtime, F fn, Deadline deadline) {
  return RunCoro(runtime, Offload(runtime, std::move(fn), deadline));
}

TEST(Offload, ValueFromAnotherThread) {
  Runtime runtime;
  const auto id = RunOffload(
      runtime, [] { return std::this_thread::get_id(); }, In(5s));
  ASSERT_TRUE(id);
  EXPECT_NE(*id, std::this_thread::get_id());
}

TEST(Offload, MoveOnlyValue) {
  Runtime runtime;
  auto number = RunOffload(
      runtime, [] { return std::make_unique<int>(42); }, In(5s));
  ASSERT_TRUE(number);
  EXPECT_EQ(**number, 42);
}

TEST(Offload, EmptyAtTheDeadlineAndTheFunctionGoesOn) {
  std::promise<void> go;
  std::atomic<bool> finished = false;
  {
    Runtime runtime;
    auto slow = [&finished, wait = go.get_future().share()] {
      wait.wait();
      finished = true;
      return 1;
    };
    EXPECT_FALSE(RunOffload(runtime, std::move(slow), In(5ms)));
    EXPECT_FALSE(finished);
    const auto other = RunOffload(
        runtime, [] { return 2; }, In(5s));
    EXPECT_EQ(other, 2) << "a late value is not taken for another's";
    go.set_value();
  }
  EXPECT_TRUE(finished) << "the runtime's end waits for it";
}

Task<void> OffloadAndNote(Runtime& runtime, std::shared_future<void> wait, bool& came_back) {
  auto fn = [wait] {
    wait.wait();
    return 1;
  };
  co_await Offload(runtime, std::move(fn), In(1h));
  came_back = true;
}

TEST(Offload, AbandonedByCancellation) {
  std::promise<void> go;
  bool came_back = false;
  Runtime runtime;
  TaskGroup group(runtime);
  group.Spawn("blocked", OffloadAndNote(runtime, go.get_future().share(), came_back));
  Settle(runtime);
  const SteadyTime start = SteadyNow();
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_LT(SteadyNow() - start, 1s) << "does not wait for the blocked thread";
  EXPECT_FALSE(came_back);
  go.set_value();
}

// ---- WaitFd ----

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(fds_, O_CLOEXEC | O_NONBLOCK), 0); }
  ~Pipe() {
    ::close(fds_[0]);
    if (fds_[1] >= 0) ::close(fds_[1]);
  }
  int reader() const { return fds_[0]; }
  int writer() const { return fds_[1]; }
  void Write() { EXPECT_EQ(::write(fds_[1], "x", 1), 1); }
  bool Read() {
    char c = 0;
    return ::read(fds_[0], &c, 1) == 1;
  }
  void CloseWriter() {
    ::close(fds_[1]);
    fds_[1] = -1;
  }

 private:
  int fds_[2] = {-1, -1};
};

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(WaitFd, ReadableNow) {
  Runtime runtime;
  Pipe pipe;
  pipe.Write();
  EXPECT_TRUE(RunCoro(runtime, WaitFd(pipe.reader(), FdEvent::kRead, In(5s))));
  EXPECT_TRUE(IsOpen(pipe.reader()));
  EXPECT_TRUE(pipe.Read());
}

TEST(WaitFd, ReadableLater) {
  Runtime runtime;
  Pipe pipe;
  // 10 ms: long enough for the wait to have begun.
  std::thread writer([&] {
    std::this_thread::sleep_for(10ms);
    pipe.Write();
  });
  const SteadyTime start = SteadyNow();
  EXPECT_TRUE(RunCoro(runtime, WaitFd(pipe.reader(), FdEvent::kRead, In(5s))));
  EXPECT_LT(SteadyNow() - start, 2s);
  writer.join();
  EXPECT_TRUE(IsOpen(pipe.reader()));
}

TEST(WaitFd, FalseAtTheDeadline) {
  Runtime runtime;
  Pipe pipe;
  const SteadyTime start = SteadyNow();
  EXPECT_FALSE(RunCoro(runtime, WaitFd(pipe.reader(), FdEvent::kRead, start + 10ms)));
  EXPECT_GE(SteadyNow() - start, 10ms);
  EXPECT_TRUE(IsOpen(pipe.reader()));
  pipe.Write();
  EXPECT_TRUE(RunCoro(runtime, WaitFd(pipe.reader(), FdEvent::kRead, In(5s)))) << "usable again";
}

TEST(WaitFd, Writable) {
  Runtime runtime;
  Pipe pipe;
  EXPECT_TRUE(RunCoro(runtime, WaitFd(pipe.writer(), FdEvent::kWrite, In(5s))));
  while (::write(pipe.writer(), "0123456789abcdef", 16) > 0) {
  }
  EXPECT_FALSE(RunCoro(runtime, WaitFd(pipe.writer(), FdEvent::kWrite, In(5ms)))) << "full";
  EXPECT_TRUE(IsOpen(pipe.writer()));
}

TEST(WaitFd, EndOfFileIsReadable) {
  Runtime runtime;
  Pipe pipe;
  pipe.CloseWriter();
  EXPECT_TRUE(RunCoro(runtime, WaitFd(pipe.reader(), FdEvent::kRead, In(5s))));
}

// libpq closes its socket and opens another one with the same number while it connects.
TEST(WaitFd, AnotherFileWithTheSameNumber) {
  Runtime runtime;
  Pipe first;
  Pipe second;
  const int number = ::dup(first.reader());
  EXPECT_FALSE(RunCoro(runtime, WaitFd(number, FdEvent::kRead, In(5ms))));
  ASSERT_EQ(::dup2(second.reader(), number), number);
  second.Write();
  EXPECT_TRUE(RunCoro(runtime, WaitFd(number, FdEvent::kRead, In(5s))));
  ::close(number);
}

Task<void> WaitAndNote(int fd, bool& came_back) {
  co_await WaitFd(fd, FdEvent::kRead, In(1h));
  // The next wait of a cancelled task throws.
  co_await SleepUntil(SteadyNow());
  came_back = true;
}

TEST(WaitFd, CancellationUnwindsAndLeavesTheFileOpen) {
  Runtime runtime;
  Pipe pipe;
  TaskGroup group(runtime);
  bool came_back = false;
  group.Spawn("reader", WaitAndNote(pipe.reader(), came_back));
  Settle(runtime);
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime, group.Join(In(5s))));
  EXPECT_FALSE(came_back);
  EXPECT_TRUE(IsOpen(pipe.reader()));
}

}  // namespace
}  // namespace pgsteward
