#include "core/fd.h"

#include <cerrno>

namespace pgsteward {

std::string PathOfFd(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

int WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : ENOSPC;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace pgsteward
