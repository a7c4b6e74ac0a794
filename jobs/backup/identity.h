// The private key that decrypts backups, on its way from the configuration to a child's argv.
#pragma once

#include <optional>
#include <string>

#include "core/error.h"
#include "jobs/backup/encryption.h"

namespace pgsteward {

// `identity_file` of age, or a `gpg_home`; neither: empty. kBadConfig: both; a file that others
// than its owner can read (systemd's credentials excepted, which it guards by their folder), that
// is none, or is empty. The content is not looked at. Blocks.
Result<std::optional<Identity>> ReadIdentity(const std::string& identity_file,
                                             const std::string& gpg_home);

}  // namespace pgsteward
