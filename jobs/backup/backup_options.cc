#include "jobs/backup/backup_options.h"

#include <algorithm>
#include <array>

namespace pgsteward {

namespace {

// And no remote on the spot, ":s3,secret_access_key=...:path": every user of the machine reads
// rclone's arguments.
bool IsNameOfRemote(const std::string& remote) {
  const std::string name = remote.substr(0, remote.find(':'));
  return !remote.starts_with(':') && name.find(',') == std::string::npos;
}

}  // namespace

Result<BackupSettings> ReadBackupSettings(const JobOptions& options, const std::string& server) {
  BackupSettings settings;
  settings.place.target = options.Text("target");
  settings.place.server = server;
  std::string& target = settings.place.target;
  target = NormalTarget(target);
  if (target.size() < 2 || target[0] != '/') {
    return Error(Errc::kBadConfig, "target is no absolute path of a folder", {},
                 "Write it like /var/backups/pgsteward, and make it with: pgsteward backup init.");
  }
  settings.databases = options.Texts("databases");
  settings.plain = options.Text("format") == "plain";
  const std::string encryption = options.Text("encryption");
  settings.recipients.kind = encryption == "age"   ? EncryptionKind::kAge
                             : encryption == "gpg" ? EncryptionKind::kGpg
                                                   : EncryptionKind::kNone;
  settings.recipients.keys = options.Texts("recipients");
  settings.recipients.gpg_home = options.Text("gpg_home");
  const auto checked = CheckRecipients(settings.recipients, options.Switch("allow_one_recipient"));
  if (!checked) return checked.error();
  settings.compression_level = static_cast<int>(options.Integer("compression_level"));
  settings.compression_threads = static_cast<int>(options.Integer("compression_threads"));
  settings.lock_wait = options.Duration("lock_wait");
  settings.lock_attempts = static_cast<int>(options.Integer("lock_attempts"));
  settings.nice = static_cast<int>(options.Integer("nice"));
  settings.idle_io = options.Switch("idle_io");
  settings.tools = options.Texts("tools");
  settings.max_xmin_age = options.Integer("max_xmin_age");
  settings.offsite_remote = NormalTarget(options.Text("offsite_remote"));
  if (!IsNameOfRemote(settings.offsite_remote)) {
    return Error(Errc::kBadConfig, "offsite_remote holds settings of rclone", {},
                 "Put them into a file of its own (rclone_config), and write REMOTE:PATH here.");
  }
  settings.rclone_config = options.Text("rclone_config");
  return settings;
}

}  // namespace pgsteward
