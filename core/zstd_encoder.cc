#include "core/zstd_encoder.h"

#include <zstd.h>

#include <new>
#include <string>

namespace pgsteward {

namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

}  // namespace

struct ZstdEncoder::State {
  std::unique_ptr<ZSTD_CCtx, FreeContext> context{ZSTD_createCCtx()};
  std::vector<std::byte> block = std::vector<std::byte>(ZSTD_CStreamOutSize());

  Result<void> Step(std::span<const std::byte> bytes, ZSTD_EndDirective end, const Sink& sink) {
    ZSTD_inBuffer input = {bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer output = {block.data(), block.size(), 0};
      const std::size_t left = ZSTD_compressStream2(context.get(), &output, &input, end);
      if (ZSTD_isError(left)) {
        return Error(Errc::kUnavailable,
                     std::string("cannot compress: ") + ZSTD_getErrorName(left));
      }
      if (output.pos > 0) {
        const auto taken = sink(std::span<const std::byte>(block.data(), output.pos));
        if (!taken) return taken;
      }
      if (end == ZSTD_e_end ? left == 0 : input.pos == input.size) return {};
    }
  }
};

ZstdEncoder::ZstdEncoder(int level, int threads) : state_(std::make_unique<State>()) {
  if (!state_->context) throw std::bad_alloc();
  ZSTD_CCtx* context = state_->context.get();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  // A library built without threads refuses, and goes on with one.
  ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, threads);
}

ZstdEncoder::~ZstdEncoder() = default;

Result<void> ZstdEncoder::Add(std::span<const std::byte> bytes, const Sink& sink) {
  return state_->Step(bytes, ZSTD_e_continue, sink);
}

Result<void> ZstdEncoder::End(const Sink& sink) { return state_->Step({}, ZSTD_e_end, sink); }

}  // namespace pgsteward
