// Runs a coroutine to its end from an ordinary test body.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "core/runtime.h"
#include "core/task.h"
#include "core/task_group.h"

namespace pgsteward {

namespace detail {

template <class T>
Task<void> KeepValue(Task<T> task, std::optional<T>& kept) {
  T value = co_await std::move(task);
  kept.emplace(std::move(value));
}

}  // namespace detail

// The value of `task`, or what it throws. Other tasks of the loop run meanwhile.
// ASSERT_* does not compile inside coroutines: check the returned value outside, or EXPECT_*.
template <class T>
T RunCoro(Runtime& runtime, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    RunToEnd(runtime, std::move(task));
  } else {
    std::optional<T> kept;
    RunToEnd(runtime, detail::KeepValue(std::move(task), kept));
    return std::move(kept).value();
  }
}

}  // namespace pgsteward
