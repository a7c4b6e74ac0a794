// Every way to wait. Each takes a deadline: nothing waits for ever.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"

namespace pgsteward {

enum class FdEvent { kRead, kWrite };

// Waits until `fd` is readable or writable: true, or false at the deadline. The descriptor is
// borrowed for this one wait, because libpq may close its socket and open another one with the
// same number between two waits (style 4.2).
Task<bool> WaitFd(int fd, FdEvent event, Deadline deadline);

Task<void> SleepUntil(SteadyTime when);

// A condition variable on the loop. Waiters are woken by Notify(); a Notify without waiters is
// forgotten, so check the condition before waiting.
class Event {
 public:
  explicit Event(Runtime& runtime) : runtime_(runtime) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Notify();
  // True when notified, false at the deadline.
  Task<bool> WaitUntil(Deadline deadline);

 private:
  struct Waiter;
  Runtime& runtime_;
  std::list<Waiter*> waiters_;
};

// A mutex on the loop. Those who need it for a shorter time go first, equals in the order in which
// they came.
class AsyncMutex {
 public:
  class Lock {
   public:
    Lock() = default;
    explicit Lock(AsyncMutex& mutex) : mutex_(&mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&& other) noexcept {
      std::swap(mutex_, other.mutex_);
      return *this;
    }
    ~Lock() {
      if (mutex_) mutex_->Release();
    }
    explicit operator bool() const { return mutex_ != nullptr; }

   private:
    AsyncMutex* mutex_ = nullptr;
  };

  explicit AsyncMutex(Runtime& runtime) : runtime_(runtime) {}

  // An empty lock at the deadline. `expected` is for how long it will be held at most.
  Task<Lock> Acquire(Deadline deadline, Duration expected = {});

 private:
  struct Waiter;
  void Release();

  Runtime& runtime_;
  bool held_ = false;
  std::list<Waiter*> waiters_;
};

// Runs `fn` on the pool of blocking threads; empty at the deadline. The function cannot be
// interrupted: at the deadline, or when the coroutine is cancelled, it goes on by itself, so it
// must own everything it touches.
template <class F>
Task<std::optional<std::invoke_result_t<F>>> Offload(Runtime& runtime, F fn, Deadline deadline);

// ---- implementation of the template ----

namespace detail {
Task<void> WaitTimer(boost::asio::steady_timer& timer);
}

template <class F>
Task<std::optional<std::invoke_result_t<F>>> Offload(Runtime& runtime, F fn, Deadline deadline) {
  struct State {
    State(Runtime& r, Deadline until, F function) : done(r.loop, until), fn(std::move(function)) {}
    boost::asio::steady_timer done;
    F fn;
    std::optional<std::invoke_result_t<F>> value;
  };
  auto state = std::make_shared<State>(runtime, deadline, std::move(fn));
  auto work = boost::asio::make_work_guard(runtime.loop);
  ++runtime.blocked_calls;
  boost::asio::post(runtime.blocking, [state, work, &runtime]() mutable {
    auto value = std::make_shared<std::invoke_result_t<F>>(state->fn());
    // The state is handed back before it is let go here: it holds a timer of the loop.
    boost::asio::post(runtime.loop, [state = std::move(state), value, &runtime]() {
      --runtime.blocked_calls;
      state->value.emplace(std::move(*value));
      state->done.cancel();
    });
  });
  co_await detail::WaitTimer(state->done);
  co_return std::move(state->value);
}

}  // namespace pgsteward
