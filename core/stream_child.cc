#include "core/stream_child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/process_child.h"

namespace pgsteward {

namespace {

// Ours stand above what a child may inherit under a number of its own.
constexpr int kAboveInherited = 64;
constexpr int kPipeBytes = 1 << 20;
// A process in an uninterruptible wait of the kernel does not die of KILL before that wait ends.
constexpr auto kKillTakesAtMost = std::chrono::seconds(5);
// How long descendants outside the group that hold standard error are listened to.
constexpr auto kErrorGrace = std::chrono::seconds(1);
constexpr std::size_t kLongestLine = 4096;
// linux/ioprio.h is not in the C library: class idle in the upper three bits.
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioIdle = 3 << 13;
constexpr int kCannotExec = 127;

Fd High(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, kAboveInherited)); }

struct StreamPipe {
  Fd reader;
  Fd writer;

  bool Open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    const Fd low_reader(ends[0]);
    const Fd low_writer(ends[1]);
    reader = High(low_reader.get());
    writer = High(low_writer.get());
    // As large as one may: a stream of gigabytes goes through, each turn costs two switches.
    if (writer.open()) ::fcntl(writer.get(), F_SETPIPE_SZ, kPipeBytes);
    return reader.open() && writer.open();
  }
};

int Milliseconds(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyNow()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 1'000'000'000));
}

// False at the deadline.
bool PollUntil(int fd, Deadline deadline) {
  for (;;) {
    pollfd one = {fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, Milliseconds(deadline));
    if (ready > 0) return true;
    if (ready == 0 && SteadyNow() >= deadline) return false;
  }
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child does between fork and exec. Only system calls: another thread may hold any lock
// of the C library.
struct Launch {
  pid_t parent = ::getpid();
  int input = -1;  // -1: /dev/null
  int output = -1;
  int error = -1;
  int status = -1;
  std::vector<std::pair<int, int>> inherited;
  int nice = 0;
  bool idle_io = false;
  std::vector<char*> argv;
  std::vector<char*> environment;

  [[noreturn]] void Fail() const {
    const int failed = errno;
    [[maybe_unused]] const auto told = ::write(status, &failed, sizeof failed);
    ::_exit(kCannotExec);
  }
  void Put(int fd, int as) const {
    const int flags = (as == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_CLOEXEC;
    const int from = fd >= 0 ? fd : ::open("/dev/null", flags);
    if (from < 0 || (from != as && ::dup2(from, as) < 0)) Fail();
  }

  [[noreturn]] void Run() const {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(kCannotExec);
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    if (nice != 0) {
      ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + nice);
    }
    if (idle_io) ::syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, kIoprioIdle);
    // Ours are close-on-exec already; a library's may not be.
    ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    Put(input, STDIN_FILENO);
    Put(output, STDOUT_FILENO);
    Put(error, STDERR_FILENO);
    for (const auto& [fd, as] : inherited) {
      if (::dup2(fd, as) < 0) Fail();
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execvpe(argv[0], argv.data(), environment.data());
    Fail();
  }
};

// While one lives, this thread and those it starts get no signal.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &old_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t old_;
};

class Child : public StreamChild {
 public:
  explicit Child(StreamChildSpec spec)
      : spec_(std::move(spec)), name_(spec_.argv[0]), error_tail_(spec_.max_error_output) {}
  ~Child() override;

  std::optional<Error> Launch();

  Result<std::size_t> Read(std::span<std::byte> into) override;
  Result<void> Write(std::span<const std::byte> bytes) override;
  void CloseInput() override { input_.Close(); }
  void Kill(int signal) override;
  Result<ProcessOutcome> Wait(Deadline deadline) override;

 private:
  Error CannotStart(int failed) const;
  Error Stopped() const { return Error(Errc::kChildFailed, name_ + " was stopped"); }
  // False: woken by Kill(SIGKILL).
  bool Ready(const Fd& fd, short events) const;
  void ReadErrors();
  void EndErrors();
  Result<ProcessOutcome> Reap();

  StreamChildSpec spec_;
  std::string name_;
  std::mutex alive_;  // guards pid_: a number that is reaped may be another's
  pid_t pid_ = -1;
  Fd exit_;  // the pidfd
  Fd killed_;
  Fd errors_end_;
  Fd input_;
  Fd output_;
  Fd error_;
  Tail error_tail_;
  std::thread errors_;
  SteadyTime started_at_;
};

Child::~Child() {
  if (pid_ < 0) return;
  Kill(SIGKILL);
  input_.Close();
  output_.Close();
  if (exit_.open()) PollUntil(exit_.get(), SteadyNow() + kKillTakesAtMost);
  Reap();
}

Error Child::CannotStart(int failed) const {
  const std::string why = failed == ENOENT ? "not found" : std::generic_category().message(failed);
  return Error(Errc::kChildFailed, "cannot start " + name_ + ": " + why);
}

std::optional<Error> Child::Launch() {
  StreamPipe input;
  StreamPipe output;
  StreamPipe error;
  StreamPipe status;
  killed_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  errors_end_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!killed_.open() || !errors_end_.open()) return CannotStart(errno);
  if (!error.Open() || !status.Open()) return CannotStart(errno);
  if (spec_.input == StreamEnd::kPipe && !input.Open()) return CannotStart(errno);
  if (spec_.output == StreamEnd::kPipe && !output.Open()) return CannotStart(errno);
  std::vector<Fd> held;
  struct Launch launch;
  for (const StreamChildSpec::Inherited& each : spec_.inherited) {
    held.push_back(High(each.fd));
    if (!held.back().open()) return CannotStart(errno);
    launch.inherited.emplace_back(held.back().get(), each.as);
  }
  launch.input = input.reader.get();
  launch.output = output.writer.get();
  launch.error = error.writer.get();
  launch.status = status.writer.get();
  launch.nice = spec_.nice;
  launch.idle_io = spec_.idle_io;
  launch.argv = Pointers(spec_.argv);
  launch.environment = Pointers(spec_.environment);

  started_at_ = SteadyNow();
  const SignalsBlocked blocked;
  const pid_t pid = ::fork();
  if (pid == 0) launch.Run();
  if (pid < 0) return CannotStart(errno);
  pid_ = pid;
  ::setpgid(pid, pid);  // also here: Kill must not come before the child has done it
  status.writer.Close();
  int failed = 0;
  ssize_t told = 0;
  do {
    told = ::read(status.reader.get(), &failed, sizeof failed);
  } while (told < 0 && errno == EINTR);
  if (told == sizeof failed) {
    Reap();
    return CannotStart(failed);
  }
  exit_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!exit_.open()) return CannotStart(errno);
  input_ = std::move(input.writer);
  output_ = std::move(output.reader);
  error_ = std::move(error.reader);
  for (const Fd* fd : {&input_, &output_, &error_}) {
    if (fd->open()) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  }
  errors_ = std::thread([this] { ReadErrors(); });
  return std::nullopt;
}

bool Child::Ready(const Fd& fd, short events) const {
  std::array<pollfd, 2> both = {pollfd{fd.get(), events, 0}, pollfd{killed_.get(), POLLIN, 0}};
  while (::poll(both.data(), both.size(), -1) < 0 && errno == EINTR) {
  }
  return both[1].revents == 0;
}

Result<std::size_t> Child::Read(std::span<std::byte> into) {
  for (;;) {
    const ssize_t n = ::read(output_.get(), into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      return Error(Errc::kChildFailed, "cannot read the output of " + name_ + ": " +
                                           std::generic_category().message(errno));
    }
    if (!Ready(output_, POLLIN)) return Stopped();
  }
}

Result<void> Child::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(input_.get(), bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EPIPE) return Error(Errc::kChildFailed, name_ + " has closed its input");
    if (errno != EAGAIN) {
      return Error(Errc::kChildFailed,
                   "cannot write to " + name_ + ": " + std::generic_category().message(errno));
    }
    if (!Ready(input_, POLLOUT)) return Stopped();
  }
  return {};
}

void Child::Kill(int signal) {
  const std::lock_guard guard(alive_);
  if (pid_ < 0) return;
  ::kill(-pid_, signal);
  if (signal == SIGKILL) ::eventfd_write(killed_.get(), 1);
}

void Child::ReadErrors() {
  std::string line;
  const auto tell = [&] {
    if (spec_.on_error_line && !line.empty()) spec_.on_error_line(line);
    line.clear();
  };
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t n = ::read(error_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      std::array<pollfd, 2> both = {pollfd{error_.get(), POLLIN, 0},
                                    pollfd{errors_end_.get(), POLLIN, 0}};
      while (::poll(both.data(), both.size(), -1) < 0 && errno == EINTR) {
      }
      if (both[0].revents == 0) break;
      continue;
    }
    if (n <= 0) break;
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
    error_tail_.Append(bytes);
    for (const char c : bytes) {
      if (c == '\n') {
        tell();
      } else if (line.size() < kLongestLine) {
        line += c;
      }
    }
  }
  tell();
}

void Child::EndErrors() {
  if (!errors_.joinable()) return;
  // Ends by itself with the last holder of standard error; a stranger may hold it for long.
  PollUntil(error_.get(), SteadyNow() + kErrorGrace);
  ::eventfd_write(errors_end_.get(), 1);
  errors_.join();
}

Result<ProcessOutcome> Child::Reap() {
  siginfo_t info = {};
  int failed = 0;
  {
    const std::lock_guard guard(alive_);
    // What is left of the group; the leader is not reaped yet, so its number cannot be another's.
    ::kill(-pid_, SIGKILL);
    do {
      failed = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
    } while (failed != 0 && errno == EINTR);
    pid_ = -1;
  }
  const SteadyTime ended = SteadyNow();
  EndErrors();
  if (failed != 0) {
    return Error(Errc::kChildFailed, "the exit code of " + name_ +
                                         " is lost: " + std::generic_category().message(errno));
  }
  ProcessOutcome outcome;
  (info.si_code == CLD_EXITED ? outcome.exit_code : outcome.signal) = info.si_status;
  outcome.error_output_bytes = error_tail_.total();
  outcome.error_output = error_tail_.Take();
  outcome.duration = ended - started_at_;
  return outcome;
}

Result<ProcessOutcome> Child::Wait(Deadline deadline) {
  if (pid_ < 0) return Error(Errc::kChildFailed, name_ + " has been waited for already");
  if (PollUntil(exit_.get(), deadline)) return Reap();
  Kill(SIGKILL);
  PollUntil(exit_.get(), SteadyNow() + kKillTakesAtMost);
  const auto outcome = Reap();
  if (!outcome) return outcome;
  std::string text = outcome->error_output;
  text.erase(text.find_last_not_of(" \r\n") + 1);
  const std::string line = text.substr(text.find_last_of("\r\n") + 1);
  return Error(Errc::kTimeout,
               name_ + " was stopped at its deadline" + (line.empty() ? "" : ": " + line));
}

}  // namespace

Result<std::unique_ptr<StreamChild>> StreamChild::Start(StreamChildSpec spec) {
  if (spec.argv.empty()) return Error(Errc::kChildFailed, "no program to start");
  auto child = std::make_unique<Child>(std::move(spec));
  const std::optional<Error> failed = child->Launch();
  if (failed) return *failed;
  return std::unique_ptr<StreamChild>(std::move(child));
}

}  // namespace pgsteward
