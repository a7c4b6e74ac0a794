// A file descriptor that is closed with its owner.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace pgsteward {

// "/proc/self/fd/3": whoever opens it has the file opened anew.
std::string PathOfFd(int fd);

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { Close(); }

  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// All of it, however many calls that takes; blocks. 0 or an errno.
int WriteAll(int fd, std::span<const std::byte> bytes);

}  // namespace pgsteward
