#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "core/durable_file.h"
#include "core/pg_conninfo.h"
#include "core/terminal_text.h"
#include "daemon/backup_choice.h"
#include "daemon/backup_prove_command.h"
#include "daemon/commands.h"
#include "daemon/console.h"
#include "daemon/operating.h"
#include "jobs/backup/drill.h"
#include "jobs/backup/place.h"
#include "jobs/backup/restore.h"
#include "jobs/backup/restore_plan.h"

namespace pgsteward {

namespace {

struct RestoreRun {
  Runtime& runtime;
  const BackupRestoreOptions& options;
  const BackupChoice& choice;
  Console& console;
  int& signal;
  std::string folder;
  PgTarget target = {};
  std::vector<std::string> problems = {};
  std::vector<std::string> notes = {};
  std::vector<std::pair<std::string, double>> phases = {};
  long long tables = 0;
  long long rows = 0;
  std::optional<Error> error = {};

  StopWanted stop_wanted() {
    return [this] { return signal != 0; };
  }
  std::function<void(const std::string&)> note() {
    return [this](const std::string& text) { console.Line(text); };
  }
  std::function<void(double)> progress() {
    return [this](double done) {
      console.Progress(std::to_string(static_cast<int>(done * 100)) + " % of the dumps");
    };
  }
};

Task<void> IntoServer(RestoreRun& run) {
  RestoreRequest request;
  request.folder = run.folder;
  request.identity = run.choice.identity;
  request.target = run.target;
  request.tool_directories = run.options.from.tool_directories;
  request.databases = run.options.databases;
  request.as = run.options.as;
  request.overwrite = run.options.overwrite;
  // With the database's own name: the one that is meant need not be typed twice.
  if (!request.overwrite.empty() && request.as.empty()) request.as = request.overwrite;
  request.globals = run.options.globals;
  request.check = run.options.check;
  request.jobs = run.options.jobs;
  request.spool = run.options.scratch;
  request.stop_wanted = run.stop_wanted();
  request.note = run.note();
  request.progress = run.progress();
  auto done = co_await RestoreIntoServer(run.runtime, std::move(request));
  if (!done) {
    run.error = done.error();
    co_return;
  }
  run.problems = std::move(done->problems);
  run.notes = std::move(done->notes);
  run.phases = std::move(done->phases);
  run.tables = done->tables;
  run.rows = done->rows;
}

// A drill whose cluster stays.
Task<void> IntoCluster(RestoreRun& run, RunAs as) {
  DrillRequest request;
  request.folder = run.folder;
  request.identity = run.choice.identity;
  request.scratch = run.options.scratch;
  request.run_as = std::move(as);
  request.tool_directories = run.options.from.tool_directories;
  request.jobs = run.options.jobs;
  request.amcheck = Amcheck::kOff;
  request.keep_at = run.options.cluster;
  request.databases = run.options.databases;
  request.stop_wanted = run.stop_wanted();
  request.note = run.note();
  request.progress = run.progress();
  auto done = co_await RunDrill(run.runtime, std::move(request));
  if (!done) {
    run.error = done.error();
    co_return;
  }
  run.phases = std::move(done->phases);
  run.notes = std::move(done->notes);
  run.tables = done->tables;
  run.rows = done->rows;
  bool there = false;
  for (const auto& [name, seconds] : run.phases) there = there || name == "analyze";
  if (there) {
    run.problems = std::move(done->problems);
  } else {
    run.error = Error(Errc::kQueryFailed, done->reason, {},
                      "See all that is wrong with: pgsteward backup verify " + run.folder + ".");
  }
}

std::string Summary(const RestoreRun& run) {
  std::string text;
  double total = 0;
  for (const auto& [name, seconds] : run.phases) {
    text += (text.empty() ? "" : ", ") + name + " " + ShortDuration(seconds);
    total += seconds;
  }
  return "restored in " + ShortDuration(total) + " (" + text + "): " + std::to_string(run.rows) +
         " rows in " + std::to_string(run.tables) + " tables counted";
}

int PrintPlan(const RestoreRun& run) {
  auto text = ReadWholeFile(run.folder + "/" + std::string(kManifestFile), kLargestManifest);
  if (!text) {
    Complain("backup restore", text.error());
    return kExitFailure;
  }
  auto manifest = ParseManifest(*text);
  if (!manifest) {
    Complain("backup restore", manifest.error());
    return kExitFailure;
  }
  const auto& only = run.options.databases;
  const bool plain = std::any_of(
      manifest->databases.begin(), manifest->databases.end(), [&only](const auto& each) {
        const bool meant =
            only.empty() || std::find(only.begin(), only.end(), each.name) != only.end();
        return meant && each.format == "plain";
      });
  if (plain && !run.options.as.empty()) {
    const Error itself(Errc::kUnsupported, "a dump in plain format makes its database itself", {},
                       "It cannot be restored under another name: leave --as out.");
    Complain("backup restore", itself);
    return kExitFailure;
  }
  RestorePlan plan;
  plan.folder = run.folder;
  if (run.choice.identity) {
    plan.identity = run.choice.identity->path;
    plan.gpg = run.choice.identity->kind == EncryptionKind::kGpg;
  }
  if (!run.options.from.tool_directories.empty())
    plan.bin = run.options.from.tool_directories.front();
  plan.cluster = run.options.cluster;
  plan.conninfo = MaskPasswords(run.target.conninfo);
  plan.globals = run.options.globals || !plan.cluster.empty();
  plan.databases = run.options.databases;
  plan.as = run.options.as;
  plan.jobs = run.options.jobs;
  plan.spool = run.options.scratch;
  for (const std::string& line : RestoreCommands(*manifest, plan)) {
    std::cout << HarmlessText(line) << "\n";
  }
  return kExitOk;
}

// Where to; false: refused, and why is said.
bool FindServerOf(RestoreRun& run, BackupChoice& choice, int& exit_code) {
  if (!run.options.cluster.empty()) return true;
  if (!run.options.dsn.empty()) {
    if (const auto right = CheckConninfo(run.options.dsn); !right) {
      Complain("--dsn", right.error());
      exit_code = kExitUsage;
      return false;
    }
    run.target.conninfo = run.options.dsn;
    return true;
  }
  if (!choice.loaded) choice.loaded = LoadOrComplain(run.options.from.config_path);
  if (!choice.loaded) {
    exit_code = kExitConfig;
    return false;
  }
  if (!choice.server) choice.server = FindServer(choice.loaded->config, run.options.from.server);
  if (!choice.server) {
    exit_code = kExitUsage;
    return false;
  }
  run.target = JobTarget(*choice.server);
  return true;
}

int ExitCodeOf(const Error& error) {
  switch (error.code) {
    case Errc::kBusy:
      return kExitBusy;
    case Errc::kBadConfig:
      return kExitUsage;
    default:
      return kExitFailure;
  }
}

}  // namespace

int BackupRestoreCommand(const BackupRestoreOptions& options) {
  BackupChoice choice = ChooseBackups("backup restore", options.from, false);
  if (choice.exit_code != kExitOk) return choice.exit_code;
  Runtime runtime;
  Console console;
  int signal = 0;
  RestoreRun run{runtime, options, choice, console, signal, choice.folders.back()};
  int exit_code = kExitOk;
  if (!FindServerOf(run, choice, exit_code)) return exit_code;
  if (options.plan) return PrintPlan(run);
  if (options.cluster.empty()) {
    RunHeedingSignals(runtime, console, signal, IntoServer(run));
  } else {
    auto as = RunAsOf(options.run_as);
    if (!as) {
      Complain("--run-as", as.error());
      return kExitUsage;
    }
    RunHeedingSignals(runtime, console, signal, IntoCluster(run, std::move(*as)));
  }
  console.Clear();
  if (run.error) {
    Complain("backup restore", *run.error);
    return LeaveWith(runtime, signal != 0 ? kExitSignal + signal : ExitCodeOf(*run.error));
  }
  for (const std::string& note : run.notes) console.Line("note: " + note);
  std::cout << Summary(run) << "\n";
  for (const std::string& problem : run.problems) {
    std::cout << "  differs: " << HarmlessLine(problem) << "\n";
  }
  if (!options.cluster.empty()) {
    std::cout
        << "the cluster is in " << options.cluster
        << ", stopped; look at its postgresql.conf and pg_hba.conf, then start it with: pg_ctl "
           "--pgdata="
        << ShellWord(options.cluster) << " start\n";
  }
  return LeaveWith(runtime, run.problems.empty() ? kExitOk : kExitDifferences);
}

}  // namespace pgsteward
