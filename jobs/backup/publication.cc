#include "jobs/backup/publication.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/durable_file.h"
#include "jobs/backup/target_files.h"

namespace pgsteward {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLockSuffix = ".lock";

std::string PartialFolder(const BackupPlace& place) { return place.Root() + "/.partial"; }
std::string LockPath(const BackupPlace& place, std::string_view id) {
  return place.Partial(id) + std::string(kLockSuffix);
}

// Not open: somebody holds it. The file may be removed and made anew meanwhile, hence the loop.
Result<Fd> TakeLock(const std::string& path) {
  for (;;) {
    Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.open()) return CannotDo("make", path, errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return Fd();
      return CannotDo("lock", path, errno);
    }
    struct stat mine {};
    struct stat there {};
    if (::fstat(lock.get(), &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
        mine.st_ino == there.st_ino) {
      return lock;
    }
  }
}

Result<void> Remove(const std::string& path) {
  std::error_code failed;
  fs::remove_all(path, failed);
  if (failed) return Error(Errc::kUnavailable, "cannot remove " + path + ": " + failed.message());
  return {};
}

}  // namespace

Result<std::unique_ptr<PartialBackup>> PartialBackup::Begin(const BackupPlace& place,
                                                            const std::string& id) {
  for (const std::string& folder : {place.Root(), PartialFolder(place)}) {
    const auto made = MakeFolder(folder);
    if (!made) return made.error();
  }
  std::unique_ptr<PartialBackup> partial(new PartialBackup(place, id));
  auto lock = TakeLock(LockPath(place, id));
  if (!lock) return lock.error();
  if (!lock->open()) return Error(Errc::kBusy, "somebody is taking the backup " + id + " already");
  partial->lock_ = std::move(*lock);
  const std::string folder = place.Partial(id);
  if (::mkdir(folder.c_str(), 0700) != 0) return CannotDo("make folder", folder, errno);
  return partial;
}

PartialBackup::~PartialBackup() {
  if (!lock_.open()) return;
  // What cannot be removed the next run's sweep tries again.
  if (!published_ && !Remove(place_.Partial(id_))) return;
  ::unlink(LockPath(place_, id_).c_str());
}

std::string PartialBackup::PathOf(std::string_view file) const {
  return place_.Partial(id_) + "/" + std::string(file);
}

Result<void> PartialBackup::Write(std::string_view file, std::string_view text) const {
  return WriteNewFile(PathOf(file), text);
}

Result<void> PartialBackup::Publish() {
  const std::string from = place_.Partial(id_);
  const std::string to = place_.Published(id_);
  const auto synced = SyncDirectory(from);
  if (!synced) return synced;
  // The target may have been unmounted since: what is under the mount point is no place.
  const auto sentinel = CheckSentinel(place_);
  if (!sentinel) return sentinel;
  const int failed = RenameToNew(from, to);
  if (failed != 0) return CannotDo("rename", from + " to " + to, failed);
  published_ = true;
  for (const std::string& folder : {place_.Root(), PartialFolder(place_)}) {
    const auto safe = SyncDirectory(folder);
    if (!safe) {
      return Error(Errc::kUnavailable,
                   "backup " + id_ + " is published, but perhaps not safe from a power failure: " +
                       safe.error().message);
    }
  }
  return {};
}

Result<std::vector<std::string>> SweepPartials(const BackupPlace& place) {
  std::vector<std::string> ids;
  std::error_code failed;
  fs::directory_iterator each(PartialFolder(place), failed);
  if (failed == std::errc::no_such_file_or_directory) return ids;
  for (; !failed && each != fs::directory_iterator(); each.increment(failed)) {
    std::string name = each->path().filename();
    if (name.ends_with(kLockSuffix)) name.erase(name.size() - kLockSuffix.size());
    if (IsBackupId(name)) ids.push_back(std::move(name));
  }
  if (failed) {
    return Error(Errc::kUnavailable,
                 "cannot read folder " + PartialFolder(place) + ": " + failed.message());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::vector<std::string> swept;
  for (const std::string& id : ids) {
    auto lock = TakeLock(LockPath(place, id));
    if (!lock) return lock.error();
    if (!lock->open()) continue;
    const bool left = fs::exists(place.Partial(id), failed);
    const auto removed = Remove(place.Partial(id));
    if (!removed) return removed.error();
    ::unlink(LockPath(place, id).c_str());
    if (left) swept.push_back(id);
  }
  return swept;
}

}  // namespace pgsteward
