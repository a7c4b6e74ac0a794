#include "core/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "core/fd.h"

namespace pgsteward {

namespace {

constexpr std::size_t kBlock = std::size_t{1} << 20;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Only a library without SHA-256 (a broken provider) comes here.
void Must(int done) {
  if (done != 1) throw std::runtime_error("libcrypto computes no SHA-256");
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, FreeDigest> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (!state_->context) throw std::bad_alloc();
  Must(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::Add(std::span<const std::byte> bytes) {
  Must(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  Must(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size));
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

std::string Sha256Of(std::string_view text) {
  Sha256 digest;
  digest.Add(std::as_bytes(std::span(text.data(), text.size())));
  return digest.Finish();
}

Result<std::string> Sha256OfFile(const std::string& path) {
  const auto cannot = [&](int failed) {
    return Error(failed == ENOENT ? Errc::kNoData : Errc::kUnavailable,
                 "cannot read " + path + ": " + std::generic_category().message(failed));
  };
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return cannot(errno);
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 digest;
  std::vector<std::byte> block(kBlock);
  for (;;) {
    const ssize_t n = ::read(file.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cannot(errno);
    if (n == 0) return digest.Finish();
    digest.Add(std::span(block.data(), static_cast<std::size_t>(n)));
  }
}

}  // namespace pgsteward
