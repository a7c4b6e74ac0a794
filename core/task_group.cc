#include "core/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "core/log.h"

namespace pgsteward {

namespace asio = boost::asio;

void TaskGroup::Spawn(std::string name, Task<void> task, std::function<void()> on_bug) {
  auto entry = tasks_.emplace(tasks_.end());
  entry->id = ++last_id_;
  entry->name = std::move(name);
  auto finished = [this, entry, on_bug = std::move(on_bug)](std::exception_ptr failure) {
    Finished(entry, failure, on_bug);
  };
  asio::co_spawn(runtime_.loop, std::move(task),
                 asio::bind_cancellation_slot(entry->cancel.slot(), std::move(finished)));
}

void TaskGroup::Finished(std::list<Entry>::iterator entry, std::exception_ptr failure,
                         const std::function<void()>& on_bug) {
  const std::string name = std::move(entry->name);
  tasks_.erase(entry);
  changed_.Notify();
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) return;
    LogError("task failed", {{"task", name}, {"err", e.what()}});
  } catch (const std::exception& e) {
    LogError("task failed", {{"task", name}, {"err", e.what()}});
  } catch (...) {
    LogError("task failed", {{"task", name}, {"err", "unknown exception"}});
  }
  if (on_bug) on_bug();
}

void TaskGroup::Stop() {
  // Emitting may finish a task at once and so change the list under us: one by one, by id.
  for (const Entry& entry : tasks_) {
    asio::post(runtime_.loop, [this, id = entry.id] { Cancel(id); });
  }
}

void TaskGroup::Cancel(std::uint64_t id) {
  for (Entry& entry : tasks_) {
    if (entry.id != id) continue;
    entry.cancel.emit(asio::cancellation_type::terminal);
    return;
  }
}

Task<bool> TaskGroup::Join(Deadline deadline) {
  while (!tasks_.empty()) {
    const bool in_time = co_await changed_.WaitUntil(deadline);
    if (!in_time) break;
  }
  co_return tasks_.empty();
}

std::vector<std::string> TaskGroup::Running() const {
  std::vector<std::string> names;
  for (const Entry& entry : tasks_) names.push_back(entry.name);
  return names;
}

void RunToEnd(Runtime& runtime, Task<void> task) {
  std::exception_ptr failure;
  bool done = false;
  asio::co_spawn(runtime.loop, std::move(task), [&](std::exception_ptr e) {
    failure = e;
    done = true;
  });
  runtime.loop.restart();
  // Not run(): other tasks (a session's owner) may still wait when this one is done.
  while (!done && runtime.loop.run_one() > 0) {
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace pgsteward
