#include "daemon/config_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace pgsteward {

namespace {

Error Bad(std::string message, std::string hint = {}) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

// systemd shows a credential's access list as group permission, and guards the directory itself.
bool IsSystemdCredential(const std::string& path) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory && *directory && path.rfind(std::string(directory) + "/", 0) == 0;
}

}  // namespace

std::string ResolvePath(const std::string& config_path, const std::string& path) {
  if (path.empty()) return {};
  std::error_code ignored;
  const auto base = std::filesystem::absolute(config_path, ignored).parent_path();
  return (base / path).lexically_normal().string();
}

std::optional<Error> SecretFileWarning(const std::string& path, const std::string& write_it) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Bad("the file does not exist",
                 "Create it with mode 0600; a relative path begins at the configuration file.");
    }
    return Bad("the file cannot be examined: " + std::string(std::strerror(errno)),
               "Let the daemon's user read it.");
  }
  if (!S_ISREG(status.st_mode)) return Bad("is not a regular file", "Name the file itself.");
  if (::access(path.c_str(), R_OK) != 0) {
    return Bad("the file cannot be read: " + std::string(std::strerror(errno)),
               "Let the daemon's user read it.");
  }
  if (status.st_size == 0) return Bad("the file is empty", write_it);
  if ((status.st_mode & (S_IRGRP | S_IROTH)) && !IsSystemdCredential(path)) {
    return Bad("the file can be read by group or others", "Give it mode 0600.");
  }
  return std::nullopt;
}

}  // namespace pgsteward
