#include "jobs/backup/pins.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/durable_file.h"

namespace pgsteward {

namespace {

Error CannotDo(const std::string& what, const std::string& path) {
  return Error(Errc::kUnavailable, "cannot " + what + " " + path + ": " + std::strerror(errno));
}

Result<void> CheckThere(const BackupPlace& place, const std::string& id) {
  struct stat status {};
  const bool there = IsBackupId(id) && ::lstat(place.Published(id).c_str(), &status) == 0 &&
                     S_ISDIR(status.st_mode);
  if (there) return {};
  return Error(Errc::kNoData, "there is no backup " + FileNameOf(id) + " in " + place.Root(), {},
               "See the list with: pgsteward backup list.");
}

Result<void> WriteMark(const BackupPlace& place, const std::string& path, const std::string& text) {
  const std::string folder = std::filesystem::path(path).parent_path();
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return CannotDo("make folder", folder);
  if (auto synced = SyncDirectory(place.Root()); !synced) return synced;
  return WriteFileDurably(path, text + "\n");
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

Result<PlaceLock> PlaceLock::Take(const BackupPlace& place) {
  const std::string path = place.Root() + "/.lock";
  if (::mkdir(place.Root().c_str(), 0700) != 0 && errno != EEXIST) {
    return CannotDo("make folder", place.Root());
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return CannotDo("open", path);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return PlaceLock(fd);
  Error error = CannotDo("lock", path);
  if (errno == EWOULDBLOCK) {
    error = Error(Errc::kBusy, "somebody else is changing the backups in " + place.Root(), {},
                  "Try again in a moment.");
  }
  ::close(fd);
  return error;
}

PlaceLock::PlaceLock(PlaceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

PlaceLock::~PlaceLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> KeepBackup(const BackupPlace& place, const std::string& id,
                        const std::string& reason) {
  const auto lock = PlaceLock::Take(place);
  if (!lock) return lock.error();
  if (auto there = CheckThere(place, id); !there) return there;
  return WriteMark(place, place.Pin(id), reason.empty() ? "kept by hand" : OneLine(reason));
}

Result<bool> UnkeepBackup(const BackupPlace& place, const std::string& id) {
  const auto lock = PlaceLock::Take(place);
  if (!lock) return lock.error();
  if (auto there = CheckThere(place, id); !there) return there.error();
  const std::string path = place.Pin(id);
  if (::unlink(path.c_str()) == 0) {
    if (auto synced = SyncDirectory(place.Root() + "/.pins"); !synced) return synced.error();
    return true;
  }
  if (errno == ENOENT) return false;
  return CannotDo("remove", path);
}

Result<void> AcceptAnomaly(const BackupPlace& place, const std::string& id) {
  const auto lock = PlaceLock::Take(place);
  if (!lock) return lock.error();
  if (auto there = CheckThere(place, id); !there) return there;
  return WriteMark(place, place.Accepted(id), "accepted");
}

}  // namespace pgsteward
