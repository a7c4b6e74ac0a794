#include "jobs/backup/stored_stream.h"

#include <atomic>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "core/stream_child.h"
#include "core/zstd_decoder.h"
#include "jobs/backup/stored_file.h"

namespace pgsteward {

namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;
constexpr Duration kEndTakesAtMost = std::chrono::minutes(1);

Error Bad(std::string what) { return Error(Errc::kQueryFailed, std::move(what)); }

// The file's bytes go into the decryption on a thread of their own. It reads the file to its end
// whatever becomes of the decryption: a wrong checksum is the better explanation.
class Decryption {
 public:
  Decryption(StoredFile& file, std::unique_ptr<StreamChild> child, StopSwitch& stop)
      : file_(file), child_(std::move(child)), stop_(stop), attached_(stop, *child_) {
    feeder_ = std::thread([this] { Feed(); });
  }
  ~Decryption() {
    abandoned_ = true;
    child_->Kill(SIGKILL);
    Join();
  }
  Decryption(const Decryption&) = delete;
  Decryption& operator=(const Decryption&) = delete;

  Result<std::size_t> Read(std::span<std::byte> into) {
    auto n = child_->Read(into);
    if (n && *n > 0) return n;
    if (const std::optional<Error> fault = Fault()) return *fault;
    return std::size_t{0};
  }

  std::optional<Error> Fault() {
    if (ended_) return fault_;
    ended_ = true;
    std::vector<std::byte> rest(kBlock);
    // Until it ends, so that the feeder can end.
    for (auto n = child_->Read(rest); n && *n > 0;) n = child_->Read(rest);
    Join();
    auto outcome = child_->Wait(SteadyNow() + kEndTakesAtMost);
    if (stop_.stopped()) {
      fault_ = Stopped();
    } else if (file_fault_) {
      fault_ = file_fault_;
    } else if (!outcome) {
      fault_ = outcome.error();
    } else if (!outcome->ok()) {
      std::string why = outcome->error_output;
      why.erase(why.find_last_not_of(" \r\n") + 1);
      fault_ = Bad("cannot be decrypted: " + (why.empty() ? "no reason given" : why));
    }
    return fault_;
  }

 private:
  void Join() {
    if (feeder_.joinable()) feeder_.join();
  }
  void Feed() {
    std::vector<std::byte> block(kBlock);
    bool wanted = true;
    while (!stop_.stopped() && !abandoned_) {
      auto n = file_.Read(block);
      if (!n) file_fault_ = n.error();
      if (!n || *n == 0) break;
      if (wanted) wanted = child_->Write(std::span(block).first(*n)).has_value();
    }
    child_->CloseInput();
  }

  StoredFile& file_;
  std::unique_ptr<StreamChild> child_;
  StopSwitch& stop_;
  StopSwitch::Attached attached_;
  std::optional<Error> file_fault_;  // the feeder's, until it is joined
  std::optional<Error> fault_;
  bool ended_ = false;
  std::atomic<bool> abandoned_ = false;
  std::thread feeder_;
};

class Stream : public StoredStream {
 public:
  Stream(BackupFile file, StopSwitch& stop) : file_(std::move(file)), stop_(stop), block_(kBlock) {}

  Result<void> Start(const std::string& folder, std::unique_ptr<StreamChild> child) {
    auto opened = file_.Open(folder);
    if (opened && child) decryption_ = std::make_unique<Decryption>(file_, std::move(child), stop_);
    return opened;
  }

  Result<std::size_t> Read(std::span<std::byte> into) override {
    for (;;) {
      if (stop_.stopped()) return Stopped();
      // Also without more input: there may be output that did not fit.
      auto step = decoder_.Decode(rest_, into);
      if (!step) {
        if (const std::optional<Error> fault = Fault()) return *fault;
        return Bad("cannot be decompressed: " + step.error().message);
      }
      rest_ = rest_.subspan(step->read);
      if (step->written > 0) return step->written;
      if (!rest_.empty()) continue;
      auto n = decryption_ ? decryption_->Read(block_) : file_.Read(block_);
      if (!n) return n;
      if (*n == 0 && !decoder_.complete()) return Bad("ends in the middle of its compressed data");
      if (*n == 0) return std::size_t{0};
      rest_ = std::span<const std::byte>(block_).first(*n);
    }
  }

  std::optional<Error> Fault() override {
    if (decryption_) return decryption_->Fault();
    for (;;) {
      if (stop_.stopped()) return Stopped();
      auto n = file_.Read(block_);
      if (!n) return n.error();
      if (*n == 0) return std::nullopt;
    }
  }
  std::uint64_t stored_bytes() const override { return file_.bytes(); }

 private:
  StoredFile file_;
  StopSwitch& stop_;
  std::unique_ptr<Decryption> decryption_;
  ZstdDecoder decoder_;
  std::vector<std::byte> block_;
  std::span<const std::byte> rest_;  // of the block
};

bool Encrypted(const std::string& name) {
  return name.ends_with(EncryptionSuffix(EncryptionKind::kAge)) ||
         name.ends_with(EncryptionSuffix(EncryptionKind::kGpg));
}

}  // namespace

Result<std::unique_ptr<StoredStream>> StoredStream::Open(const std::string& folder, BackupFile file,
                                                         const std::optional<Identity>& identity,
                                                         StopSwitch& stop) {
  std::unique_ptr<StreamChild> child;
  if (Encrypted(file.name)) {
    if (!identity) {
      return Error(Errc::kBadConfig, "is encrypted, and there is no identity to decrypt it with");
    }
    if (!file.name.ends_with(EncryptionSuffix(identity->kind))) {
      return Error(Errc::kBadConfig, "is not encrypted by " +
                                         std::string(EncryptionName(identity->kind)) +
                                         ", which the identity is for");
    }
    StreamChildSpec spec(DecryptArgv(*identity));
    auto started = StreamChild::Start(std::move(spec));
    if (!started) return started.error();
    child = std::move(*started);
  }
  auto stream = std::make_unique<Stream>(std::move(file), stop);
  auto opened = stream->Start(folder, std::move(child));
  if (!opened) return opened.error();
  return std::unique_ptr<StoredStream>(std::move(stream));
}

Result<void> CheckStoredFile(const std::string& folder, const BackupFile& file, StopSwitch& stop) {
  StoredFile stored(file);
  auto opened = stored.Open(folder);
  if (!opened) return opened;
  std::vector<std::byte> block(kBlock);
  for (;;) {
    if (stop.stopped()) return Stopped();
    auto n = stored.Read(block);
    if (!n) return n.error();
    if (*n == 0) return Result<void>();
  }
}

}  // namespace pgsteward
