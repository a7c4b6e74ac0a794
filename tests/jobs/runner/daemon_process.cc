#include "tests/jobs/runner/daemon_process.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <stdexcept>

#include "core/host.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

using namespace std::chrono_literals;

struct DaemonProcess::Shared {
  std::atomic<int> state = static_cast<int>(JobsState::kConnecting);
};

namespace {

volatile std::sig_atomic_t told_to_stop = 0;

Task<void> ShowState(const Scheduler& scheduler, std::atomic<int>& state) {
  while (told_to_stop == 0) {
    state = static_cast<int>(scheduler.state());
    co_await SleepUntil(SteadyNow() + 10ms);
  }
}

// Leaves by _exit(): the parent's test framework and its objects are none of ours.
[[noreturn]] void RunDaemon(const SchedulerPolicy& policy, std::atomic<int>& state, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(3);
  ::signal(SIGTERM, [](int) { told_to_stop = 1; });
  try {
    Runtime runtime;
    Scheduler scheduler(runtime, policy);
    scheduler.Start();
    RunCoro(runtime, ShowState(scheduler, state));
    const bool ended = RunCoro(runtime, scheduler.Stop(SteadyNow() + 8s));
    ::_exit(ended ? 0 : 1);
  } catch (const std::exception&) {
    ::_exit(2);
  }
}

}  // namespace

DaemonProcess::DaemonProcess(const SchedulerPolicy& policy) {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  shared_ = new (memory) Shared;
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ == 0) RunDaemon(policy, shared_->state, parent);
}

DaemonProcess::~DaemonProcess() {
  Kill();
  ::munmap(shared_, sizeof(Shared));
}

bool DaemonProcess::Stop() {
  if (pid_ < 0) return false;
  ::kill(pid_, SIGTERM);
  return Reap();
}

void DaemonProcess::Kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  Reap();
}

void DaemonProcess::Freeze() const {
  if (pid_ < 0) throw std::logic_error("the daemon is gone");
  ::kill(pid_, SIGSTOP);
  ::waitpid(pid_, nullptr, WUNTRACED);  // from here on it does nothing
}

void DaemonProcess::Thaw() const {
  if (pid_ > 0) ::kill(pid_, SIGCONT);
}

bool DaemonProcess::Reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

JobsState DaemonProcess::state() const { return static_cast<JobsState>(shared_->state.load()); }

std::string DaemonProcess::holder() const { return HostName() + ":" + std::to_string(pid_) + ":%"; }

}  // namespace pgsteward
