#include "core/process.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>
#include <optional>
#include <string_view>

#include "core/process_child.h"
#include "core/wait.h"

namespace pgsteward {

namespace asio = boost::asio;

namespace {

// A process in an uninterruptible wait of the kernel does not die of KILL before that wait ends.
constexpr auto kKillTakesAtMost = std::chrono::seconds(5);

bool HoldsSecret(std::string_view entry) {
  const std::string_view name = entry.substr(0, entry.find('='));
  for (const std::string_view word :
       {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "API_KEY",
        "ACCESS_KEY", "PRIVATE_KEY", "_PASS"}) {
    if (name.find(word) != std::string_view::npos) return true;
  }
  if (entry.find("password=") != std::string_view::npos) return true;
  const auto scheme = entry.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view authority = entry.substr(scheme + 3);
  const std::string_view user = authority.substr(0, authority.find('/'));
  const auto at = user.rfind('@');
  return at != std::string_view::npos && user.substr(0, at).find(':') != std::string_view::npos;
}

}  // namespace

std::vector<std::string> InheritedEnvironment() {
  std::vector<std::string> environment;
  for (char** entry = environ; entry && *entry; ++entry) {
    if (!HoldsSecret(*entry)) environment.emplace_back(*entry);
  }
  return environment;
}

Task<Result<ProcessOutcome>> RunProcess(Runtime&, ProcessSpec spec, Deadline deadline) {
  if (spec.argv.empty()) co_return Error(Errc::kChildFailed, "no program to start");
  if (SteadyNow() >= deadline) {
    co_return Error(Errc::kTimeout, spec.argv[0] + " was not started: its deadline has passed");
  }
  ProcessChild child(spec);
  const std::optional<Error> failed = child.Start();
  if (failed) co_return *failed;

  enum { kRunning, kEnding, kTerminated, kKilled } phase = kRunning;
  bool cancelled = false;
  bool stopped = false;
  SteadyTime until = deadline;
  while (!child.exited() || (!child.output_ended() && phase != kKilled)) {
    co_await WaitFd(child.watch_fd(), FdEvent::kRead, until);
    const auto state = co_await asio::this_coro::cancellation_state;
    const bool cancelled_now = state.cancelled() != asio::cancellation_type::none;
    if (cancelled_now) {
      // Every further wait would throw, and the child could not take its leave.
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      cancelled = true;
    }
    child.Pump();
    const SteadyTime now = SteadyNow();
    if (phase == kRunning && child.exited()) {
      phase = kEnding;
      until = std::min(until, now + spec.grace);
    }
    const bool late = now >= until;
    if (phase == kRunning && (late || cancelled)) {
      child.SignalGroup(SIGTERM);
      stopped = true;
      phase = kTerminated;
      until = now + spec.grace;
    } else if ((phase == kEnding && (late || cancelled)) || (phase == kTerminated && late)) {
      child.SignalGroup(SIGKILL);
      phase = kKilled;
      until = now + kKillTakesAtMost;
    } else if (phase == kKilled && late) {
      break;
    }
  }
  // For descendants that have closed the output and go on.
  child.SignalGroup(SIGKILL);
  if (cancelled) {
    co_await asio::this_coro::reset_cancellation_state();
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  if (stopped) {
    const std::string line = child.LastErrorLine();
    co_return Error(Errc::kTimeout, spec.argv[0] + " was stopped at its deadline" +
                                        (line.empty() ? "" : ": " + line));
  }
  co_return child.Reap();
}

}  // namespace pgsteward
