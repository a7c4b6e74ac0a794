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

struct Command {
  int exit_code = kExitOk;
  PgTarget target;
};

// What the command line says; with exit_code other than kExitOk it was refused, and why is said.
Command Prepare(const SchemaOptions& options) {
  LogOptions quiet;
  quiet.level = LogLevel::kWarning;
  InitLog(quiet);
  Command command;
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

Task<Result<ApplyReport>> ApplyOrRecord(ApplySession& session, const SchemaOptions& options) {
  auto opened = co_await session.Open();
  if (!opened) co_return opened.error();
  if (!options.baseline.empty()) {
    co_return co_await BaselineSchema(session, HubSchema(), options.baseline);
  }
  co_return co_await ApplySchema(session, HubSchema(), options.to);
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

Task<void> RunApply(ApplySession& session, const SchemaOptions& options, TaskGroup& tasks,
                    std::optional<Result<ApplyReport>>& outcome) {
  auto report = co_await ApplyOrRecord(session, options);
  co_await session.Close();
  outcome.emplace(std::move(report));
  tasks.Stop();
  co_await tasks.Join(SteadyNow() + kStopGrace);
}

std::string Summary(const ApplyReport& report, const SchemaOptions& options) {
  if (!options.baseline.empty()) {
    return Counted(static_cast<std::size_t>(report.versions), "version") +
           " recorded; go on with: pgsteward schema apply";
  }
  if (report.versions + report.indexes == 0) {
    return "nothing to do, the hub is at " + report.reached;
  }
  return "the hub is at " + report.reached + ": " +
         Counted(static_cast<std::size_t>(report.versions), "version") + " applied, " +
         Counted(static_cast<std::size_t>(report.indexes), "index") + " built";
}

Task<void> RunPlan(Runtime& runtime, PgTarget target, const SchemaOptions& options,
                   int& exit_code) {
  auto opened = co_await PgConnection::Open(runtime, target);
  if (!opened) {
    exit_code = Fail("schema apply", opened.error().error);
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  auto steps = co_await PlanSchema(db, HubSchema(), options.to, kReadTimeout);
  if (!steps) {
    exit_code = Fail("schema apply", steps.error());
    co_return;
  }
  std::cout << PlanText(*steps, options.verbose);
}

Task<void> RunStatus(Runtime& runtime, PgTarget target, const SchemaOptions& options,
                     int& exit_code) {
  auto opened = co_await PgConnection::Open(runtime, target);
  if (!opened) {
    exit_code = Fail("schema status", opened.error().error);
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  auto status = co_await ReadStatus(db, HubSchema(), kReadTimeout);
  if (!status) {
    exit_code = Fail("schema status", status.error());
    co_return;
  }
  std::cout << (options.output == "json" ? StatusJson(*status) : StatusTable(*status));
  exit_code = status->Outstanding().empty() ? kExitOk : kExitDifferences;
}

Task<void> RunCheck(Runtime& runtime, PgTarget target, const SchemaOptions& options,
                    int& exit_code) {
  auto opened = co_await PgConnection::Open(runtime, target);
  if (!opened) {
    exit_code = Fail("schema check", opened.error().error);
    co_return;
  }
  DirectDatabase db(std::move(*opened));
  auto check = co_await CheckHubSchema(db, kReadTimeout);
  if (!check) {
    exit_code = Fail("schema check", check.error());
    co_return;
  }
  std::cout << (options.output == "json" ? CheckJson(*check) : CheckTable(*check));
  exit_code = check->differences.empty() ? kExitOk : kExitDifferences;
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
    RunToEnd(runtime, RunPlan(runtime, command.target, options, exit_code));
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
  std::optional<Result<ApplyReport>> outcome;
  RunToEnd(runtime, RunApply(session, options, tasks, outcome));
  if (*outcome) {
    std::cout << Summary(**outcome, options) << "\n";
    return LeaveWith(runtime, kExitOk);
  }
  if (signal != 0) {
    std::cerr << "pgsteward: schema apply: interrupted; run it again and it goes on\n";
    return LeaveWith(runtime, 128 + signal);
  }
  return LeaveWith(runtime, Fail("schema apply", outcome->error()));
}

int SchemaStatusCommand(const SchemaOptions& options) {
  Command command = Prepare(options);
  if (command.exit_code != kExitOk) return command.exit_code;
  Runtime runtime;
  RunToEnd(runtime, RunStatus(runtime, command.target, options, command.exit_code));
  return LeaveWith(runtime, command.exit_code);
}

int SchemaCheckCommand(const SchemaOptions& options) {
  Command command = Prepare(options);
  if (command.exit_code != kExitOk) return command.exit_code;
  Runtime runtime;
  RunToEnd(runtime, RunCheck(runtime, command.target, options, command.exit_code));
  return LeaveWith(runtime, command.exit_code);
}

}  // namespace pgsteward
