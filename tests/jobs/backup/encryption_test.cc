#include "jobs/backup/encryption.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

const std::string kA = "age1pajqx44ygp9r4jelqyaf9t6xzs06vych7vk5fea448t0y8d8hgmq6qm2ds";
const std::string kB = "age19fm3jl0j2sjrt9xlylp5pd2gvc6502xaz95lq6ht00w3ljxd8vfqw9a98e";
const std::string kF = "0123456789ABCDEF0123456789ABCDEF01234567";
const std::string kG = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

std::string Check(EncryptionKind kind, std::vector<std::string> keys, bool allow_one = false) {
  Recipients recipients;
  recipients.kind = kind;
  recipients.keys = std::move(keys);
  const auto checked = CheckRecipients(recipients, allow_one);
  if (checked) return "ok";
  EXPECT_EQ(checked.error().code, Errc::kBadConfig);
  EXPECT_NE(checked.error().hint, "");
  return checked.error().message;
}

TEST(Recipients, Age) {
  EXPECT_EQ(Check(EncryptionKind::kAge, {kA, kB}), "ok");
  EXPECT_EQ(Check(EncryptionKind::kAge, {kA}, true), "ok");
  EXPECT_EQ(Check(EncryptionKind::kAge, {kA}),
            "there is only one recipient: when its private key is lost, so is every backup");
  EXPECT_EQ(Check(EncryptionKind::kAge, {}, true),
            "there are no recipients to encrypt backups for");
  EXPECT_EQ(Check(EncryptionKind::kAge, {kA, kA}), "recipient 2 stands there twice");
  EXPECT_EQ(Check(EncryptionKind::kAge, {kA, "AGE-SECRET-KEY-1QQQ"}),
            "recipient 2 is a private key");
  EXPECT_EQ(Check(EncryptionKind::kAge, {"age1pq1xyz", kA}),
            "recipient 1 is a post-quantum key, which age before 1.3 cannot use");
}

// Any one letter changed, left out, doubled or swapped with the next.
TEST(Recipients, AgeChecksum) {
  const std::string wrong = "recipient 1 is no age recipient: its checksum or its form is wrong";
  for (std::size_t i = 0; i < kA.size(); ++i) {
    std::string key = kA;
    key[i] = key[i] == 'q' ? 'p' : 'q';
    EXPECT_EQ(Check(EncryptionKind::kAge, {key, kB}), wrong) << key;
    key = kA;
    key.erase(i, 1);
    EXPECT_EQ(Check(EncryptionKind::kAge, {key, kB}), wrong) << key;
    key = kA;
    key.insert(i, 1, kA[i]);
    EXPECT_EQ(Check(EncryptionKind::kAge, {key, kB}), wrong) << key;
    if (i + 1 < kA.size() && kA[i] != kA[i + 1]) {
      key = kA;
      std::swap(key[i], key[i + 1]);
      EXPECT_EQ(Check(EncryptionKind::kAge, {key, kB}), wrong) << key;
    }
  }
  for (const char* key : {"", "age", "age1", "ssh-ed25519 AAAA", "age1yubikey1qqqq", "--help"}) {
    EXPECT_EQ(Check(EncryptionKind::kAge, {key, kB}), wrong) << key;
  }
}

TEST(Recipients, Gpg) {
  EXPECT_EQ(Check(EncryptionKind::kGpg, {kF, kG}), "ok");
  EXPECT_EQ(Check(EncryptionKind::kGpg, {kF, "alice@example.org"}),
            "recipient 2 is no gpg fingerprint of 40 digits");
  EXPECT_EQ(Check(EncryptionKind::kGpg, {"89ABCDEF", kF}),
            "recipient 1 is no gpg fingerprint of 40 digits");
}

TEST(Recipients, None) {
  EXPECT_EQ(Check(EncryptionKind::kNone, {}), "ok");
  EXPECT_EQ(Check(EncryptionKind::kNone, {kA}), "recipients are given, but encryption is none");
}

TEST(Encryption, Commands) {
  Recipients recipients;
  recipients.keys = {kA, kB};
  EXPECT_EQ(EncryptArgv(recipients),
            (std::vector<std::string>{"age", "--encrypt", "--recipient", kA, "--recipient", kB}));
  recipients.kind = EncryptionKind::kGpg;
  recipients.keys = {kF};
  recipients.gpg_home = "/h";
  EXPECT_EQ(EncryptArgv(recipients),
            (std::vector<std::string>{"gpg", "--homedir", "/h", "--batch", "--no-tty", "--quiet",
                                      "--no-options", "--no-autostart", "--trust-model", "always",
                                      "--compress-algo", "none", "--encrypt", "--recipient", kF}));
  Identity identity;
  identity.path = "/k";
  EXPECT_EQ(DecryptArgv(identity),
            (std::vector<std::string>{"age", "--decrypt", "--identity", "/k"}));
  EXPECT_EQ(EncryptionSuffix(EncryptionKind::kAge), ".age");
  EXPECT_EQ(EncryptionSuffix(EncryptionKind::kNone), "");
}

}  // namespace
}  // namespace pgsteward
