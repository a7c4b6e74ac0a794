#include "jobs/retry.h"

#include <algorithm>

#include "core/wait.h"

namespace pgsteward {

namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(100);
constexpr Duration kLongestPause = std::chrono::seconds(10);

}  // namespace

bool IsLockTrouble(const Error& error) {
  return error.code == Errc::kTimeout || error.sqlstate == "55P03" || error.sqlstate == "40P01" ||
         error.sqlstate == "57014";
}

Task<std::string> Retrying::Ready() {
  // Who waited behind us gets through before the next attempt. In short steps: a run that must end
  // does not sleep on.
  const SteadyTime until = SteadyNow() + pause_;
  while (SteadyNow() < until) {
    if (std::string stop = context_.control.StopReason(); !stop.empty()) co_return stop;
    co_await SleepUntil(std::min<SteadyTime>(until, SteadyNow() + kFirstPause));
  }
  co_await context_.control.Throttle();
  co_return context_.control.StopReason();
}

bool Retrying::Again(const Error& error) {
  pause_ = pause_ == Duration{} ? kFirstPause : std::min<Duration>(pause_ * 2, kLongestPause);
  return IsLockTrouble(error) && --attempts_left_ > 0;
}

}  // namespace pgsteward
