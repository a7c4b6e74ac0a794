// A scheduler in a process of its own, to be killed, frozen and woken.
#pragma once

#include <sys/types.h>

#include "jobs/runner/scheduler.h"

namespace pgsteward {

class DaemonProcess {
 public:
  // Forks: the calling process must have no other threads. The daemon dies with it.
  explicit DaemonProcess(const SchedulerPolicy& policy);
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  // By SIGTERM; true when it has ended by itself and in time.
  bool Stop();
  void Kill();  // -9; it is gone when this returns
  void Freeze() const;
  void Thaw() const;

  // As of at most a few milliseconds ago; of the last moment when it is frozen or gone.
  JobsState state() const;
  std::string holder() const;  // "host:pid:%", as LIKE takes it

 private:
  struct Shared;
  bool Reap();  // true: exit code 0

  Shared* shared_ = nullptr;
  pid_t pid_ = -1;
};

}  // namespace pgsteward
