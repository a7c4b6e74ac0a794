// SHA-256 of streams and files.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Add(std::span<const std::byte> bytes);
  // 64 lowercase hexadecimal digits; nothing may be added afterwards.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string Sha256Of(std::string_view text);
// Blocks. kNoData: no such file; kUnavailable: it could not be read.
Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace pgsteward
