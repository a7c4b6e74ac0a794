// Whether a backup is still what was stored: every file, and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "jobs/backup/encryption.h"
#include "jobs/backup/feed.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/own_thread.h"

namespace pgsteward {

struct VerifyRequest {
  std::string folder;  // of the backup; its last part is the id
  // Decrypts, decompresses, and reads every dump to its end, where there is an identity or no need
  // of one. Else: sizes and checksums.
  bool contents = true;
  std::optional<Identity> identity = {};
  std::string pg_restore = {};  // path; needed for dumps in the custom format
  FeedProgress progress = {};   // stored bytes
};

struct VerifyProblem {
  std::string file;  // in the folder; empty: of the backup as a whole
  std::string what;  // "has 10 bytes instead of 12"

  std::string Text() const { return file.empty() ? what : file + " " + what; }
};

struct VerifyReport {
  std::vector<VerifyProblem> problems;  // none: it is whole
  std::optional<Manifest> manifest;
  int files = 0;  // checked
  std::uint64_t bytes = 0;
  bool contents_read = false;  // decrypted and read to the end, or not encrypted at all

  bool whole() const { return problems.empty() && manifest; }
};

// Blocks; for a thread of its own. kTimeout: stopped. Other errors are the machine's: what it lacks
// or cannot read says nothing of the backup.
Result<VerifyReport> VerifyBackup(const VerifyRequest& request, StopSwitch& stop);

inline constexpr std::string_view kChecksumFile = "SHA256SUMS";
inline constexpr std::string_view kInstructionsFile = "RESTORE.txt";

}  // namespace pgsteward
