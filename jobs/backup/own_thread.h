// What blocks for long (gigabytes through pipes) runs on a thread of its own, not on the small
// pool; its coroutine waits for it and can stop it at any moment.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "core/runtime.h"
#include "core/stream_child.h"
#include "core/task.h"
#include "core/wait.h"

namespace pgsteward {

// Ends the work of a thread: it kills the children at whose pipes the thread waits.
class StopSwitch {
 public:
  // From any thread, once and for all.
  void Stop();
  bool stopped() const { return stopped_; }

  // While it stands, Stop() kills the child.
  class Attached {
   public:
    Attached(StopSwitch& stop, StreamChild& child) : stop_(stop), child_(child) {
      stop_.Add(child);
    }
    ~Attached() { stop_.Remove(child_); }
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;

   private:
    StopSwitch& stop_;
    StreamChild& child_;
  };

 private:
  void Add(StreamChild& child);
  void Remove(StreamChild& child);

  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::set<StreamChild*> children_;
};

// kTimeout, "stopped".
Error Stopped();

// Asked a few times a second, on the loop; true: flip the switch.
using StopWanted = std::function<bool()>;

// Runs `work` on a thread of its own. What it refers to must live as long as this coroutine, which
// never ends before the thread, not even when it is cancelled.
template <class T>
Task<T> OnOwnThread(Runtime& runtime, StopSwitch& stop, std::function<T()> work, StopWanted wanted);

// ---- implementation of the template ----

namespace detail {

inline constexpr Duration kStopBeat = std::chrono::milliseconds(100);

template <class T>
struct ThreadWork {
  ThreadWork(Runtime& runtime, StopSwitch& stop_switch) : stop(stop_switch), ended(runtime) {}
  StopSwitch& stop;
  Event ended;
  std::optional<T> value;
  std::atomic<bool> done = false;
  std::thread thread;
};

}  // namespace detail

template <class T>
Task<T> OnOwnThread(Runtime& runtime, StopSwitch& stop, std::function<T()> work,
                    StopWanted wanted) {
  auto state = std::make_shared<detail::ThreadWork<T>>(runtime, stop);
  auto guard = boost::asio::make_work_guard(runtime.loop);
  // The coroutine's own hold on the thread: by the time it is gone the thread is.
  detail::ThreadWork<T>& here = *state;
  struct Join {
    detail::ThreadWork<T>& work;
    ~Join() {
      if (!work.thread.joinable()) return;
      work.stop.Stop();
      work.thread.join();
    }
  };
  here.thread = std::thread([state, &runtime, work = std::move(work)]() {
    state->value.emplace(work());
    state->done = true;
    boost::asio::post(runtime.loop, [state]() { state->ended.Notify(); });
  });
  const Join join{here};
  while (!here.done) {
    if (wanted && wanted()) stop.Stop();
    co_await here.ended.WaitUntil(SteadyNow() + detail::kStopBeat);
  }
  here.thread.join();
  co_return std::move(*here.value);
}

}  // namespace pgsteward
