#include "jobs/backup/offsite.h"

#include "core/process.h"

namespace pgsteward {

namespace {

// The run's own deadline comes first.
constexpr Duration kCopyWithin = std::chrono::hours(24);

std::vector<std::string> Rclone(const BackupSettings& settings) {
  std::vector<std::string> argv = {"rclone"};
  if (!settings.rclone_config.empty()) argv.push_back("--config=" + settings.rclone_config);
  for (const char* each : {"--log-level=NOTICE", "--stats=0", "--retries=3", "--immutable"}) {
    argv.emplace_back(each);
  }
  return argv;
}

std::string LastLine(std::string text) {
  text.erase(text.find_last_not_of(" \r\n") + 1);
  return text.substr(text.find_last_of("\r\n") + 1);
}

Task<Result<std::string>> Run(JobContext& context, std::vector<std::string> argv) {
  ProcessSpec spec(std::move(argv));
  auto outcome = co_await RunProcess(context.runtime, std::move(spec), SteadyNow() + kCopyWithin);
  if (!outcome) co_return outcome.error();
  if (outcome->ok()) co_return outcome->error_output;
  co_return Error(Errc::kChildFailed,
                  "rclone failed (exit code " + std::to_string(outcome->exit_code) +
                      "): " + LastLine(outcome->error_output),
                  {}, "Try the remote with: rclone lsd.");
}

}  // namespace

std::string OffsiteFolder(const BackupSettings& settings, const std::string& id) {
  std::string remote = settings.offsite_remote;
  while (!remote.empty() && remote.back() == '/') remote.pop_back();
  const bool root = remote.ends_with(":");
  return remote + (root ? "" : "/") + FileNameOf(settings.place.server) + "/" + id;
}

Task<Result<void>> CopyOffsite(JobContext& context, const BackupSettings& settings,
                               std::string id) {
  const std::string from = settings.place.Published(id);
  const std::string to = OffsiteFolder(settings, id);
  const std::string manifest(kManifestFile);
  std::vector<std::string> files = Rclone(settings);
  files.insert(files.end(), {"copy", "--exclude=" + manifest, from, to});
  auto copied = co_await Run(context, std::move(files));
  if (!copied) co_return copied.error();
  // As here, the manifest is the record that the rest is there.
  std::vector<std::string> last = Rclone(settings);
  last.insert(last.end(), {"copyto", from + "/" + manifest, to + "/" + manifest});
  copied = co_await Run(context, std::move(last));
  if (!copied) co_return copied.error();
  std::vector<std::string> check = Rclone(settings);
  check.insert(check.end(), {"check", "--one-way", from, to});
  auto checked = co_await Run(context, check);
  if (!checked) co_return checked.error();
  if (checked->find("could not be checked") == std::string::npos) co_return Result<void>();
  // A remote without a checksum of its own (of parts, of encrypted files): read it back.
  check.insert(check.end() - 2, "--download");
  checked = co_await Run(context, std::move(check));
  if (!checked) co_return checked.error();
  co_return Result<void>();
}

}  // namespace pgsteward
