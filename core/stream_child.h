// A child process in the middle of a stream: its ends are pipes that a thread of ours reads and
// writes, blocking. For data that is too much for the loop (a dump, its encryption); what has
// little to say runs by RunProcess (process.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/process.h"

namespace pgsteward {

enum class StreamEnd { kNull, kPipe };

// As of ProcessSpec, `argv` must hold no secret.
struct StreamChildSpec {
  explicit StreamChildSpec(std::vector<std::string> arguments) : argv(std::move(arguments)) {}

  // A descriptor that the child inherits under the number `as` (3 to 63), e.g. of a memfd whose
  // name "/proc/self/fd/3" stands in argv or in the environment. Borrowed until Start returns.
  struct Inherited {
    int fd;
    int as;
  };

  std::vector<std::string> argv;
  std::vector<std::string> environment = InheritedEnvironment();
  StreamEnd input = StreamEnd::kPipe;
  StreamEnd output = StreamEnd::kPipe;
  std::vector<Inherited> inherited = {};
  std::size_t max_error_output = std::size_t{16} << 10;  // the last bytes of standard error
  int nice = 0;                                          // added to ours
  bool idle_io = false;                                  // ionice class idle
  // Each line of standard error, as it comes, on a thread of the child's own.
  std::function<void(std::string_view)> on_error_line = {};
};

// The child leads a process group of its own, and gets SIGKILL when our process ends in whatever
// way, or the thread that started it: that one must stay longer than the child. One thread may
// read, another one write, and a third one kill. The writing one has SIGPIPE ignored or blocked.
class StreamChild {
 public:
  // kChildFailed: not found, or it could not be started.
  static Result<std::unique_ptr<StreamChild>> Start(StreamChildSpec spec);
  // Kills the group and waits for its end.
  virtual ~StreamChild() = default;

  // The child's output; 0 bytes: it ended.
  virtual Result<std::size_t> Read(std::span<std::byte> into) = 0;
  // All of it into the child's input. kChildFailed when the child reads no more.
  virtual Result<void> Write(std::span<const std::byte> bytes) = 0;
  virtual void CloseInput() = 0;
  // The whole group. SIGKILL also ends Read and Write of other threads, whoever holds the pipes'
  // other ends.
  virtual void Kill(int signal) = 0;
  // Waits, blocking, for the end of the child (kTimeout: killed then); its output must have been
  // read to its end. ProcessOutcome.output is empty, error_output the tail.
  virtual Result<ProcessOutcome> Wait(Deadline deadline) = 0;
};

}  // namespace pgsteward
