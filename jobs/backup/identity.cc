#include "jobs/backup/identity.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace pgsteward {

namespace {

Error Bad(const std::string& what, const std::string& path, const std::string& how,
          std::string hint) {
  return Error(Errc::kBadConfig, what + " " + path + " " + how, {}, std::move(hint));
}

// systemd shows a credential's access list as group permission, and guards the folder itself.
bool IsCredential(const std::string& path) {
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
  return folder && *folder && path.starts_with(std::string(folder) + "/");
}

Result<void> Check(const std::string& what, const std::string& path, bool folder) {
  struct stat status {};
  if (path.front() != '/') return Bad(what, path, "is no absolute path", "Write the whole path.");
  if (::stat(path.c_str(), &status) != 0) {
    return Bad(what, path, std::string("cannot be used: ") + std::strerror(errno),
               "The key that decrypts backups is kept apart from them: put it back for the drill.");
  }
  if (folder ? !S_ISDIR(status.st_mode) : !S_ISREG(status.st_mode)) {
    return Bad(what, path, folder ? "is no folder" : "is no regular file", "Name the right one.");
  }
  if (!folder && status.st_size == 0) {
    return Bad(what, path, "is empty", "Write the identity into it: age-keygen makes one.");
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0 && !IsCredential(path)) {
    return Bad(what, path, "is open to its group or to others",
               folder ? "Give it mode 0700." : "Give it mode 0600.");
  }
  return Result<void>();
}

}  // namespace

Result<std::optional<Identity>> ReadIdentity(const std::string& identity_file,
                                             const std::string& gpg_home) {
  if (!identity_file.empty() && !gpg_home.empty()) {
    return Error(Errc::kBadConfig, "identity_file and gpg_home at the same time", {},
                 "Name the one that the backups are encrypted for.");
  }
  if (identity_file.empty() && gpg_home.empty()) return std::optional<Identity>();
  const bool gpg = !gpg_home.empty();
  auto right =
      gpg ? Check("gpg home", gpg_home, true) : Check("identity file", identity_file, false);
  if (!right) return right.error();
  Identity identity;
  identity.kind = gpg ? EncryptionKind::kGpg : EncryptionKind::kAge;
  identity.path = gpg ? gpg_home : identity_file;
  return std::optional<Identity>(std::move(identity));
}

}  // namespace pgsteward
