#include "jobs/backup/preflight.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "core/pg_text.h"
#include "core/process.h"
#include "core/shown.h"
#include "core/wait.h"
#include "jobs/backup/preflight_server.h"

namespace pgsteward {

namespace {

constexpr Duration kTargetAnswersWithin = std::chrono::seconds(60);
constexpr Duration kToolAnswersWithin = std::chrono::seconds(10);

struct TargetFacts {
  std::optional<Error> problem;
  std::optional<Manifest> last;
  std::uint64_t free_bytes = 0;
};

Error TargetProblem(const std::string& message, std::string hint) {
  return Error(Errc::kUnavailable, message, {}, std::move(hint));
}

// Blocks.
TargetFacts LookAtTarget(const BackupPlace& place, const std::string& job) {
  TargetFacts facts;
  const auto sentinel = CheckSentinel(place);
  if (!sentinel) {
    facts.problem = sentinel.error();
    return facts;
  }
  struct stat status {};
  struct statvfs space {};
  if (::stat(place.target.c_str(), &status) != 0 || ::statvfs(place.target.c_str(), &space) != 0) {
    facts.problem = TargetProblem(
        "cannot look at the target " + place.target + ": " + std::generic_category().message(errno),
        "");
    return facts;
  }
  facts.free_bytes = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  if ((status.st_mode & 0077) != 0) {
    facts.problem = TargetProblem("others may look into the target " + place.target,
                                  "Close it: chmod 700 " + place.target + ".");
  } else if (::access(place.target.c_str(), W_OK | X_OK) != 0) {
    facts.problem = TargetProblem("cannot write into the target " + place.target + ": " +
                                      std::generic_category().message(errno),
                                  "Give it to the user that pgsteward runs as (uid " +
                                      std::to_string(::geteuid()) +
                                      "), and name it in the unit's ReadWritePaths.");
  }
  auto content = ReadPlace(place);
  if (!content) {
    if (!facts.problem) facts.problem = content.error();
    return facts;
  }
  for (FoundBackup& backup : content->backups) {
    if (backup.manifest && backup.manifest->job == job) facts.last = std::move(*backup.manifest);
  }
  return facts;
}

Task<void> FindTools(JobContext& context, const BackupSettings& settings, BackupFacts& facts) {
  struct Wanted {
    const char* name;
    PgTool* tool;
  };
  const Wanted wanted[] = {{"pg_dump", &facts.pg_dump},
                           {"pg_dumpall", &facts.pg_dumpall},
                           {"pg_restore", &facts.pg_restore}};
  for (const Wanted& each : wanted) {
    std::string name = each.name;
    auto tool = co_await FindPgTool(context.runtime, std::move(name), facts.server_version / 10000,
                                    settings.tools);
    if (tool) {
      *each.tool = std::move(*tool);
    } else {
      facts.problems.push_back(tool.error());
    }
  }
}

// A program that must be there; its version's output.
Task<void> CheckProgram(JobContext& context, std::vector<std::string> argv, std::string message,
                        std::string hint, BackupFacts& facts) {
  ProcessSpec spec(std::move(argv));
  auto outcome =
      co_await RunProcess(context.runtime, std::move(spec), SteadyNow() + kToolAnswersWithin);
  if (outcome && outcome->ok()) co_return;
  facts.problems.push_back(Error(Errc::kUnsupported, message, {}, hint));
}

Task<void> CheckEncryption(JobContext& context, const BackupSettings& settings,
                           BackupFacts& facts) {
  const Recipients& recipients = settings.recipients;
  if (recipients.kind == EncryptionKind::kAge) {
    std::vector<std::string> argv;
    argv.emplace_back("age");
    argv.emplace_back("--version");
    co_await CheckProgram(context, std::move(argv), "there is no age", "Install the package age.",
                          facts);
  }
  if (recipients.kind != EncryptionKind::kGpg) co_return;
  for (const std::string& key : recipients.keys) {
    std::vector<std::string> argv;
    argv.emplace_back("gpg");
    if (!recipients.gpg_home.empty()) {
      argv.emplace_back("--homedir");
      argv.push_back(recipients.gpg_home);
    }
    for (const char* each : {"--batch", "--no-tty", "--no-options", "--list-keys"}) {
      argv.emplace_back(each);
    }
    argv.push_back(key);
    co_await CheckProgram(context, std::move(argv), "gpg has no public key " + key,
                          "Install the package gnupg, and import the key: gpg --import.", facts);
  }
}

Task<void> CheckOffsite(JobContext& context, const BackupSettings& settings, BackupFacts& facts) {
  if (settings.offsite_remote.empty()) co_return;
  std::vector<std::string> argv;
  argv.emplace_back("rclone");
  argv.emplace_back("version");
  co_await CheckProgram(context, std::move(argv), "there is no rclone",
                        "Install the package rclone.", facts);
}

std::string Gigabytes(std::uint64_t bytes) {
  const std::uint64_t tenths = bytes / 100'000'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GB";
}

}  // namespace

std::uint64_t PredictBytes(const BackupFacts& facts) {
  if (!facts.last) return facts.database_bytes / 2;
  const std::uint64_t last = facts.last->stored_bytes();
  return last + last / 10;
}

Task<Result<BackupFacts>> ReadBackupFacts(JobContext& context, const BackupSettings& settings) {
  BackupFacts facts;
  auto server = co_await ReadServerSide(context, settings, facts);
  if (!server) co_return server.error();
  co_await FindTools(context, settings, facts);
  co_await CheckEncryption(context, settings, facts);
  co_await CheckOffsite(context, settings, facts);
  auto look = [place = settings.place, job = context.job] { return LookAtTarget(place, job); };
  auto looking = Offload(context.runtime, std::move(look), SteadyNow() + kTargetAnswersWithin);
  auto target = co_await std::move(looking);
  if (!target) {
    facts.problems.push_back(
        TargetProblem("the target " + settings.place.target + " does not answer",
                      "Is it on a network that is away?"));
    co_return facts;
  }
  facts.last = std::move(target->last);
  facts.free_bytes = target->free_bytes;
  facts.needed_bytes = PredictBytes(facts);
  if (target->problem) {
    facts.problems.push_back(*target->problem);
  } else if (facts.free_bytes < facts.needed_bytes) {
    facts.problems.push_back(
        TargetProblem("the target has " + Gigabytes(facts.free_bytes) +
                          " free, and the backup will need about " + Gigabytes(facts.needed_bytes),
                      "Free space in " + settings.place.target + ", or keep fewer backups."));
  }
  co_return facts;
}

Error AllProblems(const std::vector<Error>& problems) {
  Error all = problems.front();
  for (std::size_t i = 1; i < problems.size(); ++i) {
    all.message += "; " + problems[i].message;
    if (!problems[i].hint.empty()) all.hint += (all.hint.empty() ? "" : " ") + problems[i].hint;
  }
  return all;
}

}  // namespace pgsteward
