#include "jobs/pii/secret_file.h"

#include <strings.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <utility>

#include "core/utf8.h"

namespace pgsteward {

namespace {

constexpr std::size_t kLongest = 4096;

Error Bad(const std::string& path, const std::string& what) {
  return Error(Errc::kBadConfig, "key file " + path + " " + what, {},
               "Put the key on one line of a file that only pgsteward may read.");
}

bool IsLineEnd(char c) { return c == '\n' || c == '\r'; }

}  // namespace

void Secret::Wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

Secret::Secret(Secret&& other) noexcept : text_(other.text_) { Wipe(other.text_); }

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe(text_);
    text_ = other.text_;
    Wipe(other.text_);
  }
  return *this;
}

Result<Secret> ReadSecretFile(const std::string& path) {
  std::error_code failed;
  // A pipe would keep us waiting.
  if (!std::filesystem::is_regular_file(path, failed)) return Bad(path, "is not there");
  std::ifstream file(path, std::ios::binary);
  std::array<char, kLongest + 3> buffer{};
  file.read(buffer.data(), buffer.size());
  std::string text(buffer.data(), static_cast<std::size_t>(file.gcount()));
  ::explicit_bzero(buffer.data(), buffer.size());
  if (!file.is_open()) return Bad(path, "cannot be read");
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty() && text.back() == '\r') text.pop_back();
  Secret secret(std::move(text));
  const std::string& key = secret.text();
  if (key.empty()) return Bad(path, "is empty or cannot be read");
  if (key.size() > kLongest) return Bad(path, "is longer than 4096 bytes");
  for (const char c : key) {
    if (IsLineEnd(c)) return Bad(path, "has more than one line");
    if (c == '\0') return Bad(path, "is not text");
  }
  if (ValidUtf8(key) != key) return Bad(path, "is not UTF-8");
  return secret;
}

}  // namespace pgsteward
