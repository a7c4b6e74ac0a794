#include "core/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>

#include "core/fd.h"

namespace pgsteward {

namespace {

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  // Some file systems tell of a failed write only here.
  bool Close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

Error Failed(const std::string& what, const std::string& path) {
  const std::string why = std::strerror(errno);
  return Error(Errc::kUnavailable, what + " " + path + ": " + why);
}

Result<void> WriteNew(const std::string& path, std::string_view text) {
  File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.open()) return Failed("cannot create", path);
  errno = WriteAll(file.fd(), std::as_bytes(std::span(text)));
  if (errno != 0) return Failed("cannot write", path);
  if (::fsync(file.fd()) != 0) return Failed("cannot sync", path);
  if (!file.Close()) return Failed("cannot close", path);
  return {};
}

}  // namespace

std::string TemporaryNameOf(const std::string& path) { return path + ".new"; }

Result<void> WriteFileDurably(const std::string& path, std::string_view text) {
  const std::string temporary = TemporaryNameOf(path);
  if (auto written = WriteNew(temporary, text); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return Failed("cannot rename to", path);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  return SyncDirectory(directory.empty() ? "." : directory);
}

Result<void> SyncDirectory(const std::string& path) {
  const File folder(path, O_RDONLY | O_DIRECTORY);
  if (!folder.open() || ::fsync(folder.fd()) != 0) return Failed("cannot sync", path);
  return {};
}

Result<std::string> ReadWholeFile(const std::string& path, std::size_t largest) {
  const File file(path, O_RDONLY);
  if (!file.open()) {
    if (errno == ENOENT) return Error(Errc::kNoData, "there is no " + path);
    return Failed("cannot open", path);
  }
  std::string text;
  std::array<char, 64 * 1024> chunk;
  for (;;) {
    const ssize_t got = ::read(file.fd(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("cannot read", path);
    if (got == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(got));
    if (text.size() > largest) return Error(Errc::kUnavailable, path + " is too large");
  }
}

}  // namespace pgsteward
