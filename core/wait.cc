#include "core/wait.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace pgsteward {

namespace asio = boost::asio;
using asio::experimental::awaitable_operators::operator||;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// Lends a descriptor that somebody else owns to Asio, and always takes it back, also when a
// cancellation unwinds: Asio's destructor would close it.
class BorrowedFd {
 public:
  BorrowedFd(const asio::any_io_executor& executor, int fd) : descriptor_(executor, fd) {}
  ~BorrowedFd() { descriptor_.release(); }
  asio::posix::stream_descriptor& operator*() { return descriptor_; }

 private:
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace

Task<bool> WaitFd(int fd, FdEvent event, Deadline deadline) {
  auto executor = co_await asio::this_coro::executor;
  BorrowedFd borrowed(executor, fd);
  asio::steady_timer timer(executor, deadline);
  const auto type = event == FdEvent::kRead ? asio::posix::descriptor_base::wait_read
                                            : asio::posix::descriptor_base::wait_write;
  // Both sides as tuples: `||` waits for the first success, and neither side may throw (style 4.3).
  auto outcome = co_await ((*borrowed).async_wait(type, kTuple) || timer.async_wait(kTuple));
  // A descriptor error also counts as ready: libpq is asked next and tells what happened.
  co_return outcome.index() == 0;
}

Task<void> SleepUntil(SteadyTime when) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  co_await timer.async_wait(asio::use_awaitable);
}

namespace detail {
Task<void> WaitTimer(asio::steady_timer& timer) {
  co_await timer.async_wait(kTuple);
  // Did the wait end because the coroutine is being cancelled, or by cancel() on the timer?
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}
}  // namespace detail

// A waiter lives in its coroutine's frame and takes itself off the list when the frame dies.
struct Event::Waiter {
  Waiter(Event& owner, Deadline deadline) : event(owner), timer(owner.runtime_.loop, deadline) {
    position = event.waiters_.insert(event.waiters_.end(), this);
  }
  ~Waiter() { event.waiters_.erase(position); }

  Event& event;
  asio::steady_timer timer;
  std::list<Waiter*>::iterator position;
  bool notified = false;
};

void Event::Notify() {
  for (Waiter* waiter : waiters_) {
    waiter->notified = true;
    waiter->timer.cancel();
  }
}

Task<bool> Event::WaitUntil(Deadline deadline) {
  Waiter waiter(*this, deadline);
  co_await detail::WaitTimer(waiter.timer);
  co_return waiter.notified;
}

struct AsyncMutex::Waiter {
  Waiter(AsyncMutex& owner, Deadline deadline, Duration hold)
      : mutex(owner), timer(owner.runtime_.loop, deadline), expected(hold) {
    auto next = mutex.waiters_.begin();
    while (next != mutex.waiters_.end() && (*next)->expected <= expected) ++next;
    position = mutex.waiters_.insert(next, this);
  }
  ~Waiter() {
    if (queued) mutex.waiters_.erase(position);
    // Handed the lock, but the coroutine is unwound before it could take it: pass it on.
    if (granted) mutex.Release();
  }

  AsyncMutex& mutex;
  asio::steady_timer timer;
  Duration expected;
  std::list<Waiter*>::iterator position;
  bool queued = true;
  bool granted = false;
};

Task<AsyncMutex::Lock> AsyncMutex::Acquire(Deadline deadline, Duration expected) {
  if (!held_) {
    held_ = true;
    co_return Lock(*this);
  }
  Waiter waiter(*this, deadline, expected);
  co_await detail::WaitTimer(waiter.timer);
  if (!waiter.granted) co_return Lock();
  waiter.granted = false;
  co_return Lock(*this);
}

void AsyncMutex::Release() {
  if (waiters_.empty()) {
    held_ = false;
    return;
  }
  Waiter* next = waiters_.front();
  waiters_.pop_front();
  next->queued = false;
  next->granted = true;
  next->timer.cancel();
}

}  // namespace pgsteward
