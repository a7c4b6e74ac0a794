#include "core/sha256.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace pgsteward {
namespace {

// FIPS 180-4's examples.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(Sha256Of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Of(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, InPieces) {
  Sha256 digest;
  for (const char& c : std::string_view("abc")) digest.Add(std::as_bytes(std::span(&c, 1)));
  EXPECT_EQ(digest.Finish(), Sha256Of("abc"));
}

TEST(Sha256, Files) {
  char path[] = "/tmp/sha256_test.XXXXXX";
  ::close(::mkstemp(path));
  const std::string text(3'000'001, 'x');
  std::ofstream(path) << text;
  const auto digest = Sha256OfFile(path);
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, Sha256Of(text));
  ::unlink(path);
  const auto none = Sha256OfFile(path);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::kNoData);
  const auto folder = Sha256OfFile("/tmp");
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, Errc::kUnavailable);
  EXPECT_EQ(folder.error().message, "cannot read /tmp: Is a directory");
}

}  // namespace
}  // namespace pgsteward
