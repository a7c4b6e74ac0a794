#include "jobs/backup/pins.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/durable_file.h"
#include "jobs/backup/target_files.h"

namespace pgsteward {

namespace {

Result<void> CheckThere(const BackupPlace& place, const std::string& id) {
  struct stat status {};
  const bool there = IsBackupId(id) && ::lstat(place.Published(id).c_str(), &status) == 0 &&
                     S_ISDIR(status.st_mode);
  if (there) return {};
  return Error(Errc::kNoData, "there is no backup " + FileNameOf(id) + " in " + place.Root(), {},
               "See the list with: pgsteward backup list.");
}

Result<void> WriteMark(const BackupPlace& place, const std::string& path, const std::string& text) {
  if (auto made = MakeFolder(place.Root() + "/.pins"); !made) return made;
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
  if (auto made = MakeFolder(place.Root()); !made) return made.error();
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.open()) return CannotDo("open", path, errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return PlaceLock(std::move(fd));
  if (errno != EWOULDBLOCK) return CannotDo("lock", path, errno);
  return Error(Errc::kBusy, "somebody else is changing the backups in " + place.Root(), {},
               "Try again in a moment.");
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
  return CannotDo("remove", path, errno);
}

Result<void> AcceptAnomaly(const BackupPlace& place, const std::string& id) {
  const auto lock = PlaceLock::Take(place);
  if (!lock) return lock.error();
  if (auto there = CheckThere(place, id); !there) return there;
  return WriteMark(place, place.Accepted(id), "accepted");
}

Result<void> MarkOffsite(const BackupPlace& place, const std::string& id, const OffsiteMark& mark) {
  const auto lock = PlaceLock::Take(place);
  if (!lock) return lock.error();
  if (auto there = CheckThere(place, id); !there) return there;
  return WriteMark(place, place.Offsite(id), OneLine(OffsiteMarkText(mark)));
}

}  // namespace pgsteward
