#include "daemon/commands.h"

#include <csignal>
#include <iostream>

#include "collectors/registry.h"
#include "core/log.h"
#include "daemon/app.h"
#include "daemon/command_context.h"

namespace pgsteward {

namespace {

std::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kServer:
      return "server";
    case Scope::kDatabase:
      return "database";
    case Scope::kHub:
      return "hub";
  }
  return "";
}

std::string Pad(std::string_view text, std::size_t width) {
  std::string padded(text);
  if (padded.size() < width) padded.append(width - padded.size(), ' ');
  return padded;
}

}  // namespace

int ServeCommand(const std::string& config_path, WallTime started) {
  auto loaded = LoadOrComplain(config_path);
  if (!loaded) return kExitConfig;
  std::signal(SIGPIPE, SIG_IGN);
  InitLog(loaded->config.log);
  LogInfo("starting", {{"version", VersionText()}, {"config", config_path}});
  App app(config_path, std::move(*loaded), started);
  return app.Run();
}

int CheckConfigCommand(const std::string& config_path, bool print) {
  auto loaded = LoadOrComplain(config_path);
  if (!loaded) return kExitConfig;
  for (const ConfigProblem& warning : loaded->warnings) {
    std::cerr << "warning: " << warning.ToText() << "\n";
  }
  if (print) {
    std::cout << PrintConfig(loaded->config);
  } else {
    std::cout << config_path << ": ok\n";
  }
  return kExitOk;
}

int MetricsCommand(const std::string& config_path, const std::string& collector) {
  if (!collector.empty() && !FindCollector(collector)) {
    std::cerr << "pgsteward: no collector \"" << collector
              << "\"; hint: See the list with: pgsteward collectors.\n";
    return kExitUsage;
  }
  auto loaded = LoadOrComplain(config_path);
  if (!loaded) return kExitConfig;
  LogOptions quiet = loaded->config.log;
  quiet.level = LogLevel::kWarning;
  InitLog(quiet);
  Runtime runtime;
  Store store;
  Measuring measuring(runtime, loaded->config, store);
  store.AddSource([&] { return measuring.SelfMetrics(); });
  // The page shows the state at the end of the collection, before the sessions are closed.
  RunToEnd(runtime, measuring.CollectOnce(collector));
  store.Render(SteadyNow());
  std::cout << store.page()->text;
  for (const ServerStatus& server : measuring.Servers()) {
    if (server.state != ServerState::kUp) return LeaveWith(runtime, kExitUnavailable);
  }
  return LeaveWith(runtime, measuring.failing_collectors() == 0 ? kExitOk : kExitFailure);
}

int CollectorsCommand() {
  std::cout << Pad("NAME", 26) << Pad("INTERVAL", 10) << Pad("TIMEOUT", 9) << Pad("SCOPE", 10)
            << "READS\n";
  for (const CollectorSpec* spec : AllCollectors()) {
    std::cout << Pad(spec->name, 26) << Pad(std::to_string(spec->interval.count()) + "s", 10)
              << Pad(std::to_string(spec->timeout.count()) + "s", 9)
              << Pad(ScopeName(spec->scope), 10) << spec->reads << "\n";
  }
  return kExitOk;
}

int VersionCommand() {
  std::cout << "pgsteward " << VersionText() << "\n";
  return kExitOk;
}

}  // namespace pgsteward
