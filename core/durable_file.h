// Files that must be whole after a crash.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// Replaces `path` by `text`: a temporary file in the same directory (mode 0600), written, fsynced,
// renamed, the directory fsynced. Blocks: call it on the pool. kUnavailable with the system's
// words.
Result<void> WriteFileDurably(const std::string& path, std::string_view text);
// What it writes to first; a crash may leave that, and the next writing takes it.
std::string TemporaryNameOf(const std::string& path);

// The whole of a file of at most that many bytes; kNoData when there is none.
Result<std::string> ReadWholeFile(const std::string& path,
                                  std::size_t largest = std::size_t{16} << 20);
// Makes new, changed and removed names in it survive a crash.
Result<void> SyncDirectory(const std::string& path);

}  // namespace pgsteward
