#include <atomic>
#include <filesystem>
#include <iostream>

#include "core/durable_file.h"
#include "core/json.h"
#include "core/terminal_text.h"
#include "daemon/backup_choice.h"
#include "daemon/backup_prove_command.h"
#include "daemon/commands.h"
#include "daemon/console.h"
#include "jobs/backup/pg_tools.h"
#include "jobs/backup/place.h"
#include "jobs/backup/verify.h"

namespace pgsteward {

namespace {

struct Verified {
  std::string id;
  VerifyReport report;
};

struct VerifyRun {
  Runtime& runtime;
  const BackupVerifyOptions& options;
  const BackupChoice& choice;
  Console& console;
  int& signal;
  StopSwitch stop = {};
  std::vector<Verified> done = {};
  std::optional<Error> error = {};
};

// The major version of its programs; empty: the manifest cannot be read, which verifying will tell.
std::optional<Manifest> Peek(const std::string& folder) {
  auto text = ReadWholeFile(folder + "/" + std::string(kManifestFile), kLargestManifest);
  if (!text) return std::nullopt;
  auto manifest = ParseManifest(*text);
  if (!manifest) return std::nullopt;
  return std::move(*manifest);
}

Task<Result<VerifyReport>> VerifyOne(VerifyRun& run, const std::string& folder) {
  VerifyRequest request;
  request.folder = folder;
  request.identity = run.choice.identity;
  double total = 0;
  if (const auto manifest = Peek(folder)) {
    total = static_cast<double>(manifest->stored_bytes());
    if (request.identity || manifest->encryption == "none") {
      std::string name = "pg_restore";
      std::vector<std::string> directories = run.options.from.tool_directories;
      const int major = manifest->server_version / 10000;
      auto tool = co_await FindPgTool(run.runtime, std::move(name), major, std::move(directories));
      if (!tool) co_return tool.error();
      request.pg_restore = tool->path;
    }
  }
  std::atomic<std::uint64_t> bytes = 0;
  request.progress = [&bytes](std::uint64_t more) { bytes += more; };
  std::function<Result<VerifyReport>()> work = [&run, &request] {
    return VerifyBackup(request, run.stop);
  };
  StopWanted wanted = [&] {
    run.console.Progress("verifying " + request.folder + ": " +
                         ShortBytes(static_cast<double>(bytes.load())) + " of " +
                         ShortBytes(total));
    return run.signal != 0;
  };
  co_return co_await OnOwnThread(run.runtime, run.stop, std::move(work), std::move(wanted));
}

Task<void> VerifyAll(VerifyRun& run) {
  for (const std::string& folder : run.choice.folders) {
    auto report = co_await VerifyOne(run, folder);
    if (!report) {
      run.error = report.error();
      co_return;
    }
    run.done.push_back({std::filesystem::path(folder).filename(), std::move(*report)});
  }
}

std::string TextOf(const Verified& verified) {
  const VerifyReport& report = verified.report;
  std::string text = verified.id + "  ";
  if (report.whole()) {
    text += "ok  " + std::to_string(report.files) + " files, " +
            ShortBytes(static_cast<double>(report.bytes)) +
            (report.contents_read ? ", read to the end"
                                  : ", checksums; --identity reads the contents too") +
            "\n";
    return text;
  }
  text += "DAMAGED\n";
  for (const VerifyProblem& problem : report.problems) {
    text += "  " + HarmlessLine(problem.Text()) + "\n";
  }
  return text;
}

std::string JsonOf(const std::vector<Verified>& all) {
  std::string text = "{\"backups\":[";
  for (const Verified& verified : all) {
    const VerifyReport& report = verified.report;
    if (text.back() == '}') text += ",";
    text += "{\"id\":" + JsonQuoted(verified.id) +
            ",\"whole\":" + (report.whole() ? "true" : "false") +
            ",\"files\":" + std::to_string(report.files) +
            ",\"bytes\":" + std::to_string(report.bytes) +
            ",\"contents_read\":" + (report.contents_read ? "true" : "false") + ",\"problems\":[";
    for (const VerifyProblem& problem : report.problems) {
      if (text.back() == '}') text += ",";
      text +=
          "{\"file\":" + JsonQuoted(problem.file) + ",\"what\":" + JsonQuoted(problem.what) + "}";
    }
    text += "]}";
  }
  return text + "]}\n";
}

}  // namespace

int BackupVerifyCommand(const BackupVerifyOptions& options) {
  const BackupChoice choice = ChooseBackups("backup verify", options.from, options.all);
  if (choice.exit_code != kExitOk) return choice.exit_code;
  Runtime runtime;
  Console console;
  int signal = 0;
  VerifyRun run{runtime, options, choice, console, signal};
  RunHeedingSignals(runtime, console, signal, VerifyAll(run));
  console.Clear();
  bool whole = true;
  for (const Verified& verified : run.done) {
    whole = whole && verified.report.whole();
    if (options.output != "json") std::cout << TextOf(verified);
  }
  if (options.output == "json") std::cout << JsonOf(run.done);
  if (signal != 0) return LeaveWith(runtime, kExitSignal + signal);
  if (run.error) {
    Complain("backup verify", *run.error);
    return LeaveWith(runtime, kExitFailure);
  }
  return LeaveWith(runtime, whole ? kExitOk : kExitDifferences);
}

}  // namespace pgsteward
