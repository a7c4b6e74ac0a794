#include "core/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "core/clock.h"

namespace pgsteward {

namespace {

constexpr Duration kCancelTime = std::chrono::seconds(1);
constexpr Duration kStep = std::chrono::milliseconds(5);

}  // namespace

int LeaveWith(Runtime& runtime, int code, bool all_ended) {
  runtime.loop.restart();
  runtime.loop.poll();  // calls that came back meanwhile
  // What we cancel shall not go on without us.
  for (Duration waited{}; *runtime.cancel_requests > 0 && waited < kCancelTime; waited += kStep) {
    std::this_thread::sleep_for(kStep);
  }
  if (runtime.blocked_calls == 0 && *runtime.cancel_requests == 0 && all_ended) return code;
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace pgsteward
