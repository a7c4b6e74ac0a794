// Compression of streams: one zstd frame with a checksum, by threads of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/error.h"

namespace pgsteward {

class ZstdEncoder {
 public:
  using Sink = std::function<Result<void>(std::span<const std::byte>)>;

  // `threads` 0: in the caller's own. Levels are 1 to 19.
  ZstdEncoder(int level, int threads);
  ~ZstdEncoder();
  ZstdEncoder(const ZstdEncoder&) = delete;
  ZstdEncoder& operator=(const ZstdEncoder&) = delete;

  // An error is the sink's, or kUnavailable: no memory.
  Result<void> Add(std::span<const std::byte> bytes, const Sink& sink);
  // Once, at the end.
  Result<void> End(const Sink& sink);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pgsteward
