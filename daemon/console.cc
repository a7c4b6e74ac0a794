#include "daemon/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "core/task_group.h"
#include "core/terminal_text.h"
#include "daemon/commands.h"

namespace pgsteward {

namespace {

constexpr Duration kBeat = std::chrono::milliseconds(500);
constexpr Duration kStopGrace = std::chrono::seconds(5);

Task<void> HeedSignals(boost::asio::signal_set& signals, Console& console, int& received) {
  for (;;) {
    const int signal = co_await signals.async_wait(boost::asio::use_awaitable);
    if (received != 0) std::_Exit(kExitSignal + signal);
    received = signal;
    console.Line("stopping; once more to leave at once");
  }
}

Task<void> ThenStop(Task<void> task, TaskGroup& tasks) {
  co_await std::move(task);
  tasks.Stop();
  co_await tasks.Join(SteadyNow() + kStopGrace);
}

}  // namespace

Console::Console() : interactive_(::isatty(STDERR_FILENO) == 1) {}

void Console::Line(const std::string& text) {
  Clear();
  std::cerr << "pgsteward: " << HarmlessLine(text) << std::endl;
}

void Console::Progress(const std::string& text) {
  if (!interactive_ || SteadyNow() < next_) return;
  next_ = SteadyNow() + kBeat;
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  std::cerr << "\r" << CutToWidth(HarmlessLine(text), known ? size.ws_col - 1 : 79) << "\x1b[K"
            << std::flush;
  open_ = true;
}

void Console::Clear() {
  if (open_) std::cerr << "\r\x1b[K" << std::flush;
  open_ = false;
}

std::string ShortBytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
                kUnits[unit]);
  return text.data();
}

void RunHeedingSignals(Runtime& runtime, Console& console, int& signal, Task<void> task) {
  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::signal_set signals(runtime.loop, SIGINT, SIGTERM);
  TaskGroup tasks(runtime);
  tasks.Spawn("signals", HeedSignals(signals, console, signal));
  RunToEnd(runtime, ThenStop(std::move(task), tasks));
}

}  // namespace pgsteward
