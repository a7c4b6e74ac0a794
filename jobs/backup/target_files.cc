#include "jobs/backup/target_files.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <span>
#include <system_error>

#include "core/durable_file.h"
#include "core/fd.h"

namespace pgsteward {

Error CannotDo(const std::string& what, const std::string& path, int failed) {
  std::string hint;
  if (failed == ENOSPC || failed == EDQUOT) {
    hint = "Free space in the target, or keep fewer backups.";
  }
  if (failed == EACCES || failed == EPERM || failed == EROFS) {
    hint = "Let the user that pgsteward runs as write there; the unit's ReadWritePaths, too.";
  }
  return Error(Errc::kUnavailable,
               "cannot " + what + " " + path + ": " + std::generic_category().message(failed), {},
               hint);
}

Result<void> MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return CannotDo("make folder", path, errno);
  }
  // Also of one that was there: who made it may have died before this.
  return SyncDirectory(std::filesystem::path(path).parent_path());
}

Result<void> WriteNewFile(const std::string& path, std::string_view text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.open() && errno == EEXIST) return Error(Errc::kBusy, path + " is there already");
  if (!fd.open()) return CannotDo("create", path, errno);
  std::string what = "write";
  int failed = WriteAll(fd.get(), std::as_bytes(std::span(text)));
  if (failed == 0 && ::fsync(fd.get()) != 0) {
    what = "sync";
    failed = errno;
  }
  if (failed == 0) return {};
  ::unlink(path.c_str());
  return CannotDo(what, path, failed);
}

int RenameToNew(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system without that flag (NFS): a folder replaces an empty one at most.
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace pgsteward
