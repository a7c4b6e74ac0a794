#include "daemon/schema_command.h"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "core/duration.h"
#include "core/log.h"
#include "core/pg_conninfo.h"
#include "core/terminal_text.h"
#include "daemon/command_context.h"
#include "daemon/commands.h"
#include "daemon/measuring.h"
#include "daemon/schema_output.h"
#include "schema/apply.h"
#include "schema/check.h"
#include "version.h"

namespace pgsteward {

namespace {

constexpr Duration kReadTimeout = std::chrono::seconds(60);
constexpr Duration kStopGrace = std::chrono::seconds(5);

using Components = std::vector<const SchemaComponent*>;

struct Command {
  int exit_code = kExitOk;
  PgTarget target;
  Components components;
};

// Those that the command line names; none, and why is said, when it contradicts itself.
Components Chosen(const SchemaOptions& options) {
  const bool of_one = !options.to.empty() || !options.baseline.empty();
  if (of_one && options.component == "all") {
    Complain("--component", Error(Errc::kBadConfig, "--to and --baseline are of one component", {},
                                  "Say --component hub or --component pgsteward."));
    return {};
  }
  if (of_one && options.component.empty()) return {&HubSchema()};
  if (const SchemaComponent* one = FindComponent(options.component)) return {one};
  return {AllComponents().begin(), AllComponents().end()};
}

// What the command line says; with exit_code other than kExitOk it was refused, and why is said.
Command Prepare(const SchemaOptions& options) {
  LogOptions quiet;
  quiet.level = LogLevel::kWarning;
  InitLog(quiet);
  Command command;
  command.components = Chosen(options);
  if (command.components.empty()) {
    command.exit_code = kExitUsage;
    return command;
  }
  if (!options.dsn.empty()) {
    if (const auto checked = CheckConninfo(options.dsn); !checked) {
      Complain("--dsn", checked.error());
      command.exit_code = kExitUsage;
    } else if (HasPassword(options.dsn)) {
      Complain("--dsn", Error(Errc::kBadConfig, "a password on the command line is seen by all", {},
                              "Put it into a file that PGPASSFILE names, or into ~/.pgpass."));
      command.exit_code = kExitUsage;
    }
    command.target.conninfo = options.dsn;
    command.target.part = "schema";
    return command;
  }
  const auto loaded = LoadOrComplain(options.config_path);
  const ServerConfig* server = loaded ? FindServer(loaded->config, options.server) : nullptr;
  if (!server) {
    command.exit_code = loaded ? kExitUsage : kExitConfig;
    return command;
  }
  command.target = TargetOf(*server, "", "schema");
  return command;
}

int ExitCodeOf(const Error& error) {
  if (error.code == Errc::kUnavailable || error.code == Errc::kConnectionLost) {
    return kExitUnavailable;
  }
  return error.code == Errc::kBadConfig ? kExitUsage : kExitFailure;
}

int Fail(std::string_view what, const Error& error) {
  Complain(error.code == Errc::kUnavailable ? "cannot connect" : what, error);
  return ExitCodeOf(error);
}

// "1.0.0 create_tables.sql ... ok (12 ms)", also when a note came in between.
class Terminal : public ApplyListener {
 public:
  explicit Terminal(bool verbose) : verbose_(verbose) {}

  void Started(const std::string& step) override {
    step_ = step;
    open_ = true;
    std::cout << step_ << " ... " << std::flush;
  }
  void Finished(const std::string& outcome, Duration duration) override {
    if (!open_) std::cout << step_ << " ... ";
    open_ = false;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    std::cout << outcome << " (" << ms << " ms)" << std::endl;
  }
  void Note(const std::string& text) override { Line(text); }
  void Notice(const std::string& text) override {
    if (verbose_) Line(text);
  }

 private:
  void Line(const std::string& text) {
    if (open_) std::cout << "\n";
    open_ = false;
    std::cout << "  " << HarmlessLine(text) << std::endl;
  }

  bool verbose_;
  bool open_ = false;
  std::string step_;
};

std::string Summary(const SchemaComponent& component, const ApplyReport& report,
                    const SchemaOptions& options) {
  if (!options.baseline.empty()) {
    return Counted(static_cast<std::size_t>(report.versions), "version") +
           " recorded; go on with: pgsteward schema apply";
  }
  const std::string at = (&component == &HubSchema() ? "the hub is" : "pgsteward's tables are") +
                         std::string(" at ") + report.reached;
  if (report.versions + report.indexes == 0) return "nothing to do, " + at;
  return at + ": " + Counted(static_cast<std::size_t>(report.versions), "version") + " applied, " +
         Counted(static_cast<std::size_t>(report.indexes), "index") + " built";
}

Task<Result<void>> ApplyOrRecord(ApplySession& session, const Components& components,
                                 const SchemaOptions& options) {
  auto opened = co_await session.Open();
  if (!opened) co_return opened.error();
  for (const SchemaComponent* component : components) {
    Result<ApplyReport> report = ApplyReport();
    if (options.baseline.empty()) {
      report = co_await ApplySchema(session, *component, options.to);
    } else {
      report = co_await BaselineSchema(session, *component, options.baseline);
    }
    if (!report) co_return report.error();
    std::cout << Summary(*component, *report, options) << std::endl;
  }
  co_return Result<void>();
}

// The first signal cancels what runs and lets the server roll back; the second one just leaves.
Task<void> HeedSignals(boost::asio::signal_set& signals, ApplySession& session, int& received) {
  for (;;) {
    const int signal = co_await signals.async_wait(boost::asio::use_awaitable);
    if (received != 0) std::_Exit(128 + signal);
    received = signal;
    session.Interrupt();
  }
}

Task<void> RunApply(ApplySession& session, const Components& components,
                    const SchemaOptions& options, TaskGroup& tasks,
                    std::optional<Result<void>>& outcome) {
  auto done = co_await ApplyOrRecord(session, components, options);
  co_await session.Close();
  outcome.emplace(std::move(done));
  tasks.Stop();
  co_await tasks.Join(SteadyNow() + kStopGrace);
}

Task<void> RunPlan(Runtime& runtime, const Command& command, const SchemaOptions& options,
                   int& exit_code) {
  auto opened = co_await PgConnection::Open(runtime, command.target);
  if (!opened) {
    exit_code = Fail("schema apply", opened.error().error);
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  std::vector<PlannedStep> steps;
  for (const SchemaComponent* component : command.components) {
    auto planned = co_await PlanSchema(db, *component, options.to, kReadTimeout);
    if (!planned) {
      exit_code = Fail("schema apply", planned.error());
      co_return;
    }
    for (PlannedStep& step : *planned) steps.push_back(std::move(step));
  }
  std::cout << PlanText(steps, options.verbose);
}

Task<void> RunSchemaStatus(Runtime& runtime, const Command& command, const SchemaOptions& options,
                           int& exit_code) {
  auto opened = co_await PgConnection::Open(runtime, command.target);
  if (!opened) {
    exit_code = Fail("schema status", opened.error().error);
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  std::vector<SchemaStatus> states;
  bool outstanding = false;
  for (const SchemaComponent* component : command.components) {
    auto status = co_await ReadStatus(db, *component, kReadTimeout);
    if (!status) {
      exit_code = Fail("schema status", status.error());
      co_return;
    }
    outstanding = outstanding || !status->Outstanding().empty();
    states.push_back(std::move(*status));
  }
  std::cout << (options.output == "json" ? StatusJson(states) : StatusTable(states));
  exit_code = outstanding ? kExitDifferences : kExitOk;
}

// A component that the database does not have at all is no difference, as long as there is another.
bool Differ(const std::vector<SchemaCheck>& checks) {
  bool none = true;
  for (const SchemaCheck& check : checks) {
    if (check.present && !check.differences.empty()) return true;
    none = none && !check.present;
  }
  return none;
}

Task<void> RunCheck(Runtime& runtime, const Command& command, const SchemaOptions& options,
                    int& exit_code) {
  auto opened = co_await PgConnection::Open(runtime, command.target);
  if (!opened) {
    exit_code = Fail("schema check", opened.error().error);
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  std::vector<SchemaCheck> checks;
  for (const SchemaComponent* component : command.components) {
    auto check = co_await CheckSchema(db, *component, kReadTimeout);
    if (!check) {
      exit_code = Fail("schema check", check.error());
      co_return;
    }
    checks.push_back(std::move(*check));
  }
  std::cout << (options.output == "json" ? CheckJson(checks) : CheckTable(checks));
  exit_code = Differ(checks) ? kExitDifferences : kExitOk;
}

}  // namespace

int SchemaApplyCommand(const SchemaOptions& options) {
  const auto wait = ParseDuration(options.wait);
  if (!wait) {
    Complain("--wait", wait.error());
    return kExitUsage;
  }
  const auto timeout = ParseDuration(options.timeout);
  if (!timeout) {
    Complain("--timeout", timeout.error());
    return kExitUsage;
  }
  const Command command = Prepare(options);
  if (command.exit_code != kExitOk) return command.exit_code;
  Runtime runtime;
  if (options.dry_run) {
    int exit_code = kExitOk;
    RunToEnd(runtime, RunPlan(runtime, command, options, exit_code));
    return LeaveWith(runtime, exit_code);
  }

  Terminal terminal(options.verbose);
  ApplyOptions apply;
  apply.wait = *wait;
  apply.timeout = *timeout;
  apply.daemon_version = PGSTEWARD_VERSION;
  ApplySession session(runtime, command.target, apply, terminal);
  boost::asio::signal_set signals(runtime.loop, SIGINT, SIGTERM);
  TaskGroup tasks(runtime);
  int signal = 0;
  tasks.Spawn("signals", HeedSignals(signals, session, signal));
  std::optional<Result<void>> outcome;
  RunToEnd(runtime, RunApply(session, command.components, options, tasks, outcome));
  if (*outcome) return LeaveWith(runtime, kExitOk);
  if (signal != 0) {
    std::cerr << "pgsteward: schema apply: interrupted; run it again and it goes on\n";
    return LeaveWith(runtime, 128 + signal);
  }
  return LeaveWith(runtime, Fail("schema apply", outcome->error()));
}

int SchemaStatusCommand(const SchemaOptions& options) {
  const Command command = Prepare(options);
  if (command.exit_code != kExitOk) return command.exit_code;
  int exit_code = kExitOk;
  Runtime runtime;
  RunToEnd(runtime, RunSchemaStatus(runtime, command, options, exit_code));
  return LeaveWith(runtime, exit_code);
}

int SchemaCheckCommand(const SchemaOptions& options) {
  const Command command = Prepare(options);
  if (command.exit_code != kExitOk) return command.exit_code;
  int exit_code = kExitOk;
  Runtime runtime;
  RunToEnd(runtime, RunCheck(runtime, command, options, exit_code));
  return LeaveWith(runtime, exit_code);
}

}  // namespace pgsteward
