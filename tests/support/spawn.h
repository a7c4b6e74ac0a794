// Child processes of tests: no shell, no inherited state but the environment.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace pgsteward {

struct SpawnFiles {
  int input = -1;  // a descriptor for standard input; -1: /dev/null
  // Standard output and error, appended; empty: /dev/null.
  std::string output;
};

// Starts argv[0] (found by PATH) in a session of its own with "/" as working directory; throws
// std::runtime_error when that fails.
pid_t Spawn(const std::vector<std::string>& argv, const SpawnFiles& files);

struct Finished {
  int exit_code = 0;  // 128 + signal when a signal ended it
  std::string output;
};
// Runs argv to its end and keeps what it wrote to standard output and error.
Finished RunProgram(const std::vector<std::string>& argv);

}  // namespace pgsteward
