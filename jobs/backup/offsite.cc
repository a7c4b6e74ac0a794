#include "jobs/backup/offsite.h"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "core/durable_file.h"
#include "core/process.h"
#include "core/wait.h"
#include "jobs/backup/offsite_state.h"
#include "jobs/backup/pins.h"

namespace pgsteward {

namespace {

// The run's own deadline comes first.
constexpr Duration kCopyWithin = std::chrono::hours(24);
constexpr Duration kPlaceAnswersWithin = std::chrono::minutes(10);
// rclone's exit codes for a folder and a file that are not there.
constexpr int kNoFolder = 3;
constexpr int kNoFile = 4;
constexpr std::string_view kStampForm = "0000/00/00 00:00:00 ";

struct Copy {
  JobContext& context;
  const BackupSettings& settings;
  std::string id;
  std::string from;  // a folder here
  std::string to;    // and there
};

using Arguments = std::vector<std::string>;

Arguments Rclone(const BackupSettings& settings, const Arguments& arguments) {
  Arguments argv = {"rclone", "--log-level=NOTICE", "--stats=0"};
  if (!settings.rclone_config.empty()) argv.push_back("--config=" + settings.rclone_config);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

std::string ManifestIn(const std::string& folder) {
  return folder + "/" + std::string(kManifestFile);
}

Error Failed(const ProcessOutcome& outcome) {
  return Error(
      Errc::kChildFailed,
      "rclone failed (exit code " + std::to_string(outcome.exit_code) +
          "): " + RcloneMessage(outcome.error_output),
      {},
      "Try the remote as the user that pgsteward runs as: rclone --config=FILE lsd REMOTE:PATH");
}

// However it ends.
Task<Result<ProcessOutcome>> Run(JobContext& context, Arguments argv) {
  ProcessSpec spec(std::move(argv));
  spec.max_output = kLargestManifest;
  co_return co_await RunProcess(context.runtime, std::move(spec), SteadyNow() + kCopyWithin);
}

Task<Result<void>> Demand(JobContext& context, Arguments argv) {
  auto outcome = co_await Run(context, std::move(argv));
  if (!outcome) co_return outcome.error();
  if (!outcome->ok()) co_return Failed(*outcome);
  co_return Result<void>();
}

template <class F>
Task<std::invoke_result_t<F>> InPlace(JobContext& context, F work) {
  auto done = co_await Offload(context.runtime, std::move(work), SteadyNow() + kPlaceAnswersWithin);
  if (!done) co_return Error(Errc::kTimeout, "the target of backups does not answer");
  co_return std::move(*done);
}

// "<remote>/<server>/<id>".
std::string OffsiteFolder(const BackupSettings& settings, const std::string& id) {
  const std::string& remote = settings.offsite_remote;
  const bool root = remote.ends_with(":") || remote.ends_with("/");
  return remote + (root ? "" : "/") + FileNameOf(settings.place.server) + "/" + id;
}

// The ids of those that must be copied, in that order.
Task<Result<std::vector<std::string>>> ReadMissing(JobContext& context,
                                                   const BackupSettings& settings) {
  auto look = [place = settings.place, policy = RetentionPolicyOf(context.options),
               remote = settings.offsite_remote]() -> Result<std::vector<std::string>> {
    const auto content = ReadPlace(place);
    if (!content) return content.error();
    return OffsiteStateOf(policy, *content, remote, WallNow()).missing;
  };
  co_return co_await InPlace(context, std::move(look));
}

// Of the copy; empty: there is none. That the remote is away shows here, and soon.
Task<Result<std::string>> FetchManifest(Copy& copy) {
  const Arguments arguments = {"--low-level-retries=3", "cat", ManifestIn(copy.to)};
  Arguments argv = Rclone(copy.settings, arguments);
  auto outcome = co_await Run(copy.context, std::move(argv));
  if (!outcome) co_return outcome.error();
  const int code = outcome->exit_code;
  if (code == kNoFolder || code == kNoFile) co_return std::string();
  if (!outcome->ok()) co_return Failed(*outcome);
  co_return std::move(outcome->output);
}

Task<Result<void>> SendFiles(Copy& copy) {
  const Arguments arguments = {"copy", "--exclude=/" + std::string(kManifestFile), copy.from,
                               copy.to};
  Arguments argv = Rclone(copy.settings, arguments);
  co_return co_await Demand(copy.context, std::move(argv));
}

Task<Result<void>> SendManifest(Copy& copy) {
  const Arguments arguments = {"copyto", ManifestIn(copy.from), ManifestIn(copy.to)};
  Arguments argv = Rclone(copy.settings, arguments);
  co_return co_await Demand(copy.context, std::move(argv));
}

// The names that rclone lists, in one line.
Error Differs(std::string names) {
  names.erase(names.find_last_not_of('\n') + 1);
  std::replace(names.begin(), names.end(), '\n', ' ');
  return Error(Errc::kQueryFailed, "the copy lacks or has altered: " + names, {},
               "It is not overwritten. Find out who altered it, then remove its folder there.");
}

// What it wrote to its standard error.
Task<Result<std::string>> Check(Copy& copy, const Arguments& arguments) {
  Arguments argv = Rclone(copy.settings, arguments);
  auto outcome = co_await Run(copy.context, std::move(argv));
  if (!outcome) co_return outcome.error();
  if (outcome->ok()) co_return std::move(outcome->error_output);
  if (outcome->output.empty()) co_return Failed(*outcome);
  co_return Differs(std::move(outcome->output));
}

Task<Result<void>> CheckFiles(Copy& copy) {
  Arguments arguments = {"check",
                         "--one-way",
                         "--differ=-",
                         "--missing-on-dst=-",
                         "--exclude=/" + std::string(kManifestFile),
                         copy.from,
                         copy.to};
  auto checked = co_await Check(copy, arguments);
  if (!checked) co_return checked.error();
  if (checked->find("could not be checked") == std::string::npos) co_return Result<void>();
  // A remote without a checksum of its own (of parts, of encrypted files): read it back.
  arguments.emplace_back("--download");
  checked = co_await Check(copy, arguments);
  if (!checked) co_return checked.error();
  co_return Result<void>();
}

// A drill may have added its proof to ours meanwhile.
Result<void> CompareManifests(const std::string& ours, const std::string& text) {
  const auto read = ReadWholeFile(ours, kLargestManifest);
  if (!read) return read.error();
  const auto here = ParseManifest(*read);
  if (!here) return here.error();
  const auto there = ParseManifest(text);
  if (!there) {
    return Error(Errc::kQueryFailed, "the copy's manifest is not good: " + there.error().message);
  }
  if (there->id == here->id && there->files == here->files) return {};
  return Error(Errc::kQueryFailed, "the copy's manifest names other files than ours");
}

Task<Result<void>> CopyOne(Copy copy) {
  auto manifest = co_await FetchManifest(copy);
  if (!manifest) co_return manifest.error();
  const bool whole = !manifest->empty();
  if (!whole) {
    auto sent = co_await SendFiles(copy);
    if (!sent) co_return sent.error();
  }
  auto checked = co_await CheckFiles(copy);
  if (!checked) co_return checked.error();
  if (!whole) {
    auto sent = co_await SendManifest(copy);
    if (!sent) co_return sent.error();
    manifest = co_await FetchManifest(copy);
    if (!manifest) co_return manifest.error();
  }
  auto compare = [ours = ManifestIn(copy.from), text = std::move(*manifest)] {
    return CompareManifests(ours, text);
  };
  auto compared = co_await InPlace(copy.context, std::move(compare));
  if (!compared) co_return compared;
  auto mark = [place = copy.settings.place, id = copy.id, remote = copy.settings.offsite_remote] {
    return MarkOffsite(place, id, {remote, WallNow()});
  };
  co_return co_await InPlace(copy.context, std::move(mark));
}

bool IsStamped(std::string_view line) {
  if (line.size() < kStampForm.size()) return false;
  for (std::size_t i = 0; i < kStampForm.size(); ++i) {
    const bool digit = line[i] >= '0' && line[i] <= '9';
    if (kStampForm[i] == '0' ? !digit : line[i] != kStampForm[i]) return false;
  }
  return true;
}

// What it says, a message each, without the time.
std::vector<std::string> Messages(std::string_view text) {
  std::vector<std::string> messages;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (IsStamped(line)) {
      messages.emplace_back(line.substr(kStampForm.size()));
    } else if (line.starts_with("caused by: ") && !messages.empty()) {
      messages.back() += ", " + std::string(line);
    }
  }
  return messages;
}

}  // namespace

std::string RcloneMessage(std::string_view error_output) {
  constexpr std::string_view kError = "ERROR : ";
  const std::vector<std::string> messages = Messages(error_output);
  for (const std::string& each : messages) {
    if (!each.starts_with(kError)) continue;
    const std::string message = each.substr(kError.size());
    if (!message.starts_with("Attempt ")) return message;
  }
  return messages.empty() ? "it says nothing" : messages.back();
}

Task<Result<void>> CopyOffsite(JobContext& context, const BackupSettings& settings,
                               JobReport& report) {
  auto missing = co_await ReadMissing(context, settings);
  if (!missing) co_return missing.error();
  std::size_t copied = 0;
  std::optional<Error> failed;
  for (const std::string& id : *missing) {
    const std::string stop = context.control.StopReason();
    if (!stop.empty() && !failed) failed = Error(Errc::kBusy, "stopped (" + stop + ")");
    if (!stop.empty()) break;
    context.control.Note("copies " + id + " to " + settings.offsite_remote);
    Copy copy{context, settings, id, settings.place.Published(id), OffsiteFolder(settings, id)};
    auto done = co_await CopyOne(std::move(copy));
    if (done) {
      ++copied;
      continue;
    }
    const Error& error = done.error();
    if (!failed) failed = Error(error.code, id + ": " + error.message, {}, error.hint);
    // The remote is away; it will be for the next one.
    if (copied == 0) break;
  }
  report.details["offsite"] = failed ? "failed: " + failed->message : "verified";
  report.details["offsite_copied"] = std::to_string(copied);
  report.details["offsite_missing"] = std::to_string(missing->size() - copied);
  if (failed) co_return *failed;
  co_return Result<void>();
}

Task<void> PlanOffsite(JobContext& context, const BackupSettings& settings, JobReport& report) {
  if (settings.offsite_remote.empty()) co_return;
  report.plan.push_back("copy to " + settings.offsite_remote + " by rclone");
  auto missing = co_await ReadMissing(context, settings);
  if (!missing) co_return;
  for (const std::string& id : *missing) {
    report.plan.push_back("copy there " + id + ", which an earlier run did not");
  }
}

}  // namespace pgsteward
