// Each fault leaves the previous backup whole and no half of one published, and the next run
// succeeds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "jobs/backup/publication.h"
#include "tests/jobs/backup/taking_fixture.h"
#include "tests/support/failing_calls.h"
#include "tests/support/spawn.h"

namespace pgsteward {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::AnyOf;
using testing::HasSubstr;

class TakingFault : public TakingTest {
 protected:
  void SetUp() override {
    TakingTest::SetUp();
    if (HasFatalFailure()) return;
    Exec(
        "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 30) AS t FROM generate_series(1, "
        "40000) n");
    ASSERT_EQ(Take().Text(), "ok");
  }
  // One good backup, or so many, and nothing else.
  void ExpectOnly(std::size_t whole) {
    const auto backups = Backups();
    ASSERT_EQ(backups.size(), whole);
    for (const FoundBackup& backup : backups) EXPECT_EQ(Whole(backup), "");
    EXPECT_EQ(ReadPlace(Place())->foreign.size(), 0U);
    ExpectNothingLeft();
  }
  void ExpectRecovers(std::size_t whole) {
    EXPECT_EQ(Take().Text(), "ok");
    ExpectOnly(whole);
  }
  // Children of this process whose program is `name`.
  static std::vector<pid_t> Children(const std::string& name) {
    std::vector<pid_t> found;
    for (const auto& each : fs::directory_iterator("/proc")) {
      const pid_t pid = std::atoi(each.path().filename().c_str());
      if (pid <= 0) continue;
      std::ifstream stat(each.path() / "stat");
      std::string number, comm, state;
      pid_t parent = 0;
      std::ifstream command(each.path() / "cmdline");
      std::string argv;
      std::getline(command, argv);
      std::replace(argv.begin(), argv.end(), '\0', ' ');
      // Not the preflight's, which ask for the version.
      if (stat >> number >> comm >> state >> parent && parent == ::getpid() &&
          comm == "(" + name + ")" && argv.find("--version") == std::string::npos) {
        found.push_back(pid);
      }
    }
    return found;
  }
};

TEST_F(TakingFault, ChildrenAreKilled) {
  int killed = 0;
  for (const std::string name : {"pg_dump", "age", "pg_restore"}) {
    for (int after = 0; after < 3; ++after) {
      bool done = false;
      std::thread killer([&] {
        for (int i = 0; i < 2000 && !done; ++i) {
          const auto found = Children(name);
          if (!found.empty()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(after * 15));
            done = ::kill(found.front(), SIGKILL) == 0;
            return;
          }
          std::this_thread::sleep_for(1ms);
        }
      });
      const RunResult result = Take();
      killer.join();
      if (result.outcome) {  // it was killed too late, or of the globals only
        const auto backups = Backups();
        fs::remove_all(backups.back().folder);
      } else {
        ++killed;
        EXPECT_THAT(result.outcome.error().message,
                    HasSubstr(name + " was ended by signal 9 (Killed)"));
      }
      ExpectOnly(1);
    }
  }
  EXPECT_GE(killed, 3);
  ExpectRecovers(2);
}

TEST_F(TakingFault, EveryCallFailsOnce) {
  int calls = 0;
  {
    const FailingCalls counting(target_, 0, 0);
    ASSERT_EQ(Take().Text(), "ok");
    calls = counting.calls();
  }
  fs::remove_all(Backups().back().folder);
  ASSERT_GT(calls, 20);
  // Many writes are of the same file: all of the first and last calls, and some in between.
  for (int nth = 1; nth <= calls; nth += nth < 12 || nth > calls - 22 ? 1 : 7) {
    const int error = nth % 2 == 0 ? ENOSPC : EIO;
    std::string failed;
    RunResult result;
    {
      const FailingCalls failing(target_, nth, error);
      result = Take();
      failed = failing.failed();
    }
    if (failed.empty()) {  // this run had fewer calls
      for (std::size_t i = 1; i < Backups().size(); i = 1) fs::remove_all(Backups().back().folder);
      continue;
    }
    SCOPED_TRACE(std::to_string(nth) + " " + failed + ": " + result.Text());
    const auto backups = Backups();
    for (const FoundBackup& backup : backups) EXPECT_EQ(Whole(backup), "");
    if (!result.outcome) {
      // What is published although a later sync failed is whole, and said to be published.
      if (backups.size() == 2) {
        EXPECT_THAT(result.outcome.error().message,
                    HasSubstr("is published, but perhaps not safe"));
      }
    }
    if (backups.size() == 2) fs::remove_all(backups.back().folder);
    ASSERT_GE(backups.size(), 1U);
    ASSERT_LE(backups.size(), 2U);
  }
  ExpectRecovers(2);
}

TEST_F(TakingFault, FullTarget) {
  for (const char* size : {"64k", "400k", "900k", "2m"}) {
    const std::string small = folder_ + "/small";
    fs::create_directory(small);
    if (::mount("tmpfs", small.c_str(), "tmpfs", 0, (std::string("size=") + size).c_str()) != 0) {
      GTEST_SKIP() << "may not mount a tmpfs";
    }
    ::chmod(small.c_str(), 0700);
    ASSERT_TRUE(MakeSentinel(small));
    // Enough of it for the prediction, too little for the dump.
    Exec("ALTER TABLE big ALTER t SET STORAGE EXTERNAL");
    const RunResult result = Take({{"target", small}});
    if (!result.outcome) {
      EXPECT_THAT(result.outcome.error().message,
                  AnyOf(HasSubstr("No space left on device"), HasSubstr("the target has ")));
      EXPECT_THAT(result.outcome.error().hint, HasSubstr("Free space in"));
      EXPECT_EQ(ListOf(small + "/hub%2F1/.partial"), "");
      const BackupPlace place{small, "hub/1"};
      EXPECT_EQ(ReadPlace(place)->backups.size(), 0U);
    }
    ::umount2(small.c_str(), MNT_DETACH);
  }
  ExpectRecovers(2);
}

TEST_F(TakingFault, LockedTable) {
  PgClient holder = Connect();
  holder.Exec("SET application_name = 'migration'");
  holder.Exec("BEGIN");
  holder.Exec("ALTER TABLE public.big ADD COLUMN more int");
  // The watch looks every second.
  RunResult result = Take({{"lock_wait", "3s"}, {"lock_attempts", "2"}});
  ASSERT_FALSE(result.outcome);
  EXPECT_EQ(result.outcome.error().code, Errc::kBusy);
  EXPECT_THAT(result.outcome.error().message, HasSubstr("is held by pid "));
  EXPECT_THAT(result.outcome.error().message, HasSubstr("migration, idle in transaction"));
  ExpectOnly(1);
  holder.Exec("ROLLBACK");
  ExpectRecovers(2);
}

// At once, with no backend that goes on waiting.
TEST_F(TakingFault, CancelledWhileItWaitsForALock) {
  PgClient holder = Connect();
  holder.Exec("BEGIN");
  holder.Exec("LOCK TABLE public.big IN ACCESS EXCLUSIVE MODE");
  const SteadyTime start = SteadyNow();
  control_.on_stop_reason = [&]() -> std::string {
    return SteadyNow() - start > 2s ? "cancelled" : "";
  };
  const RunResult result = Take({{"lock_wait", "600s"}});
  EXPECT_EQ(result.Text(), "partial cancelled");
  EXPECT_LT(SteadyNow() - start, 30s);
  control_.on_stop_reason = nullptr;
  ExpectOnly(1);
  holder.Exec("ROLLBACK");
  ExpectRecovers(2);
}

TEST_F(TakingFault, ServerStops) {
  bool stopped = false;
  control_.on_progress = [&](const JobReport& report) {
    if (stopped || report.details.count("table") == 0) return;
    stopped = true;
    Postgres().Stop(PrivatePostgres::StopMode::kImmediate);
  };
  const RunResult result = Take();
  control_.on_progress = nullptr;
  if (stopped) {
    EXPECT_FALSE(result.outcome);
    Postgres().Start();
  }
  const std::size_t whole = stopped ? 1 : 2;
  ExpectOnly(whole);
  ExpectRecovers(whole + 1);
}

TEST_F(TakingFault, BackendIsTerminated) {
  bool done = false;
  control_.on_progress = [&](const JobReport& report) {
    if (done || report.details.count("table") == 0) return;
    done = Postgres().TerminateBackends("application_name LIKE 'pgsteward-backup:%'") > 0;
  };
  const RunResult result = Take();
  control_.on_progress = nullptr;
  const std::size_t whole = result.outcome ? 2 : 1;
  if (!result.outcome) {
    EXPECT_THAT(result.outcome.error().message, HasSubstr("pg_dump failed (exit code 1): "));
  }
  ExpectOnly(whole);
  ExpectRecovers(whole + 1);
}

TEST_F(TakingFault, ARightIsLostMeanwhile) {
  Postgres().Exec("CREATE ROLE saver LOGIN BYPASSRLS; GRANT pg_read_all_data TO saver");
  Exec(
      "GRANT USAGE ON SCHEMA pgsteward TO saver; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL "
      "TABLES "
      "IN SCHEMA pgsteward TO saver");
  user_ = "saver";
  bool revoked = false;
  control_.on_progress = [&](const JobReport& report) {
    if (revoked || report.details.count("table") == 0) return;
    revoked = true;
    Postgres().Exec("REVOKE pg_read_all_data FROM saver");
  };
  const RunResult result = Take();
  control_.on_progress = nullptr;
  const std::size_t whole = result.outcome ? 2 : 1;
  if (!result.outcome) {
    EXPECT_THAT(result.outcome.error().message, HasSubstr("permission denied for "));
  }
  ExpectOnly(whole);
  Postgres().Exec("GRANT pg_read_all_data TO saver");
  ExpectRecovers(whole + 1);
  user_ = "postgres";
  Exec("DROP OWNED BY saver");
  Postgres().Exec("DROP ROLE saver");
}

TEST_F(TakingFault, TablesComeAndGo) {
  std::atomic<bool> stop = false;
  std::atomic<std::chrono::milliseconds> pause = 2ms;
  std::thread changes([&] {
    PgClient client = Connect();
    for (int i = 0; !stop; ++i) {
      const std::string name = "t" + std::to_string(i % 5);
      client.Exec("DROP TABLE IF EXISTS " + name + "; CREATE TABLE " + name + " AS SELECT 1 AS a");
      std::this_thread::sleep_for(pause.load());
    }
  });
  // In each moment at which a dump begins: nobody waits long, and the reason is named.
  const RunResult given_up = Take({{"lock_attempts", "2"}, {"lock_wait", "600s"}});
  ASSERT_FALSE(given_up.outcome);
  EXPECT_EQ(given_up.outcome.error().code, Errc::kBusy);
  ExpectOnly(1);
  pause = 2000ms;
  for (int i = 0; i < 3; ++i) {
    const RunResult result = Take({{"lock_attempts", "10"}});
    EXPECT_EQ(result.Text(), "ok");
  }
  stop = true;
  changes.join();
  for (const FoundBackup& backup : Backups()) EXPECT_EQ(Whole(backup), "");
  ExpectRecovers(Backups().size() + 1);
}

// They would wait behind pg_dump, and our count behind them.
TEST_F(TakingFault, ChangesOfTablesWaitForTheCount) {
  PgClient migration = Connect();
  bool sent = false;
  control_.on_progress = [&](const JobReport& report) {
    if (sent || report.details.at("dump_bytes") == "0") return;
    sent = true;
    migration.ExecAsync("ALTER TABLE public.users ADD COLUMN meanwhile int");
  };
  const SteadyTime start = SteadyNow();
  EXPECT_EQ(Take().Text(), "ok");
  EXPECT_LT(SteadyNow() - start, 25s);  // a count that waits is given up after 30
  control_.on_progress = nullptr;
  if (sent) migration.Get();
  ExpectOnly(2);
  ExpectRecovers(3);
}

TEST_F(TakingFault, LostLease) {
  control_.lose_lease_at = control_.fences + 2;
  const RunResult result = Take();
  ASSERT_FALSE(result.outcome);
  EXPECT_EQ(result.outcome.error().code, Errc::kBusy);
  control_.lose_lease_at = 0;
  ExpectOnly(1);
  ExpectRecovers(2);
}

// A daemon that is killed leaves its partial folder, and no child; the next run removes it.
TEST_F(TakingFault, DaemonIsKilled) {
  for (int i = 0; i < 3; ++i) {
    const pid_t daemon = ::fork();
    if (daemon == 0) {
      Take();
      ::_exit(0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 120 * i));
    ::kill(daemon, SIGKILL);
    ::waitpid(daemon, nullptr, 0);
    for (const FoundBackup& backup : Backups()) EXPECT_EQ(Whole(backup), "");
  }
  const std::size_t before = Backups().size();
  EXPECT_EQ(Take().Text(), "ok");
  ExpectOnly(before + 1);
}

TEST_F(TakingFault, SweepLeavesTheLivingAlone) {
  const std::string id = NewBackupId(WallNow());
  auto living = PartialBackup::Begin(Place(), id);
  ASSERT_TRUE(living);
  ASSERT_TRUE((*living)->Write("x", "text"));
  const std::string dead = NewBackupId(WallNow());
  fs::create_directories(Place().Partial(dead));
  std::ofstream(Place().Partial(dead) + "/y") << "text";
  const auto swept = SweepPartials(Place());
  ASSERT_TRUE(swept);
  EXPECT_EQ(*swept, std::vector<std::string>{dead});
  EXPECT_EQ(ListOf(Place().Root() + "/.partial"), id + " " + id + ".lock");
  EXPECT_FALSE(PartialBackup::Begin(Place(), id));
  living->reset();
  EXPECT_EQ(ListOf(Place().Root() + "/.partial"), "");
}

// A name that is taken is never replaced.
TEST_F(TakingFault, PublishesOverNothing) {
  const std::string id = NewBackupId(WallNow());
  auto partial = PartialBackup::Begin(Place(), id);
  ASSERT_TRUE(partial);
  fs::create_directories(Place().Published(id));
  const auto published = (*partial)->Publish();
  ASSERT_FALSE(published);
  EXPECT_THAT(published.error().message, HasSubstr("File exists"));
  partial->reset();
  fs::remove(Place().Published(id));
}

}  // namespace
}  // namespace pgsteward
