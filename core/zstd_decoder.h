// Decompression of streams: zstd frames, one after the other.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/error.h"

namespace pgsteward {

class ZstdDecoder {
 public:
  struct Step {
    std::size_t read = 0;
    std::size_t written = 0;
  };

  ZstdDecoder();
  ~ZstdDecoder();
  ZstdDecoder(const ZstdDecoder&) = delete;
  ZstdDecoder& operator=(const ZstdDecoder&) = delete;

  // As much as fits: call it again with what was not read. kQueryFailed: zstd's words.
  Result<Step> Decode(std::span<const std::byte> in, std::span<std::byte> into);
  // There was a frame, and none is open.
  bool complete() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pgsteward
