// System calls that fail in this process when a test says so: linked into its executable, they come
// before the C library's.
#pragma once

#include <string>

namespace pgsteward {

// Counts the calls of write, fsync, rename, renameat2, mkdir and open (for writing) on files below
// a folder, and lets one of them fail. Never two at a time.
class FailingCalls {
 public:
  // The `nth` (from 1) fails with `error`; 0: none, they are only counted.
  FailingCalls(const std::string& folder, int nth, int error);
  ~FailingCalls();
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;

  int calls() const;
  // "fsync /target/x": the one that failed.
  std::string failed() const;
};

}  // namespace pgsteward
