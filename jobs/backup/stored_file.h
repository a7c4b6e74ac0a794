// The bytes of a stored file, with its size and checksum held against the manifest.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/error.h"
#include "core/fd.h"
#include "core/sha256.h"
#include "jobs/backup/manifest.h"

namespace pgsteward {

class StoredFile {
 public:
  explicit StoredFile(BackupFile file) : file_(std::move(file)) {}

  // kNoData: not there; kQueryFailed: no regular file; kUnavailable: it cannot be read.
  Result<void> Open(const std::string& folder);
  // 0 bytes: the end, and it is what the manifest says. kQueryFailed: it is not.
  Result<std::size_t> Read(std::span<std::byte> into);
  std::uint64_t bytes() const { return bytes_; }

 private:
  BackupFile file_;
  Fd fd_;
  Sha256 sha256_;
  std::atomic<std::uint64_t> bytes_ = 0;
  bool ended_ = false;
};

}  // namespace pgsteward
