#include "jobs/backup/dump_stream.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <system_error>
#include <thread>

#include "core/fd.h"
#include "core/sha256.h"
#include "core/zstd_encoder.h"
#include "jobs/backup/target_files.h"

namespace pgsteward {

namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;
constexpr std::size_t kKeptTail = 1024;
// Between the end of its output and of the process.
constexpr Duration kEndsWithin = std::chrono::seconds(60);
constexpr Duration kBrokenEndsWithin = std::chrono::seconds(10);
constexpr std::string_view kDumping = "dumping contents of table ";

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

struct Link {
  std::string name;
  std::unique_ptr<StreamChild> child;
  std::unique_ptr<StopSwitch::Attached> attached;
};

// The encrypted file: its digest, its size, its safety.
class FileToStore {
 public:
  explicit FileToStore(std::string path) : path_(std::move(path)) {}

  Result<void> Create() {
    file_ = Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    created_ = file_.open();
    return created_ ? Result<void>() : CannotDo("create", path_, errno);
  }
  Result<void> Add(std::span<const std::byte> bytes) {
    digest_.Add(bytes);
    size_ += bytes.size();
    if (const int failed = WriteAll(file_.get(), bytes); failed != 0) {
      return CannotDo("write", path_, failed);
    }
    return {};
  }
  Result<void> Finish() {
    if (::fsync(file_.get()) != 0) return CannotDo("sync", path_, errno);
    file_.Close();
    return {};
  }
  void Discard() {
    if (created_) ::unlink(path_.c_str());
  }
  std::uint64_t size() const { return size_; }
  std::string sha256() { return digest_.Finish(); }

 private:
  std::string path_;
  Fd file_;
  bool created_ = false;
  Sha256 digest_;
  std::uint64_t size_ = 0;
};

class DumpRun {
 public:
  DumpRun(DumpPlan plan, DumpProgress& progress, StopSwitch& stop)
      : plan_(std::move(plan)),
        progress_(progress),
        stop_(stop),
        file_(plan_.path),
        encoder_(plan_.compression_level, plan_.compression_threads) {}

  Result<Dumped> Run();

 private:
  std::optional<Error> StartAll();
  std::optional<Error> Start(Link& link, StreamChildSpec spec);
  StreamChildSpec Spec(const std::vector<std::string>& argv) const;
  // Empty when the source has ended and all of it went through.
  std::optional<Error> Pump();
  std::optional<Error> Take(std::span<const std::byte> bytes);
  Result<void> Store(std::span<const std::byte> bytes);
  void Drain();
  void Abort();
  // What the child says of its bad end; empty: it has ended well.
  std::optional<Error> EndOf(Link& link, Duration within);
  std::optional<Error> Ends();

  DumpPlan plan_;
  DumpProgress& progress_;
  StopSwitch& stop_;
  FileToStore file_;
  ZstdEncoder encoder_;
  Link source_, reader_, encrypt_;
  std::thread drain_;
  std::optional<Error> file_error_;  // of the draining thread; read after it was joined
  std::atomic<bool> file_failed_ = false;
  bool encrypt_broken_ = false;
  std::uint64_t read_ = 0;
  std::string tail_;  // the last bytes of the stream
};

StreamChildSpec DumpRun::Spec(const std::vector<std::string>& argv) const {
  StreamChildSpec spec(argv);
  spec.nice = plan_.nice;
  spec.idle_io = plan_.idle_io;
  return spec;
}

std::optional<Error> DumpRun::Start(Link& link, StreamChildSpec spec) {
  link.name = BaseName(spec.argv[0]);
  auto child = StreamChild::Start(std::move(spec));
  if (!child) return child.error();
  link.child = std::move(*child);
  link.attached = std::make_unique<StopSwitch::Attached>(stop_, *link.child);
  return std::nullopt;
}

std::optional<Error> DumpRun::StartAll() {
  const auto created = file_.Create();
  if (!created) return created.error();
  if (!plan_.encrypt.empty()) {
    if (auto failed = Start(encrypt_, Spec(plan_.encrypt))) return failed;
    drain_ = std::thread([this] { Drain(); });
  }
  if (!plan_.reader.empty()) {
    StreamChildSpec spec = Spec(plan_.reader);
    spec.output = StreamEnd::kNull;
    if (auto failed = Start(reader_, std::move(spec))) return failed;
  }
  StreamChildSpec spec = std::move(plan_.source);
  spec.input = StreamEnd::kNull;
  spec.nice = plan_.nice;
  spec.idle_io = plan_.idle_io;
  spec.on_error_line = [this](std::string_view line) {
    const auto at = line.find(kDumping);
    if (at != std::string_view::npos) {
      progress_.SetTable(std::string(line.substr(at + kDumping.size())));
    }
  };
  return Start(source_, std::move(spec));
}

// On a thread of its own: the encryption's output must go on while its input waits.
void DumpRun::Drain() {
  std::vector<std::byte> block(kBlock);
  for (;;) {
    const auto n = encrypt_.child->Read(block);
    if (!n || *n == 0) return;
    const auto stored = file_.Add(std::span(block.data(), *n));
    if (!stored) {
      file_error_ = stored.error();
      file_failed_ = true;
      // Wakes the other thread, which waits to write into it.
      encrypt_.child->Kill(SIGKILL);
      return;
    }
    progress_.stored_bytes += *n;
  }
}

Result<void> DumpRun::Store(std::span<const std::byte> bytes) {
  if (encrypt_.child) {
    auto written = encrypt_.child->Write(bytes);
    if (!written) encrypt_broken_ = true;
    return written;
  }
  auto stored = file_.Add(bytes);
  if (!stored) {
    file_error_ = stored.error();
    file_failed_ = true;
  }
  progress_.stored_bytes += bytes.size();
  return stored;
}

std::optional<Error> DumpRun::Take(std::span<const std::byte> bytes) {
  read_ += bytes.size();
  progress_.dump_bytes = read_;
  tail_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (tail_.size() > kKeptTail) tail_.erase(0, tail_.size() - kKeptTail);
  if (reader_.child) {
    const auto written = reader_.child->Write(bytes);
    if (!written) {
      if (stop_.stopped()) return Stopped();
      // Nothing is in the stream that it would not read.
      if (auto failed = EndOf(reader_, kBrokenEndsWithin)) return failed;
      return Error(Errc::kChildFailed, reader_.name + " did not read the dump to its end");
    }
  }
  const auto stored =
      encoder_.Add(bytes, [this](std::span<const std::byte> out) { return Store(out); });
  if (!stored) return stored.error();
  return std::nullopt;
}

std::optional<Error> DumpRun::Pump() {
  std::vector<std::byte> block(kBlock);
  for (;;) {
    const auto n = source_.child->Read(block);
    if (!n) return n.error();
    if (*n == 0) break;
    if (auto failed = Take(std::span(block.data(), *n))) return failed;
    if (stop_.stopped()) return Stopped();
  }
  // Before the rest: a dump that broke off must not look like one that nobody could read.
  if (auto failed = EndOf(source_, kEndsWithin)) return failed;
  if (read_ == 0) return Error(Errc::kChildFailed, source_.name + " wrote nothing");
  if (reader_.child) reader_.child->CloseInput();
  const auto stored = encoder_.End([this](std::span<const std::byte> out) { return Store(out); });
  if (!stored) return stored.error();
  return std::nullopt;
}

std::optional<Error> DumpRun::EndOf(Link& link, Duration within) {
  auto outcome = link.child->Wait(SteadyNow() + within);
  link.attached.reset();
  if (!outcome) return outcome.error();
  if (outcome->ok()) return std::nullopt;
  const std::string line = FirstErrorLine(outcome->error_output);
  std::string message = link.name;
  if (outcome->exit_code >= 0) {
    message += " failed (exit code " + std::to_string(outcome->exit_code) + ")";
  } else {
    message += " was ended by signal " + std::to_string(outcome->signal) + " (" +
               ::strsignal(outcome->signal) + ")";
  }
  if (!line.empty()) message += ": " + line;
  const bool lock = outcome->error_output.find("Query was: LOCK TABLE") != std::string::npos &&
                    outcome->error_output.find("timeout") != std::string::npos;
  return Error(lock ? Errc::kBusy : Errc::kChildFailed, std::move(message));
}

std::optional<Error> DumpRun::Ends() {
  if (encrypt_.child) {
    encrypt_.child->CloseInput();
    drain_.join();
    if (file_error_) return file_error_;
    if (auto failed = EndOf(encrypt_, kEndsWithin)) return failed;
  }
  if (file_error_) return file_error_;
  if (reader_.child) {
    if (auto failed = EndOf(reader_, kEndsWithin)) return failed;
  }
  if (!plan_.trailer.empty() && !EndsWithTrailer(tail_, plan_.trailer)) {
    return Error(Errc::kChildFailed,
                 "the output of " + source_.name + " does not end with \"" + plan_.trailer + "\"");
  }
  const auto synced = file_.Finish();
  if (!synced) return synced.error();
  return std::nullopt;
}

// Children first: the draining thread waits for one of them.
void DumpRun::Abort() {
  for (Link* link : {&source_, &reader_, &encrypt_}) {
    if (link->child) link->child->Kill(SIGKILL);
  }
  if (drain_.joinable()) drain_.join();
  for (Link* link : {&source_, &reader_, &encrypt_}) {
    link->attached.reset();
    link->child.reset();
  }
}

Result<Dumped> DumpRun::Run() {
  std::optional<Error> failed;
  if (stop_.stopped()) failed = Stopped();
  if (!failed) failed = StartAll();
  if (!failed) failed = Pump();
  if (!failed) failed = Ends();
  if (failed) {
    // The one that closed its input says why.
    if (encrypt_broken_ && !file_failed_ && !stop_.stopped()) {
      if (auto said = EndOf(encrypt_, kBrokenEndsWithin)) failed = said;
    }
    Abort();
    file_.Discard();
    if (stop_.stopped()) return Stopped();
    if (file_error_) return *file_error_;
    return *failed;
  }
  Abort();
  Dumped dumped;
  dumped.dump_bytes = read_;
  dumped.stored_bytes = file_.size();
  dumped.sha256 = file_.sha256();
  return dumped;
}

}  // namespace

std::string FirstErrorLine(std::string_view error_output) {
  constexpr std::string_view kMark = ": error: ";
  std::string_view last;
  for (std::string_view rest = error_output; !rest.empty();) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    const auto mark = line.find(kMark);
    if (mark != std::string_view::npos) return std::string(line.substr(mark + kMark.size()));
    if (!line.empty()) last = line;
  }
  return std::string(last);
}

bool EndsWithTrailer(std::string_view text, std::string_view trailer) {
  const auto at = text.rfind("\n" + std::string(trailer) + "\n");
  if (at == std::string_view::npos) return false;
  for (std::string_view rest = text.substr(at + trailer.size() + 2); !rest.empty();) {
    const auto end = rest.find('\n');
    if (end == std::string_view::npos) return false;
    const std::string_view line = rest.substr(0, end);
    if (!line.empty() && line != "--" && !line.starts_with("\\unrestrict ")) return false;
    rest = rest.substr(end + 1);
  }
  return true;
}

Result<Dumped> RunDump(DumpPlan plan, DumpProgress& progress, StopSwitch& stop) {
  // Of a child that closes its input; commands do not ignore it as the daemon does.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  // This thread and those that it starts (compression) are as nice as the programs.
  if (plan.nice > 0) {
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), plan.nice);
  }
  DumpRun run(std::move(plan), progress, stop);
  return run.Run();
}

}  // namespace pgsteward
