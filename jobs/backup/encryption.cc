#include "jobs/backup/encryption.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>

namespace pgsteward {

namespace {

constexpr std::string_view kAgePrefix = "age";
constexpr std::string_view kBech32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
constexpr std::size_t kChecksumDigits = 6;
constexpr std::size_t kKeyDigits = 52;  // 256 bits in fives, four of them padding
constexpr std::size_t kFingerprintDigits = 40;

std::uint32_t Bech32Step(std::uint32_t state, unsigned value) {
  constexpr std::array<std::uint32_t, 5> kGenerator = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa,
                                                       0x3d4233dd, 0x2a1462b3};
  const std::uint32_t top = state >> 25;
  state = (state & 0x1ffffff) << 5 ^ value;
  for (unsigned i = 0; i < kGenerator.size(); ++i) {
    if (top >> i & 1) state ^= kGenerator[i];
  }
  return state;
}

// BIP 173: a wrong letter, two swapped ones or a missing end never give the checksum 1.
bool IsNativeAgeRecipient(std::string_view text) {
  const std::string start = std::string(kAgePrefix) + "1";
  if (text.size() != start.size() + kKeyDigits + kChecksumDigits) return false;
  if (text.substr(0, start.size()) != start) return false;
  std::uint32_t state = 1;
  for (const char c : kAgePrefix) state = Bech32Step(state, static_cast<unsigned char>(c) >> 5);
  state = Bech32Step(state, 0);
  for (const char c : kAgePrefix) state = Bech32Step(state, static_cast<unsigned char>(c) & 31);
  std::size_t last_of_key = 0;
  for (std::size_t i = start.size(); i < text.size(); ++i) {
    const std::size_t value = kBech32.find(text[i]);
    if (value == std::string_view::npos) return false;
    state = Bech32Step(state, static_cast<unsigned>(value));
    if (i + kChecksumDigits + 1 == text.size()) last_of_key = value;
  }
  return state == 1 && (last_of_key & 15) == 0;
}

bool IsFingerprint(std::string_view text) {
  return text.size() == kFingerprintDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
         });
}

Error Bad(std::string message, std::string hint) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

// A private key that was put here by mistake must not go on into a log.
std::string Named(std::size_t index) { return "recipient " + std::to_string(index + 1); }

Result<void> CheckAge(std::size_t index, std::string_view key) {
  if (key.starts_with("AGE-SECRET-KEY-")) {
    return Bad(Named(index) + " is a private key",
               "Replace that key, for it has been readable here, and put the line that age-keygen "
               "calls the public key.");
  }
  if (key.starts_with("age1pq1")) {
    return Bad(Named(index) + " is a post-quantum key, which age before 1.3 cannot use",
               "Make an X25519 key with: age-keygen -o key.txt");
  }
  if (!IsNativeAgeRecipient(key)) {
    return Bad(
        Named(index) + " is no age recipient: its checksum or its form is wrong",
        "Copy the whole public key \"age1...\" (62 characters) that age-keygen has printed.");
  }
  return {};
}

Result<void> CheckGpg(std::size_t index, std::string_view key) {
  if (IsFingerprint(key)) return {};
  return Bad(Named(index) + " is no gpg fingerprint of 40 digits",
             "Copy it from: gpg --list-keys --with-colons (line fpr); short ids can be forged.");
}

}  // namespace

std::string_view EncryptionName(EncryptionKind kind) {
  switch (kind) {
    case EncryptionKind::kAge:
      return "age";
    case EncryptionKind::kGpg:
      return "gpg";
    case EncryptionKind::kNone:
      return "none";
  }
  return {};
}

Result<void> CheckRecipients(const Recipients& recipients, bool allow_one) {
  if (recipients.kind == EncryptionKind::kNone) {
    if (recipients.keys.empty()) return {};
    return Bad("recipients are given, but encryption is none", "Remove them, or set encryption.");
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < recipients.keys.size(); ++i) {
    const std::string& key = recipients.keys[i];
    const auto checked =
        recipients.kind == EncryptionKind::kAge ? CheckAge(i, key) : CheckGpg(i, key);
    if (!checked) return checked;
    if (!seen.insert(key).second) {
      return Bad(Named(i) + " stands there twice",
                 "Give the public keys of two different private keys.");
    }
  }
  if (recipients.keys.empty()) {
    return Bad("there are no recipients to encrypt backups for",
               "Make two key pairs: one kept offline, one for the restore drill.");
  }
  if (recipients.keys.size() < 2 && !allow_one) {
    return Bad("there is only one recipient: when its private key is lost, so is every backup",
               "Add a second one whose private key is kept offline, or set allow_one_recipient.");
  }
  return {};
}

std::vector<std::string> EncryptArgv(const Recipients& recipients) {
  std::vector<std::string> argv;
  switch (recipients.kind) {
    case EncryptionKind::kAge:
      argv = {"age", "--encrypt"};
      break;
    case EncryptionKind::kGpg:
      // The keys are named by their whole fingerprints in the configuration: that is the trust.
      argv = {"gpg",           "--batch",      "--no-tty",
              "--quiet",       "--no-options", "--no-autostart",
              "--trust-model", "always",       "--compress-algo",
              "none",          "--encrypt"};
      if (!recipients.gpg_home.empty()) {
        argv.insert(argv.begin() + 1, {"--homedir", recipients.gpg_home});
      }
      break;
    case EncryptionKind::kNone:
      return argv;
  }
  for (const std::string& key : recipients.keys) {
    argv.emplace_back("--recipient");
    argv.push_back(key);
  }
  return argv;
}

std::vector<std::string> DecryptArgv(const Identity& identity) {
  switch (identity.kind) {
    case EncryptionKind::kAge:
      return {"age", "--decrypt", "--identity", identity.path};
    case EncryptionKind::kGpg: {
      std::vector<std::string> argv = {"gpg", "--batch", "--no-tty", "--quiet", "--no-options"};
      if (!identity.path.empty()) argv.insert(argv.end(), {"--homedir", identity.path});
      argv.emplace_back("--decrypt");
      return argv;
    }
    case EncryptionKind::kNone:
      break;
  }
  return {};
}

std::string_view EncryptionSuffix(EncryptionKind kind) {
  switch (kind) {
    case EncryptionKind::kAge:
      return ".age";
    case EncryptionKind::kGpg:
      return ".gpg";
    case EncryptionKind::kNone:
      break;
  }
  return {};
}

std::vector<std::string> RecipientFingerprints(const Recipients& recipients) {
  return recipients.keys;
}

}  // namespace pgsteward
