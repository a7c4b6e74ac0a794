// RESTORE.txt, the disaster card that lies in each backup: how to restore it with stock Debian
// tools, whatever has become of pgsteward. Pure.
#pragma once

#include <string>

#include "jobs/backup/manifest.h"

namespace pgsteward {

inline constexpr std::string_view kRestoreFile = "RESTORE.txt";
inline constexpr std::string_view kSumsFile = "SHA256SUMS";

// Lines that begin with four blanks are commands, to be entered in order in one bash in the
// backup's folder; the first one names the private key (KEY) or gpg's home.
std::string RestoreText(const Manifest& manifest);

// "<sha256>  <name>", for sha256sum -c: of all files of the manifest but this one.
std::string ChecksumText(const Manifest& manifest);

}  // namespace pgsteward
