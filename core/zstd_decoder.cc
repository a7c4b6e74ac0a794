#include "core/zstd_decoder.h"

#include <zstd.h>

#include <new>

namespace pgsteward {

struct ZstdDecoder::State {
  State() : stream(ZSTD_createDStream()) {
    if (!stream) throw std::bad_alloc();
  }
  ~State() { ZSTD_freeDStream(stream); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  ZSTD_DStream* stream;
  bool open = false;
  bool seen = false;
};

ZstdDecoder::ZstdDecoder() : state_(std::make_unique<State>()) {}
ZstdDecoder::~ZstdDecoder() = default;

Result<ZstdDecoder::Step> ZstdDecoder::Decode(std::span<const std::byte> in,
                                              std::span<std::byte> into) {
  // Between frames zstd asks for the next one's head, which need not come.
  if (in.empty() && !state_->open) return Step();
  ZSTD_inBuffer input = {in.data(), in.size(), 0};
  ZSTD_outBuffer output = {into.data(), into.size(), 0};
  const std::size_t pending = ZSTD_decompressStream(state_->stream, &output, &input);
  if (ZSTD_isError(pending)) return Error(Errc::kQueryFailed, ZSTD_getErrorName(pending));
  state_->open = pending != 0;
  state_->seen = state_->seen || pending == 0;
  Step step;
  step.read = input.pos;
  step.written = output.pos;
  return step;
}

bool ZstdDecoder::complete() const { return state_->seen && !state_->open; }

}  // namespace pgsteward
