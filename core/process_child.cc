#include "core/process_child.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <vector>

namespace pgsteward {

namespace {

// How long a destructor, which can only block, waits for a killed child.
constexpr int kBlockedKillMilliseconds = 1000;
// What one turn of the loop moves through one pipe: a flood must not starve the others.
constexpr std::size_t kBytesPerTurn = std::size_t{256} << 10;

struct Pipe {
  Fd reader;
  Fd writer;

  bool Open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    const Fd low_reader(ends[0]);
    const Fd low_writer(ends[1]);
    // Above the standard ones, which may be closed in us: the child's are set up one by one.
    reader = Fd(::fcntl(low_reader.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    writer = Fd(::fcntl(low_writer.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    return reader.open() && writer.open();
  }
};

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

class SpawnSetup {
 public:
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    // An ignored signal stays ignored over exec, and we ignore SIGPIPE.
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnSetup() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  // The child's standard files; `input` may be closed for /dev/null. 0 or an errno.
  int Run(const ProcessSpec& spec, const Fd& input, const Fd& output, const Fd& error, pid_t* pid) {
    if (input.open()) {
      ::posix_spawn_file_actions_adddup2(&actions_, input.get(), STDIN_FILENO);
    } else {
      ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    ::posix_spawn_file_actions_adddup2(&actions_, output.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, error.get(), STDERR_FILENO);
    // Ours are all close-on-exec; a library's may not be.
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    return ::posix_spawnp(pid, spec.argv[0].c_str(), &actions_, &attributes_,
                          Pointers(spec.argv).data(), Pointers(spec.environment).data());
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

ProcessChild::~ProcessChild() {
  if (pid_ < 0) return;
  SignalGroup(SIGKILL);
  if (!exit_.open()) {
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    return;
  }
  pollfd end = {exit_.get(), POLLIN, 0};
  while (::poll(&end, 1, kBlockedKillMilliseconds) < 0 && errno == EINTR) {
  }
  siginfo_t info = {};
  ::waitid(P_PIDFD, static_cast<id_t>(exit_.get()), &info, WEXITED | WNOHANG);
}

Error ProcessChild::CannotStart(int failed) const {
  const std::string why = failed == ENOENT ? "not found" : std::generic_category().message(failed);
  return Error(Errc::kChildFailed, "cannot start " + spec_.argv[0] + ": " + why);
}

std::optional<Error> ProcessChild::Start() {
  Pipe input;
  Pipe output;
  Pipe error;
  watch_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!watch_.open() || !output.Open() || !error.Open()) return CannotStart(errno);
  if (!spec_.input.empty() && !input.Open()) return CannotStart(errno);

  started_at_ = SteadyNow();
  const int failed = SpawnSetup().Run(spec_, input.reader, output.writer, error.writer, &pid_);
  if (failed != 0) {
    pid_ = -1;
    return CannotStart(failed);
  }
  exit_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  input_ = std::move(input.writer);
  output_ = std::move(output.reader);
  error_ = std::move(error.reader);
  // Each end of a pipe has its own flag: the child's ends stay blocking.
  for (const Fd* fd : {&input_, &output_, &error_}) {
    if (fd->open()) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  }
  const bool watched = exit_.open() && Watch(exit_, EPOLLIN) && Watch(output_, EPOLLIN) &&
                       Watch(error_, EPOLLIN) && (!input_.open() || Watch(input_, EPOLLOUT));
  if (!watched) return CannotStart(errno);
  return std::nullopt;
}

bool ProcessChild::Watch(const Fd& fd, std::uint32_t events) const {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd.get();
  return ::epoll_ctl(watch_.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0;
}

void ProcessChild::Drop(Fd& fd) const {
  ::epoll_ctl(watch_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
  fd.Close();
}

void ProcessChild::Pump() {
  std::array<epoll_event, 4> events;
  const int count = ::epoll_wait(watch_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const int fd = events[static_cast<std::size_t>(i)].data.fd;
    if (fd == input_.get()) {
      Feed();
    } else if (fd == output_.get()) {
      Read(output_, output_tail_);
    } else if (fd == error_.get()) {
      Read(error_, error_tail_);
    } else {
      // Stays readable: watched on, it would make every further wait return at once.
      ::epoll_ctl(watch_.get(), EPOLL_CTL_DEL, fd, nullptr);
      exited_ = true;
      exited_at_ = SteadyNow();
    }
  }
}

void ProcessChild::Feed() {
  const std::size_t end = std::min(spec_.input.size(), fed_ + kBytesPerTurn);
  while (fed_ < end) {
    const ssize_t n = ::write(input_.get(), spec_.input.data() + fed_, end - fed_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    // EPIPE: the child does not want the rest.
    if (n < 0) return Drop(input_);
    fed_ += static_cast<std::size_t>(n);
  }
  if (fed_ == spec_.input.size()) Drop(input_);
}

void ProcessChild::Read(Fd& fd, Tail& tail) const {
  std::array<char, std::size_t{64} << 10> buffer;
  for (std::size_t taken = 0; taken < kBytesPerTurn;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return Drop(fd);
    tail.Append(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
    taken += static_cast<std::size_t>(n);
  }
}

// The leader is not reaped yet, so its number cannot be another's.
void ProcessChild::SignalGroup(int signal) const { ::kill(-pid_, signal); }

Result<ProcessOutcome> ProcessChild::Reap() {
  siginfo_t info = {};
  int failed = 0;
  do {
    failed = ::waitid(P_PIDFD, static_cast<id_t>(exit_.get()), &info, WEXITED);
  } while (failed != 0 && errno == EINTR);
  pid_ = -1;
  if (failed != 0) {
    return Error(Errc::kChildFailed, "the exit code of " + spec_.argv[0] +
                                         " is lost: " + std::generic_category().message(errno));
  }
  ProcessOutcome outcome;
  (info.si_code == CLD_EXITED ? outcome.exit_code : outcome.signal) = info.si_status;
  outcome.output_bytes = output_tail_.total();
  outcome.error_output_bytes = error_tail_.total();
  outcome.output = output_tail_.Take();
  outcome.error_output = error_tail_.Take();
  outcome.duration = exited_at_ - started_at_;
  return outcome;
}

std::string ProcessChild::LastErrorLine() {
  std::string text = error_tail_.Take();
  text.erase(text.find_last_not_of(" \r\n") + 1);
  return text.substr(text.find_last_of("\r\n") + 1);
}

}  // namespace pgsteward
