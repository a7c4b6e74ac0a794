// Child processes: argv without a shell, a process group of their own, a deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"

namespace pgsteward {

// Our environment as "NAME=value" without what looks like a secret: by name (PASSWORD, TOKEN, ...)
// or as a URL or conninfo with a password. A child that needs one gets it from its caller, who adds
// it.
std::vector<std::string> InheritedEnvironment();

// Every user of the machine can read `argv` (/proc/PID/cmdline): that no secret stands in it is the
// caller's duty. Secrets go to a child by a file, by `input` or, less well, by `environment`.
struct ProcessSpec {
  explicit ProcessSpec(std::vector<std::string> arguments) : argv(std::move(arguments)) {}

  // argv[0] is a path, or a name looked for in our own PATH.
  std::vector<std::string> argv;
  std::vector<std::string> environment = InheritedEnvironment();
  // Standard input; /dev/null when empty. A child that does not read it to its end is no error.
  // The process must ignore SIGPIPE, as the daemon does.
  std::string input;
  // How many bytes of standard output and error are kept: the last ones.
  std::size_t max_output = std::size_t{64} << 10;
  std::size_t max_error_output = std::size_t{16} << 10;
  // Between TERM and KILL at the deadline or a cancellation; also how long descendants that keep
  // the output open are listened to after the child has ended by itself.
  Duration grace = std::chrono::seconds(2);
};

struct ProcessOutcome {
  int exit_code = -1;  // -1: a signal ended it
  int signal = 0;
  std::string output;
  std::string error_output;
  // All that came, kept or not.
  std::uint64_t output_bytes = 0;
  std::uint64_t error_output_bytes = 0;
  Duration duration{};

  bool ok() const { return exit_code == 0; }
};

// Runs a program to its end; how it ended is the outcome and no error, whatever the exit code.
// kChildFailed: it could not be started. kTimeout: it did not end by `deadline`, so its group got
// TERM and, after the grace, KILL; the same happens on cancellation, which then goes on unwinding.
// No member of the child's process group outlives the call, and no zombie stays.
Task<Result<ProcessOutcome>> RunProcess(Runtime& runtime, ProcessSpec spec, Deadline deadline);

}  // namespace pgsteward
