#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "collectors/blocking_facts.h"
#include "collectors/blocking_report.h"
#include "core/task_group.h"
#include "daemon/command_context.h"
#include "daemon/commands.h"
#include "daemon/measuring.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);

int TerminalWidth() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 160;  // into a pipe or file
}

bool WantsColor() { return ::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR"); }

Task<void> ShowLocks(Runtime& runtime, PgTarget target, const LocksOptions& options, int& exit) {
  auto opened = co_await PgConnection::Open(runtime, std::move(target));
  if (!opened) {
    Complain("cannot connect", opened.error().error);
    exit = kExitUnavailable;
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  auto facts = co_await LoadBlockingFacts(db, kTimeout, options.queries);
  if (!facts) {
    Complain("cannot read the locks", facts.error());
    exit = kExitFailure;
    co_return;
  }
  if (options.output == "json") {
    std::cout << BlockingJson(*facts) << "\n";
  } else {
    std::cout << RenderBlockingTree(*facts, TerminalWidth(), WantsColor());
  }
  exit = kExitOk;
}

}  // namespace

int LocksCommand(const LocksOptions& options) {
  auto loaded = LoadOrComplain(options.config_path);
  if (!loaded) return kExitConfig;
  const ServerConfig* server = FindServer(loaded->config, options.server);
  if (!server) return kExitUsage;
  Runtime runtime;
  int exit = kExitFailure;
  RunToEnd(runtime, ShowLocks(runtime, TargetOf(*server, "", "locks"), options, exit));
  return LeaveWith(runtime, exit);
}

}  // namespace pgsteward
