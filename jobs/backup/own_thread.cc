#include "jobs/backup/own_thread.h"

#include <csignal>

namespace pgsteward {

Error Stopped() { return Error(Errc::kTimeout, "stopped"); }

void StopSwitch::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  for (StreamChild* child : children_) child->Kill(SIGKILL);
}

void StopSwitch::Add(StreamChild& child) {
  const std::lock_guard<std::mutex> lock(mutex_);
  children_.insert(&child);
  if (stopped_) child.Kill(SIGKILL);
}

void StopSwitch::Remove(StreamChild& child) {
  const std::lock_guard<std::mutex> lock(mutex_);
  children_.erase(&child);
}

}  // namespace pgsteward
