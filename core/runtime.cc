#include "core/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace pgsteward {

int LeaveWith(Runtime& runtime, int code, bool all_ended) {
  runtime.loop.restart();
  runtime.loop.poll();  // calls that came back meanwhile
  if (runtime.blocked_calls == 0 && all_ended) return code;
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace pgsteward
