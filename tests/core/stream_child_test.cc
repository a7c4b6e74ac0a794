#include "core/stream_child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

Deadline In(Duration d) { return SteadyNow() + d; }

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class StreamChildTest : public testing::Test {
 protected:
  void SetUp() override {
    old_sigpipe_ = std::signal(SIGPIPE, SIG_IGN);
    open_files_ = OpenFiles();
  }
  void TearDown() override {
    EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD)
        << "a child or a zombie is left";
    EXPECT_EQ(OpenFiles(), open_files_);
    std::signal(SIGPIPE, old_sigpipe_);
  }

  static int OpenFiles() {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<int>(std::distance(begin(files), end(files)));
  }
  static StreamChildSpec Shell(std::string script) {
    return StreamChildSpec({"/bin/sh", "-c", std::move(script)});
  }
  static std::unique_ptr<StreamChild> Start(StreamChildSpec spec) {
    auto child = StreamChild::Start(std::move(spec));
    if (!child) throw std::runtime_error(ToText(child.error()));
    return std::move(*child);
  }
  static std::string ReadAll(StreamChild& child) {
    std::string all;
    std::vector<std::byte> block(65536);
    for (;;) {
      const auto n = child.Read(block);
      if (!n) return all + "|" + n.error().message;
      if (*n == 0) return all;
      all.append(reinterpret_cast<const char*>(block.data()), *n);
    }
  }
  static std::string OutputOf(StreamChildSpec spec) {
    spec.input = StreamEnd::kNull;
    const auto child = Start(std::move(spec));
    const std::string output = ReadAll(*child);
    const auto outcome = child->Wait(In(10s));
    if (!outcome) return ToText(outcome.error());
    EXPECT_EQ(outcome->exit_code, 0) << outcome->error_output;
    return output;
  }

 private:
  void (*old_sigpipe_)(int) = nullptr;
  int open_files_ = 0;
};

TEST_F(StreamChildTest, MegabytesGoThroughBothPipes) {
  const auto child = Start(StreamChildSpec({"cat"}));
  std::string sent;
  for (int i = 0; sent.size() < (8U << 20); ++i) sent += std::to_string(i) + "\n";
  std::thread writer([&] {
    EXPECT_TRUE(child->Write(Bytes(sent)));
    child->CloseInput();
  });
  const std::string back = ReadAll(*child);
  writer.join();
  EXPECT_TRUE(back == sent);
  const auto outcome = child->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->ok());
}

TEST_F(StreamChildTest, HowItEnds) {
  auto outcome = Start(Shell("exit 7"))->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 7);
  outcome = Start(Shell("kill -USR1 $$"))->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, -1);
  EXPECT_EQ(outcome->signal, SIGUSR1);
}

TEST_F(StreamChildTest, CannotBeStarted) {
  auto child = StreamChild::Start(StreamChildSpec({"no-such-program-here", "x"}));
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Errc::kChildFailed);
  EXPECT_EQ(child.error().message, "cannot start no-such-program-here: not found");
  child = StreamChild::Start(StreamChildSpec({"/etc/passwd"}));
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message, "cannot start /etc/passwd: Permission denied");
  child = StreamChild::Start(StreamChildSpec({}));
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message, "no program to start");
}

TEST_F(StreamChildTest, ClosedInput) {
  const auto child = Start(Shell("exec 0<&-; exit 5"));
  const std::string much(8U << 20, 'x');
  const auto written = child->Write(Bytes(much));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kChildFailed);
  EXPECT_EQ(written.error().message, "/bin/sh has closed its input");
  const auto outcome = child->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 5);
}

TEST_F(StreamChildTest, ErrorLinesAndTheirTail) {
  std::mutex mutex;
  std::vector<std::string> lines;
  StreamChildSpec spec = Shell("echo one >&2; echo; echo two >&2; printf three >&2");
  spec.max_error_output = 6;
  spec.on_error_line = [&](std::string_view line) {
    const std::lock_guard guard(mutex);
    lines.emplace_back(line);
  };
  const auto child = Start(std::move(spec));
  EXPECT_EQ(ReadAll(*child), "\n");
  const auto outcome = child->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error_output, "\nthree");
  EXPECT_EQ(outcome->error_output_bytes, 13U);
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(StreamChildTest, NullEnds) {
  StreamChildSpec spec({"readlink", "/proc/self/fd/0"});
  EXPECT_EQ(OutputOf(std::move(spec)), "/dev/null\n");
  spec = Shell("exec 3>&1 >&2; readlink /proc/self/fd/3");
  spec.output = StreamEnd::kNull;
  spec.input = StreamEnd::kNull;
  const auto outcome = Start(std::move(spec))->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error_output, "/dev/null\n");
}

TEST_F(StreamChildTest, InheritsWhatItIsGivenAndNothingElse) {
  const int leaky = ::open("/dev/null", O_RDONLY);
  const int memory = ::memfd_create("given", MFD_CLOEXEC);
  ASSERT_EQ(::write(memory, "hello", 5), 5);
  StreamChildSpec spec({"cat", "/proc/self/fd/5"});
  spec.inherited.push_back({memory, 5});
  EXPECT_EQ(OutputOf(spec), "hello");
  spec.argv = {"ls", "/proc/self/fd"};
  EXPECT_EQ(OutputOf(std::move(spec)), "0\n1\n2\n3\n5\n");  // 3 is the folder that ls reads
  ::close(memory);
  ::close(leaky);
}

TEST_F(StreamChildTest, NiceAndIdle) {
  StreamChildSpec spec = Shell("nice; ionice -p $$");
  spec.nice = 5;
  spec.idle_io = true;
  EXPECT_EQ(OutputOf(std::move(spec)), "5\nidle\n");
}

TEST_F(StreamChildTest, SignalsAreDefaultAndUnblocked) {
  EXPECT_EQ(OutputOf(StreamChildSpec({"grep", "-E", "SigBlk|SigIgn", "/proc/self/status"})),
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(StreamChildTest, EnvironmentIsTheGivenOne) {
  StreamChildSpec spec({"env"});
  spec.environment = {"A=1", "B=two words"};
  EXPECT_EQ(OutputOf(std::move(spec)), "A=1\nB=two words\n");
}

TEST_F(StreamChildTest, DeadlineKillsTheGroup) {
  const auto child = Start(Shell("echo waiting >&2; sleep 1000 & sleep 1000"));
  const SteadyTime start = SteadyNow();
  const auto outcome = child->Wait(In(50ms));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kTimeout);
  EXPECT_EQ(outcome.error().message, "/bin/sh was stopped at its deadline: waiting");
  EXPECT_LT(SteadyNow() - start, 5s);
  EXPECT_FALSE(child->Wait(In(1s)));
}

// A thread that waits in Read comes back although a process of another session holds the pipe.
TEST_F(StreamChildTest, KillWakesAReader) {
  const auto child = Start(Shell("setsid sleep 3 & wait"));
  std::string got;
  std::thread reader([&] { got = ReadAll(*child); });
  std::this_thread::sleep_for(50ms);  // the reader waits
  const SteadyTime start = SteadyNow();
  child->Kill(SIGKILL);
  reader.join();
  EXPECT_LT(SteadyNow() - start, 1s);
  EXPECT_EQ(got, "|/bin/sh was stopped");
  const auto outcome = child->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->signal, SIGKILL);
  EXPECT_LT(SteadyNow() - start, 2500ms);
}

TEST_F(StreamChildTest, TermLetsItTakeItsLeave) {
  const auto child = Start(Shell("trap 'echo bye; exit 3' TERM; echo ready; read x"));
  std::vector<std::byte> block(100);
  ASSERT_TRUE(child->Read(block));
  child->Kill(SIGTERM);
  EXPECT_EQ(ReadAll(*child), "bye\n");
  const auto outcome = child->Wait(In(10s));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 3);
  child->Kill(SIGKILL);  // nobody's number any more
}

TEST_F(StreamChildTest, DestructionKills) {
  std::string pid;
  {
    const auto child = Start(Shell("echo $$; exec sleep 1000"));
    std::vector<std::byte> block(100);
    const auto n = child->Read(block);
    ASSERT_TRUE(n);
    pid.assign(reinterpret_cast<const char*>(block.data()), *n - 1);
    EXPECT_TRUE(std::filesystem::exists("/proc/" + pid));
  }
  EXPECT_FALSE(std::filesystem::exists("/proc/" + pid));
}

// Whoever kills us, the children go along.
TEST_F(StreamChildTest, DiesWithItsParent) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    const auto child = StreamChild::Start(Shell("echo $$; exec sleep 1000"));
    std::vector<std::byte> block(100);
    const auto n = (*child)->Read(block);
    [[maybe_unused]] const auto told = ::write(ends[1], block.data(), *n);
    ::pause();
  }
  char pid[100] = {};
  ASSERT_GT(::read(ends[0], pid, sizeof pid - 1), 1);
  const std::string folder = "/proc/" + std::to_string(std::atoi(pid));
  EXPECT_TRUE(std::filesystem::exists(folder));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  const auto running = [&] {
    std::ifstream stat(folder + "/stat");
    std::string number, name, state;
    return static_cast<bool>(stat >> number >> name >> state) && state != "Z";
  };
  for (int i = 0; i < 100 && running(); ++i) std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(running());
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace pgsteward
