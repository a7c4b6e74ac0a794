#include "daemon/backup_choice.h"

#include <filesystem>

#include "daemon/commands.h"
#include "jobs/backup/identity.h"

namespace pgsteward {

namespace {

void Refuse(BackupChoice& choice, const std::string& what, const Error& error) {
  Complain(what, error);
  choice.exit_code = error.code == Errc::kBadConfig ? kExitUsage : kExitFailure;
}

// Of the jobs that take or try backups of the server; the first one that says it.
std::string TargetOfJobs(const Config& config, const std::string& server) {
  for (const JobConfig& job : config.jobs) {
    const std::string_view type = job.policy.spec->name;
    if (job.server != server || (type != "backup" && type != "restore_drill")) continue;
    const std::string target = job.policy.options.Text("target");
    if (!target.empty()) return target;
  }
  return {};
}

bool FindPlace(BackupChoice& choice, const std::string& what, const BackupOrigin& from,
               BackupPlace& place) {
  place.target = from.target;
  place.server = from.server;
  if (!place.target.empty() && !place.server.empty()) return true;
  choice.loaded = LoadOrComplain(from.config_path);
  if (!choice.loaded) {
    choice.exit_code = kExitConfig;
    return false;
  }
  choice.server = FindServer(choice.loaded->config, from.server);
  if (!choice.server) {
    choice.exit_code = kExitUsage;
    return false;
  }
  place.server = choice.server->name;
  if (place.target.empty()) place.target = TargetOfJobs(choice.loaded->config, place.server);
  if (!place.target.empty()) return true;
  Refuse(choice, what,
         Error(Errc::kBadConfig, "no job of server " + place.server + " has a target of backups",
               {}, "Name the folder of the backup itself, or --target and --server."));
  return false;
}

void FindFolders(BackupChoice& choice, const std::string& what, const BackupOrigin& from,
                 bool all) {
  std::error_code failed;
  if (from.backup.find('/') != std::string::npos) {
    const auto path = std::filesystem::absolute(from.backup, failed).lexically_normal();
    choice.folders = {(path.has_filename() ? path : path.parent_path()).string()};
    return;
  }
  BackupPlace place;
  if (!FindPlace(choice, what, from, place)) return;
  if (const auto sentinel = CheckSentinel(place); !sentinel) {
    return Refuse(choice, what, sentinel.error());
  }
  auto content = ReadPlace(place);
  if (!content) return Refuse(choice, what, content.error());
  for (const FoundBackup& backup : content->backups) {
    const bool latest = from.backup == "latest" && backup.id == content->backups.back().id;
    if (all || latest || backup.id == from.backup) {
      choice.folders.push_back(place.Published(backup.id));
    }
  }
  if (!choice.folders.empty()) return;
  const std::string wanted = from.backup == "latest" || all ? "" : " " + from.backup;
  Refuse(choice, what,
         Error(Errc::kNoData, "no backup" + wanted + " in " + place.Root(), {},
               "See what is there with: pgsteward backup list."));
}

}  // namespace

BackupChoice ChooseBackups(const std::string& what, const BackupOrigin& from, bool all) {
  BackupChoice choice;
  // As age and gpg will read them: from where we are.
  std::error_code failed;
  const auto absolute = [&failed](const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path, failed).string();
  };
  auto identity = ReadIdentity(absolute(from.identity_file), absolute(from.gpg_home));
  if (!identity) {
    Refuse(choice, what, identity.error());
    return choice;
  }
  choice.identity = *identity;
  FindFolders(choice, what, from, all);
  return choice;
}

}  // namespace pgsteward
