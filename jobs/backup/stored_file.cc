#include "jobs/backup/stored_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace pgsteward {

Result<void> StoredFile::Open(const std::string& folder) {
  const std::string path = folder + "/" + file_.name;
  // No links: what they lead to may change without a trace here. A pipe would keep us waiting.
  fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd_.open() && errno == ENOENT) return Error(Errc::kNoData, "is missing");
  if (!fd_.open() && errno == ELOOP) return Error(Errc::kQueryFailed, "is no regular file");
  struct stat status {};
  if (!fd_.open() || ::fstat(fd_.get(), &status) != 0) {
    return Error(Errc::kUnavailable, std::string("cannot be read: ") + std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) return Error(Errc::kQueryFailed, "is no regular file");
  ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return Result<void>();
}

Result<std::size_t> StoredFile::Read(std::span<std::byte> into) {
  if (ended_) return std::size_t{0};
  ssize_t n = 0;
  do {
    n = ::read(fd_.get(), into.data(), into.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    // File systems with checksums, and disks, say so of what has rotted.
    const bool rotten = errno == EIO || errno == EUCLEAN || errno == EBADMSG;
    return Error(rotten ? Errc::kQueryFailed : Errc::kUnavailable,
                 std::string("cannot be read: ") + std::strerror(errno));
  }
  if (n > 0) {
    sha256_.Add(into.first(static_cast<std::size_t>(n)));
    bytes_ += static_cast<std::uint64_t>(n);
    return static_cast<std::size_t>(n);
  }
  ended_ = true;
  if (bytes_ != file_.bytes) {
    return Error(Errc::kQueryFailed, "has " + std::to_string(bytes_) + " bytes instead of " +
                                         std::to_string(file_.bytes));
  }
  if (sha256_.Finish() != file_.sha256) {
    return Error(Errc::kQueryFailed, "has another content than when it was stored (sha256)");
  }
  return std::size_t{0};
}

}  // namespace pgsteward
