#include "tests/support/failing_calls.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace pgsteward {

namespace {

struct Plan {
  std::mutex mutex;
  std::string folder;
  int nth = 0;
  int error = 0;
  int calls = 0;
  std::string failed;
};

Plan& ThePlan() {
  static Plan* const plan = new Plan();
  return *plan;
}
std::atomic<bool> active = false;

// True: this call is to fail; errno is set.
bool Fails(const char* call, const std::string& path) {
  Plan& plan = ThePlan();
  const std::lock_guard guard(plan.mutex);
  if (!path.starts_with(plan.folder)) return false;
  if (++plan.calls != plan.nth) return false;
  plan.failed = std::string(call) + " " + path;
  errno = plan.error;
  return true;
}

std::string PathOf(int fd) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), path.data(), path.size() - 1);
  return n > 0 ? std::string(path.data(), static_cast<std::size_t>(n)) : "";
}

template <class F>
F Real(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

FailingCalls::FailingCalls(const std::string& folder, int nth, int error) {
  Plan& plan = ThePlan();
  const std::lock_guard guard(plan.mutex);
  plan.folder = folder;
  plan.nth = nth;
  plan.error = error;
  plan.calls = 0;
  plan.failed.clear();
  active = true;
}
FailingCalls::~FailingCalls() { active = false; }
int FailingCalls::calls() const {
  const std::lock_guard guard(ThePlan().mutex);
  return ThePlan().calls;
}
std::string FailingCalls::failed() const {
  const std::lock_guard guard(ThePlan().mutex);
  return ThePlan().failed;
}

}  // namespace pgsteward

// The declarations of the C library say nothrow for some of these, and so must we.
extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  static const auto real = pgsteward::Real<ssize_t (*)(int, const void*, size_t)>("write");
  if (pgsteward::active && pgsteward::Fails("write", pgsteward::PathOf(fd))) return -1;
  return real(fd, bytes, size);
}

int fsync(int fd) {
  static const auto real = pgsteward::Real<int (*)(int)>("fsync");
  if (pgsteward::active && pgsteward::Fails("fsync", pgsteward::PathOf(fd))) return -1;
  return real(fd);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = pgsteward::Real<int (*)(const char*, const char*)>("rename");
  if (pgsteward::active && pgsteward::Fails("rename", from)) return -1;
  return real(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned int flags) noexcept {
  static const auto real =
      pgsteward::Real<int (*)(int, const char*, int, const char*, unsigned int)>("renameat2");
  if (pgsteward::active && pgsteward::Fails("renameat2", from)) return -1;
  return real(from_folder, from, to_folder, to, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = pgsteward::Real<int (*)(const char*, mode_t)>("mkdir");
  if (pgsteward::active && pgsteward::Fails("mkdir", path)) return -1;
  return real(path, mode);
}

int open(const char* path, int flags, ...) {
  static const auto real = pgsteward::Real<int (*)(const char*, int, ...)>("open");
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  const bool writes = (flags & (O_WRONLY | O_RDWR)) != 0;
  if (pgsteward::active && writes && pgsteward::Fails("open", path)) return -1;
  return real(path, flags, mode);
}

}  // extern "C"
