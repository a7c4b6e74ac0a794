// Standard error of commands that take long: lines to read along, and on a terminal a line of
// progress below them.
#pragma once

#include <functional>
#include <string>

#include "core/clock.h"
#include "core/runtime.h"
#include "core/task.h"

namespace pgsteward {

class Console {
 public:
  Console();
  ~Console() { Clear(); }
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void Line(const std::string& text);
  // At most twice a second, and only on a terminal.
  void Progress(const std::string& text);
  void Clear();

 private:
  bool interactive_;
  bool open_ = false;
  SteadyTime next_{};
};

// "1.2 GB", "340 kB".
std::string ShortBytes(double bytes);

// Runs `task` until it is done. The first SIGINT or SIGTERM makes `*signal` not 0, by which the
// task must end soon; the second one leaves at once.
void RunHeedingSignals(Runtime& runtime, Console& console, int& signal, Task<void> task);

}  // namespace pgsteward
