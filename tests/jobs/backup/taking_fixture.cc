#include "tests/jobs/backup/taking_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/sha256.h"
#include "jobs/job_session.h"
#include "tests/support/run_coro.h"
#include "tests/support/spawn.h"

namespace pgsteward {

namespace fs = std::filesystem;

namespace {

Task<Result<void>> OpenAndRun(JobContext& context, JobReport& report) {
  auto opened = co_await context.db.Open();
  if (!opened) co_return opened;
  co_return co_await kBackup.run(context, report);
}

}  // namespace

void TakingTest::SetUp() {
  JobTest::SetUp();
  std::signal(SIGPIPE, SIG_IGN);
  char path[] = "/tmp/taking.XXXXXX";
  folder_ = ::mkdtemp(path);
  target_ = folder_ + "/target";
  ASSERT_TRUE(MakeSentinel(target_));
  identity_ = folder_ + "/key.txt";
  for (const char* name : {"key.txt", "other.txt"}) {
    const std::string key = folder_ + "/" + name;
    Shell("age-keygen -o " + key + " 2>/dev/null");
    if (!recipients_.empty()) recipients_ += '\n';
    recipients_ += Shell("age-keygen -y " + key + " | tr -d '\\n'");
  }
  Exec(
      "INSERT INTO public.users (email, first_name, last_name) "
      "SELECT 'u' || n || '@example.org', 'first', 'last' FROM generate_series(1, 50) AS n");
}

void TakingTest::TearDown() {
  ExpectNothingLeft();
  fs::remove_all(folder_);
  JobTest::TearDown();
}

std::string TakingTest::Shell(const std::string& script) const {
  const Finished finished = RunProgram({"/bin/bash", "-c", script});
  if (finished.exit_code == 0) return finished.output;
  return "exit " + std::to_string(finished.exit_code) + ": " + finished.output;
}

std::map<std::string, std::string> TakingTest::Options() const {
  return {{"target", target_}, {"recipients", recipients_}, {"nice", "0"}, {"lock_wait", "1s"}};
}

RunResult TakingTest::Take(const std::map<std::string, std::string>& more, bool dry_run) {
  Runtime runtime;
  PgTarget target = Target();
  if (!password_conninfo_.empty()) target.conninfo = password_conninfo_;
  JobSession db(runtime, target);
  std::map<std::string, std::string> given = Options();
  for (const auto& [name, value] : more) given[name] = value;
  JobOptions options(kBackup.options);
  for (const JobOption& option : kBackup.options) {
    const auto set = given.find(std::string(option.name));
    if (set != given.end()) options.Set(option.name, NormalOption(option, set->second).value());
  }
  run_id_ = Value("SELECT gen_random_uuid()");
  JobContext context{runtime, db, options, control_, "nightly", run_id_, time_zone_};
  context.server = "hub/1";
  context.dry_run = dry_run;
  RunResult result;
  result.outcome = RunCoro(runtime, OpenAndRun(context, result.report));
  return result;
}

BackupPlace TakingTest::Place() const { return {target_, "hub/1"}; }

std::vector<FoundBackup> TakingTest::Backups() const {
  auto content = ReadPlace(Place());
  return content ? std::move(content->backups) : std::vector<FoundBackup>();
}

std::string TakingTest::ListOf(const std::string& folder) const {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& each : fs::directory_iterator(folder, failed)) {
    names.push_back(each.path().filename());
  }
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

std::string TakingTest::Opened(const FoundBackup& backup, const std::string& file) const {
  return Shell("set -o pipefail; age -d -i " + identity_ + " '" + backup.folder + "/" + file +
               "' | zstd -dc");
}

std::string TakingTest::Whole(const FoundBackup& backup) const {
  if (!backup.manifest) return ToText(backup.manifest.error());
  for (const BackupFile& file : backup.manifest->files) {
    const std::string path = backup.folder + "/" + file.name;
    const auto sum = Sha256OfFile(path);
    if (!sum) return ToText(sum.error());
    if (*sum != file.sha256 || fs::file_size(path) != file.bytes) return file.name + " differs";
  }
  const std::string sums = Shell("cd " + backup.folder + " && sha256sum --quiet -c SHA256SUMS");
  if (!sums.empty()) return sums;
  for (const BackupDatabase& database : backup.manifest->databases) {
    const std::string read =
        Shell("set -o pipefail; age -d -i " + identity_ + " '" + backup.folder + "/" +
              database.file + "' | zstd -dc | " +
              (database.format == "plain" ? "tail -c 500 | grep -q 'dump complete'"
                                          : Postgres().binaries() + "/pg_restore -f /dev/null"));
    if (!read.empty()) return database.file + ": " + read;
  }
  return {};
}

void TakingTest::ExpectNothingLeft() {
  EXPECT_EQ(ListOf(Place().Root() + "/.partial"), "");
  EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG) <= 0);
  const auto left = [&] {
    return Postgres().Value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgsteward-backup:%' "
        "OR application_name LIKE 'pgsteward:backup%'");
  };
  for (int i = 0; i < 100 && left() != "0"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(left(), "0");
}

}  // namespace pgsteward
