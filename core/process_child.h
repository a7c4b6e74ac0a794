// A running child of RunProcess: its pipes, its end, and what is left of it when nobody waits.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "core/fd.h"
#include "core/process.h"

namespace pgsteward {

// The last bytes of a stream.
class Tail {
 public:
  explicit Tail(std::size_t limit) : limit_(limit) {}

  void Append(std::string_view bytes) {
    total_ += bytes.size();
    kept_ += bytes;
    // Not at every append: moving the kept part has to be worth it.
    if (kept_.size() > 2 * limit_ + kSlack) Cut();
  }
  std::string Take() {
    Cut();
    return std::move(kept_);
  }
  std::uint64_t total() const { return total_; }

 private:
  static constexpr std::size_t kSlack = std::size_t{64} << 10;

  void Cut() {
    if (kept_.size() > limit_) kept_.erase(0, kept_.size() - limit_);
  }

  std::size_t limit_;
  std::uint64_t total_ = 0;
  std::string kept_;
};

// A running child. Its pipes and its pidfd stand in one epoll set, so that one wait watches all of
// them: tasks of their own could outlive an unwound caller. Kills and reaps when it is destroyed.
class ProcessChild {
 public:
  explicit ProcessChild(const ProcessSpec& spec)
      : spec_(spec), output_tail_(spec.max_output), error_tail_(spec.max_error_output) {}
  ProcessChild(const ProcessChild&) = delete;
  ProcessChild& operator=(const ProcessChild&) = delete;
  ~ProcessChild();

  std::optional<Error> Start();
  // Readable when Pump() has something to do.
  int watch_fd() const { return watch_.get(); }
  // Moves what can be moved through the pipes without blocking, and notices the end.
  void Pump();
  void SignalGroup(int signal) const;

  bool exited() const { return exited_; }
  bool output_ended() const { return !output_.open() && !error_.open(); }
  // After exited().
  Result<ProcessOutcome> Reap();
  std::string LastErrorLine();

 private:
  Error CannotStart(int failed) const;
  bool Watch(const Fd& fd, std::uint32_t events) const;
  void Drop(Fd& fd) const;
  void Feed();
  void Read(Fd& fd, Tail& tail) const;

  const ProcessSpec& spec_;
  pid_t pid_ = -1;  // -1: not started, or reaped
  Fd watch_;
  Fd exit_;  // the pidfd
  Fd input_;
  Fd output_;
  Fd error_;
  std::size_t fed_ = 0;
  Tail output_tail_;
  Tail error_tail_;
  bool exited_ = false;
  SteadyTime started_at_;
  SteadyTime exited_at_;
};

}  // namespace pgsteward
