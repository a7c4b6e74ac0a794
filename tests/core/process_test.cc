#include "core/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/task_group.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::StartsWith;

Deadline In(Duration d) { return SteadyNow() + d; }

bool HasChildren() { return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

int OpenFiles() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<int>(std::distance(begin(files), end(files)));
}

class Process : public testing::Test {
 protected:
  void SetUp() override {
    old_sigpipe_ = std::signal(SIGPIPE, SIG_IGN);
    ASSERT_FALSE(HasChildren());
    RunCoro(runtime_, SleepUntil(SteadyNow()));  // the loop has opened its own files
    open_files_ = OpenFiles();
  }
  void TearDown() override {
    EXPECT_FALSE(HasChildren()) << "a child or a zombie is left";
    EXPECT_EQ(OpenFiles(), open_files_);
    std::signal(SIGPIPE, old_sigpipe_);
  }

  Result<ProcessOutcome> Run(ProcessSpec spec, Duration limit = 30s) {
    return RunCoro(runtime_, RunProcess(runtime_, std::move(spec), In(limit)));
  }
  // For children that must end well and silently on standard error.
  std::string OutputOf(ProcessSpec spec) {
    const auto outcome = Run(std::move(spec));
    if (!outcome) return ToText(outcome.error());
    EXPECT_EQ(outcome->exit_code, 0);
    EXPECT_EQ(outcome->error_output, "");
    return outcome->output;
  }
  static ProcessSpec Shell(std::string script) {
    return ProcessSpec({"/bin/sh", "-c", std::move(script)});
  }

  Runtime runtime_;

 private:
  void (*old_sigpipe_)(int) = nullptr;
  int open_files_ = 0;
};

// While one lives, processes whose parent has ended become ours, so that we see how they end.
class Orphanage {
 public:
  Orphanage() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~Orphanage() { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }

  // The signals that ended the orphans; waits for them, 0 for one that exited.
  static std::vector<int> Signals() {
    std::vector<int> signals;
    int status = 0;
    while (::waitpid(-1, &status, 0) > 0) {
      signals.push_back(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return signals;
  }
};

TEST_F(Process, ExitCodes) {
  for (const int code : {0, 1, 7, 255}) {
    const auto outcome = Run(Shell("exit " + std::to_string(code)));
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->exit_code, code);
    EXPECT_EQ(outcome->signal, 0);
    EXPECT_EQ(outcome->ok(), code == 0);
  }
}

TEST_F(Process, EndedByASignal) {
  for (const int signal : {SIGTERM, SIGKILL, SIGUSR1}) {
    const auto outcome = Run(Shell("kill -" + std::to_string(signal) + " $$"));
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->exit_code, -1);
    EXPECT_EQ(outcome->signal, signal);
    EXPECT_FALSE(outcome->ok());
  }
}

TEST_F(Process, BothOutputsAndTheDuration) {
  const SteadyTime start = SteadyNow();
  const auto outcome = Run(Shell("echo out; echo err >&2; sleep 0.02; echo more; exit 3"));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->output, "out\nmore\n");
  EXPECT_EQ(outcome->output_bytes, 9U);
  EXPECT_EQ(outcome->error_output, "err\n");
  EXPECT_EQ(outcome->error_output_bytes, 4U);
  EXPECT_EQ(outcome->exit_code, 3);
  EXPECT_GE(outcome->duration, 20ms);
  EXPECT_LE(outcome->duration, SteadyNow() - start);
}

TEST_F(Process, ArgumentsGoThroughNoShell) {
  EXPECT_EQ(OutputOf(ProcessSpec({"printf", "%s|", "a b", "$HOME", "", "*", "'\";\n"})),
            "a b|$HOME||*|'\";\n|");
}

TEST_F(Process, NotFound) {
  const auto by_name = Run(ProcessSpec({"no-such-program-here", "secret"}));
  ASSERT_FALSE(by_name);
  EXPECT_EQ(by_name.error().code, Errc::kChildFailed);
  EXPECT_EQ(by_name.error().message, "cannot start no-such-program-here: not found");
  const auto by_path = Run(ProcessSpec({"/nonexistent/program"}));
  ASSERT_FALSE(by_path);
  EXPECT_EQ(by_path.error().code, Errc::kChildFailed);
  EXPECT_EQ(by_path.error().message, "cannot start /nonexistent/program: not found");
}

TEST_F(Process, NotExecutable) {
  const auto outcome = Run(ProcessSpec({"/etc/passwd"}));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kChildFailed);
  EXPECT_EQ(outcome.error().message, "cannot start /etc/passwd: Permission denied");
}

TEST_F(Process, NoProgram) {
  const auto outcome = Run(ProcessSpec({}));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().message, "no program to start");
}

// ---- input and output ----

TEST_F(Process, OnlyTheEndOfABigOutputIsKept) {
  ProcessSpec spec = Shell(
      "head -c 10000000 /dev/zero | tr '\\0' x; echo end;"
      "head -c 10000000 /dev/zero | tr '\\0' y >&2; echo fin >&2");
  spec.max_output = 1000;
  spec.max_error_output = 10;
  const auto outcome = Run(std::move(spec));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_EQ(outcome->output, std::string(996, 'x') + "end\n");
  EXPECT_EQ(outcome->output_bytes, 10000004U);
  EXPECT_EQ(outcome->error_output, "yyyyyyfin\n");
  EXPECT_EQ(outcome->error_output_bytes, 10000004U);
}

TEST_F(Process, InputIsDevNullByDefault) {
  EXPECT_EQ(OutputOf(ProcessSpec({"readlink", "/proc/self/fd/0"})), "/dev/null\n");
  EXPECT_EQ(OutputOf(ProcessSpec({"cat"})), "");
}

TEST_F(Process, MegabyteOfInputComesBack) {
  ProcessSpec spec({"cat"});
  for (int i = 0; spec.input.size() < (1U << 20); ++i) spec.input += std::to_string(i) + "\n";
  const std::string sent = spec.input;
  spec.max_output = 2U << 20;
  const auto outcome = Run(std::move(spec));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_TRUE(outcome->output == sent);  // EXPECT_EQ would print both
}

TEST_F(Process, ChildMayLeaveItsInputUnread) {
  ProcessSpec spec = Shell("exec 0<&-; sleep 0.02; exit 5");
  spec.input.assign(1U << 20, 'x');
  const auto outcome = Run(std::move(spec));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 5);
}

Task<void> CountTurns(int& turns) {
  for (;;) {
    co_await SleepUntil(In(1ms));
    ++turns;
  }
}

TEST_F(Process, LoopIsNotBlockedMeanwhile) {
  TaskGroup group(runtime_);
  int turns = 0;
  group.Spawn("turns", CountTurns(turns));
  // Reads nothing of its input and writes nothing for 60 ms.
  ProcessSpec spec = Shell("sleep 0.06; cat >/dev/null");
  spec.input.assign(1U << 20, 'x');
  EXPECT_TRUE(Run(std::move(spec)));
  EXPECT_GE(turns, 10);
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime_, group.Join(In(5s))));
}

// ---- what the child inherits ----

TEST_F(Process, NoFileOfOursIsInherited) {
  const int leaky = ::open("/dev/null", O_RDONLY);
  ProcessSpec spec({"ls", "/proc/self/fd"});
  spec.input = "x";
  // 3 is the folder that ls reads.
  EXPECT_EQ(OutputOf(std::move(spec)), "0\n1\n2\n3\n");
  ::close(leaky);
}

TEST_F(Process, SignalsAreDefaultAndUnblocked) {
  sigset_t blocked;
  sigset_t old_mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);
  const std::string status =
      OutputOf(ProcessSpec({"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}));
  unsigned long long blocked_bits = 1;
  unsigned long long ignored_bits = 1;
  EXPECT_EQ(std::sscanf(status.c_str(), "SigBlk: %llx SigIgn: %llx", &blocked_bits, &ignored_bits),
            2)
      << status;
  EXPECT_EQ(blocked_bits, 0U);
  // 1 to 31: glibc itself has the child ignore its two internal ones.
  EXPECT_EQ(ignored_bits & 0x7fffffffU, 0U);
  ::pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
}

TEST_F(Process, GroupOfItsOwn) {
  // Fields of /proc/PID/stat: 1 the process, 5 its group.
  EXPECT_EQ(OutputOf(Shell("read -r pid name state parent group rest < /proc/self/stat;"
                           "test $pid = $group && test $group != " +
                           std::to_string(::getpgrp()) + " && echo own")),
            "own\n");
}

TEST_F(Process, EnvironmentGivenExplicitly) {
  ProcessSpec spec({"env"});
  spec.environment = {"PGPASSFILE=/run/x", "A=b=c"};
  EXPECT_EQ(OutputOf(std::move(spec)), "PGPASSFILE=/run/x\nA=b=c\n");
}

TEST_F(Process, InheritedEnvironmentWithoutSecrets) {
  const std::vector<std::string> secrets = {
      "PGPASSWORD=x",        "AWS_SECRET_ACCESS_KEY=x",   "MY_TOKEN=x",
      "RCLONE_CONFIG_PASS=", "DB_URL=postgres://u:p@h/d", "DB_DSN=host=h password=x"};
  const std::vector<std::string> others = {"PGPASSFILE=/run/x", "LINK=postgres://u@h:5432/d:e@f",
                                           "EMPTY="};
  for (const auto* entries : {&secrets, &others}) {
    for (const std::string& entry : *entries) {
      const auto equals = entry.find('=');
      ::setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
    }
  }
  const auto inherited = InheritedEnvironment();
  for (const std::string& entry : secrets) EXPECT_THAT(inherited, Not(Contains(entry)));
  for (const std::string& entry : others) EXPECT_THAT(inherited, Contains(entry));
  EXPECT_THAT(inherited, Contains(StartsWith("PATH=")));
  const std::string output = OutputOf(ProcessSpec({"env"}));
  EXPECT_THAT(output, testing::HasSubstr("PGPASSFILE=/run/x\n"));
  EXPECT_THAT(output, Not(testing::HasSubstr("PGPASSWORD")));
  for (const auto* entries : {&secrets, &others}) {
    for (const std::string& entry : *entries) ::unsetenv(entry.substr(0, entry.find('=')).c_str());
  }
}

// ---- the deadline ----

TEST_F(Process, StoppedAtItsDeadline) {
  const SteadyTime start = SteadyNow();
  const auto outcome = Run(ProcessSpec({"sleep", "1000"}), 50ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kTimeout);
  EXPECT_EQ(outcome.error().message, "sleep was stopped at its deadline");
  EXPECT_GE(SteadyNow() - start, 50ms);
  EXPECT_LT(SteadyNow() - start, 1500ms) << "TERM was enough, no grace of 2 s";
}

TEST_F(Process, DeadlineThatHasPassedStartsNothing) {
  const auto outcome = Run(ProcessSpec({"sleep", "1000"}), 0ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kTimeout);
  EXPECT_EQ(outcome.error().message, "sleep was not started: its deadline has passed");
}

TEST_F(Process, ExitAfterTermIsATimeoutWithTheLastErrorLine) {
  // 300 ms: the shell must have set its trap by then, also on a busy machine.
  const auto outcome =
      Run(Shell("trap 'echo first >&2; echo leaving >&2; exit 0' TERM; sleep 1000 & wait"), 300ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kTimeout);
  EXPECT_EQ(outcome.error().message, "/bin/sh was stopped at its deadline: leaving");
}

TEST_F(Process, WholeGroupThatIgnoresTermIsKilledAfterTheGrace) {
  const Orphanage orphanage;
  ProcessSpec spec = Shell("trap '' TERM; sleep 1000 & wait");
  spec.grace = 300ms;
  const SteadyTime start = SteadyNow();
  // 300 ms: as above; the grace comes after it.
  const auto outcome = Run(std::move(spec), 300ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kTimeout);
  EXPECT_GE(SteadyNow() - start, 600ms);
  EXPECT_LT(SteadyNow() - start, 5s);
  EXPECT_THAT(Orphanage::Signals(), ElementsAre(SIGKILL)) << "the grandchild";
}

TEST_F(Process, EndlessOutputDoesNotPutOffTheDeadline) {
  const SteadyTime start = SteadyNow();
  const auto outcome = Run(ProcessSpec({"yes"}), 50ms);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kTimeout);
  EXPECT_LT(SteadyNow() - start, 1500ms);
}

// ---- descendants that stay ----

TEST_F(Process, DescendantOfAChildThatEndedIsKilled) {
  const Orphanage orphanage;
  const SteadyTime start = SteadyNow();
  EXPECT_EQ(OutputOf(Shell("sleep 1000 >/dev/null 2>&1 & echo done")), "done\n");
  EXPECT_LT(SteadyNow() - start, 1500ms) << "it held no pipe, so there was nothing to wait for";
  EXPECT_THAT(Orphanage::Signals(), ElementsAre(SIGKILL));
}

TEST_F(Process, DescendantThatHoldsTheOutputIsListenedToForTheGrace) {
  const Orphanage orphanage;
  ProcessSpec spec = Shell("(sleep 0.05; echo late; exec sleep 1000) & echo done");
  spec.grace = 500ms;  // against 50 ms, on a busy machine
  const SteadyTime start = SteadyNow();
  EXPECT_EQ(OutputOf(std::move(spec)), "done\nlate\n");
  EXPECT_GE(SteadyNow() - start, 500ms);
  EXPECT_LT(SteadyNow() - start, 5s);
  EXPECT_THAT(Orphanage::Signals(), Contains(SIGKILL));
}

// ---- cancellation ----

Task<void> RunAndNote(Runtime& runtime, ProcessSpec spec, bool& came_back) {
  co_await RunProcess(runtime, std::move(spec), In(1h));
  came_back = true;
}

// Waits until `path` is there; its content.
std::string ContentOnceThere(Runtime& runtime, const std::string& path) {
  const Deadline deadline = In(10s);
  while (!std::filesystem::exists(path) && SteadyNow() < deadline) {
    RunCoro(runtime, SleepUntil(In(2ms)));
  }
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class CancelledProcess : public Process {
 protected:
  void SetUp() override {
    char name[] = "/tmp/process_test.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    Process::SetUp();
  }
  void TearDown() override {
    Process::TearDown();
    std::filesystem::remove_all(folder_);
  }
  std::string folder_;
};

TEST_F(CancelledProcess, GetsTermAndLeavesNothing) {
  // The shell's fork may swallow a TERM before it becomes sleep: it must not hold the output.
  ProcessSpec spec =
      Shell("trap 'echo bye > bye; exit' TERM; : > up; sleep 1000 >/dev/null 2>&1 & wait");
  spec.argv[2] = "cd " + folder_ + "; " + spec.argv[2];
  TaskGroup group(runtime_);
  bool came_back = false;
  group.Spawn("child", RunAndNote(runtime_, std::move(spec), came_back));
  ContentOnceThere(runtime_, folder_ + "/up");
  EXPECT_TRUE(HasChildren());
  const SteadyTime start = SteadyNow();
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime_, group.Join(In(10s))));
  EXPECT_LT(SteadyNow() - start, 1500ms);
  EXPECT_FALSE(came_back);
  EXPECT_FALSE(HasChildren());
  EXPECT_EQ(ContentOnceThere(runtime_, folder_ + "/bye"), "bye\n");
}

TEST_F(CancelledProcess, IgnoresTermAndIsKilledThoughStoppedTwice) {
  const Orphanage orphanage;
  ProcessSpec spec = Shell("trap '' TERM; sleep 1000 & : > " + folder_ + "/up; wait");
  spec.grace = 50ms;
  TaskGroup group(runtime_);
  bool came_back = false;
  group.Spawn("child", RunAndNote(runtime_, std::move(spec), came_back));
  ContentOnceThere(runtime_, folder_ + "/up");
  const SteadyTime start = SteadyNow();
  group.Stop();
  RunCoro(runtime_, SleepUntil(In(5ms)));
  EXPECT_THAT(group.Running(), ElementsAre("child")) << "the grace runs";
  group.Stop();
  EXPECT_TRUE(RunCoro(runtime_, group.Join(In(10s))));
  EXPECT_GE(SteadyNow() - start, 50ms);
  EXPECT_FALSE(came_back);
  EXPECT_THAT(Orphanage::Signals(), ElementsAre(SIGKILL));
}

TEST_F(CancelledProcess, KilledWhenTheLoopIsDestroyed) {
  const Orphanage orphanage;
  bool came_back = false;
  {
    Runtime runtime;
    ProcessSpec spec = Shell("trap '' TERM; sleep 1000 & : > " + folder_ + "/up; wait");
    // Not a TaskGroup: it must not be destroyed while it has tasks.
    boost::asio::co_spawn(runtime.loop, RunAndNote(runtime, std::move(spec), came_back),
                          [](std::exception_ptr) {});
    ContentOnceThere(runtime, folder_ + "/up");
    EXPECT_TRUE(HasChildren());
  }
  EXPECT_FALSE(came_back);
  EXPECT_THAT(Orphanage::Signals(), ElementsAre(SIGKILL)) << "the child was reaped already";
}

}  // namespace
}  // namespace pgsteward
