#include "jobs/backup/drill_blame.h"

#include <array>
#include <string>
#include <string_view>

namespace pgsteward {

namespace {

struct Sign {
  std::string_view text;  // in the words of a program in English
  Errc code;
  std::string_view hint;
};

constexpr auto kSigns = std::to_array<Sign>({
    {"No space left on device", Errc::kUnavailable, "Make room, or name a larger file system."},
    {"Disk quota exceeded", Errc::kUnavailable, "Make room, or name a larger file system."},
    {"no identity matched", Errc::kBadConfig,
     "The identity is none of the backup's recipients: see the manifest for those."},
    {"No secret key", Errc::kBadConfig,
     "The gpg home holds no private key of the backup's recipients."},
    {"could not open extension control file", Errc::kUnsupported,
     "Install the extension's package on this machine."},
    {"\" is not available", Errc::kUnsupported, "Install the extension's package on this machine."},
    {"shared_preload_libraries", Errc::kUnsupported,
     "Have the scratch server preload it: server_settings: [shared_preload_libraries=...]."},
    {"could not access file \"$libdir", Errc::kUnsupported,
     "Install the package of that library on this machine."},
    {"invalid locale name", Errc::kUnsupported, "Generate the locale on this machine."},
    {"invalid LC_COLLATE locale name", Errc::kUnsupported, "Generate the locale on this machine."},
    {"invalid LC_CTYPE locale name", Errc::kUnsupported, "Generate the locale on this machine."},
    {"server closed the connection unexpectedly", Errc::kUnavailable,
     "The server went away: its log, or the kernel's of too little memory, tells why."},
    {"out of memory", Errc::kUnavailable, "This machine has too little memory for the restore."},
    {"cannot start ", Errc::kChildFailed, "Install the program, or say where it is."},
});

}  // namespace

std::optional<Error> BlameOnMachine(const Error& error) {
  // What comes behind these may be data.
  std::string_view words = error.message;
  for (const std::string_view end : {"DETAIL:", "CONTEXT:", "HINT:", "Command was:", "detail:"}) {
    words = words.substr(0, words.find(end));
  }
  for (const Sign& sign : kSigns) {
    if (words.find(sign.text) == std::string_view::npos) continue;
    return Error(sign.code, error.message, error.sqlstate, std::string(sign.hint));
  }
  switch (error.code) {
    case Errc::kTimeout:         // stopped
    case Errc::kConnectionLost:  // the scratch server is gone
    case Errc::kUnavailable:
    case Errc::kUnsupported:
    case Errc::kBadConfig:
      return error;
    default:
      return std::nullopt;
  }
}

}  // namespace pgsteward
