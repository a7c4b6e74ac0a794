// Encryption of backups by stock tools: age, or gpg. Only public keys are needed to take one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pgsteward {

enum class EncryptionKind { kAge, kGpg, kNone };
std::string_view EncryptionName(EncryptionKind kind);  // "age"

struct Recipients {
  EncryptionKind kind = EncryptionKind::kAge;
  // age: native X25519 recipients "age1...". gpg: full 40-digit fingerprints of public keys in
  // `gpg_home`.
  std::vector<std::string> keys;
  std::string gpg_home;  // empty: gpg's own
};

// kBadConfig: not a native age recipient (checked by its bech32 checksum), fewer than two unless
// `allow_one`, twice the same, no fingerprint.
Result<void> CheckRecipients(const Recipients& recipients, bool allow_one);

// Standard input to standard output. Public keys are no secret and may stand in argv.
std::vector<std::string> EncryptArgv(const Recipients& recipients);

// Where the private key is: an age identity file (0600, $CREDENTIALS_DIRECTORY), or a gpg home.
struct Identity {
  EncryptionKind kind = EncryptionKind::kAge;
  std::string path;
};
std::vector<std::string> DecryptArgv(const Identity& identity);

// ".age", ".gpg" or "".
std::string_view EncryptionSuffix(EncryptionKind kind);
// What the manifest keeps of each recipient: the age recipient or gpg fingerprint itself.
std::vector<std::string> RecipientFingerprints(const Recipients& recipients);

}  // namespace pgsteward
