// A stored file of a backup as what it was made from: decrypted and decompressed while it is read,
// and checked to its last byte. Blocks; for a thread of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/error.h"
#include "jobs/backup/encryption.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/own_thread.h"

namespace pgsteward {

class StoredStream {
 public:
  // `folder`/`file.name`. Without an identity only a file that is not encrypted can be read.
  static Result<std::unique_ptr<StoredStream>> Open(const std::string& folder, BackupFile file,
                                                    const std::optional<Identity>& identity,
                                                    StopSwitch& stop);
  virtual ~StoredStream() = default;

  // 0 bytes: the end, and only when the file has the size and the checksum of the manifest, the
  // decryption has seen its end, and the compression too. An error says what is wrong with it.
  virtual Result<std::size_t> Read(std::span<std::byte> into) = 0;
  // What is wrong with the file, for a reader that had to give up before its end: reads the rest.
  virtual std::optional<Error> Fault() = 0;
  // Of the file, so far.
  virtual std::uint64_t stored_bytes() const = 0;
};

// The same without a look inside: size and checksum. kNoData: it is not there.
Result<void> CheckStoredFile(const std::string& folder, const BackupFile& file, StopSwitch& stop);

}  // namespace pgsteward
