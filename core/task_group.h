// Owns every spawned coroutine: nothing is detached.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/wait.h"

namespace pgsteward {

class TaskGroup {
 public:
  explicit TaskGroup(Runtime& runtime) : runtime_(runtime), changed_(runtime) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task`. An exception that escapes it, other than the cancellation by Stop(), is a bug
  // of ours: it is logged with the task's name here, the one place, and ends only this task.
  // `on_bug`, if given, is then called on the loop (to start the task again after a pause).
  void Spawn(std::string name, Task<void> task, std::function<void()> on_bug = {});

  // Cancels every task that runs now. A cancelled task unwinds at its current wait.
  void Stop();

  // Waits until no task is left: true, or false at the deadline (see Running()).
  Task<bool> Join(Deadline deadline);

  bool empty() const { return tasks_.empty(); }
  std::vector<std::string> Running() const;

 private:
  struct Entry {
    std::uint64_t id = 0;
    std::string name;
    boost::asio::cancellation_signal cancel;
  };
  void Cancel(std::uint64_t id);
  void Finished(std::list<Entry>::iterator entry, std::exception_ptr failure,
                const std::function<void()>& on_bug);

  Runtime& runtime_;
  Event changed_;
  std::uint64_t last_id_ = 0;
  std::list<Entry> tasks_;
};

// Runs `task` on the runtime's loop until it is done, for commands and tests; rethrows.
void RunToEnd(Runtime& runtime, Task<void> task);

}  // namespace pgsteward
