#include "jobs/backup/scratch_cluster.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "core/pg_text.h"
#include "core/process.h"
#include "core/random.h"
#include "core/wait.h"
#include "jobs/backup/own_thread.h"

namespace pgsteward {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "pgsteward-scratch.";
constexpr std::string_view kLock = "in-use";
constexpr Duration kInitTakesAtMost = std::chrono::minutes(5);
constexpr Duration kStartTakesAtMost = std::chrono::minutes(2);
constexpr Duration kStopTakesAtMost = std::chrono::minutes(5);
constexpr Duration kKillTakesAtMost = std::chrono::seconds(15);
constexpr Duration kLook = std::chrono::milliseconds(20);
constexpr std::size_t kLongestTail = 2000;

std::string Words(int error) { return std::strerror(error); }

std::string Gigabytes(std::uint64_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f GB", static_cast<double>(bytes) / 1e9);
  return text.data();
}

std::uint64_t FreeBelow(const std::string& path) {
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0) return 0;
  return static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
}

// Postmasters write their number first.
pid_t PostmasterOf(const fs::path& data) {
  std::ifstream file(data / "postmaster.pid");
  pid_t pid = -1;
  file >> pid;
  return file ? pid : -1;
}

// A number may be another process's by now: a postmaster's working directory is its data folder.
bool IsPostmasterOf(pid_t pid, const fs::path& data) {
  std::error_code failed;
  const fs::path works_in = fs::read_symlink("/proc/" + std::to_string(pid) + "/cwd", failed);
  return !failed && works_in == fs::weakly_canonical(data, failed);
}

void KillServerOf(const fs::path& data) {
  const pid_t pid = PostmasterOf(data);
  if (pid <= 1 || !IsPostmasterOf(pid, data)) return;
  ::kill(pid, SIGQUIT);
  const SteadyTime until = SteadyNow() + kKillTakesAtMost;
  while (::kill(pid, 0) == 0 && SteadyNow() < until) std::this_thread::sleep_for(kLook);
  if (IsPostmasterOf(pid, data)) ::kill(pid, SIGKILL);
}

// Backends of a killed server may still write for a moment.
void RemoveTree(const fs::path& folder) {
  std::error_code failed;
  for (int attempt = 0; attempt < 100; ++attempt) {
    fs::remove_all(folder, failed);
    if (!failed && !fs::exists(folder)) return;
    std::this_thread::sleep_for(kLook);
  }
}

// Empty: somebody holds it.
Fd LockFolder(const fs::path& folder, int flags) {
  Fd lock(::open((folder / kLock).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
  if (lock.open() && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  return Fd();
}

std::string LastLines(const std::string& text) {
  std::string end = text.substr(text.size() > kLongestTail ? text.size() - kLongestTail : 0);
  end.erase(end.find_last_not_of(" \r\n") + 1);
  return end;
}

}  // namespace

void SweepScratch(const std::string& base) {
  std::error_code failed;
  std::vector<fs::path> folders;
  for (fs::directory_iterator each(base, failed), end; !failed && each != end;
       each.increment(failed)) {
    const std::string name = each->path().filename();
    if (name.starts_with(kPrefix) && fs::is_directory(each->symlink_status())) {
      folders.push_back(each->path());
    }
  }
  for (const fs::path& folder : folders) {
    // Another user's is not ours to remove.
    struct stat status {};
    if (::lstat((folder / kLock).c_str(), &status) != 0 || status.st_uid != ::geteuid()) continue;
    const Fd lock = LockFolder(folder, 0);
    if (!lock.open()) continue;
    KillServerOf(folder / "data");
    RemoveTree(folder);
  }
}

ScratchCluster::ScratchCluster(Runtime& runtime, ScratchOptions options)
    : runtime_(runtime),
      options_(std::move(options)),
      own_name_("pgsteward_scratch_" + RandomHex(8)) {}

ScratchCluster::~ScratchCluster() {
  (void)StopServer(SIGQUIT, kKillTakesAtMost);
  RemoveFolder();
}

Result<void> ScratchCluster::MakeFolder() {
  const std::string& base = options_.base;
  std::error_code failed;
  if (!fs::is_directory(base, failed)) {
    return Error(Errc::kUnavailable, "no folder " + base + " for the scratch cluster", {},
                 "Make it, owned by the user that pgsteward runs as.");
  }
  if (const std::string& kept = options_.keep_at; !kept.empty()) {
    // What is there is somebody's.
    const std::string beside = kept + "-tablespaces";
    for (const std::string& path : {kept, beside}) {
      if (fs::symlink_status(path, failed).type() == fs::file_type::not_found) continue;
      return Error(Errc::kBusy, path + " is there already", {}, "Name a folder that is not there.");
    }
    if (::mkdir(kept.c_str(), 0700) != 0) {
      return Error(Errc::kUnavailable, "cannot make folder " + kept + ": " + Words(errno));
    }
    made_to_keep_ = true;
    auto owned = options_.run_as.Own(kept);
    if (!owned) return owned;
  }
  SweepScratch(base);
  const std::string& filled = options_.keep_at.empty() ? base : options_.keep_at;
  const std::uint64_t free = FreeBelow(filled);
  if (free < options_.needed_bytes) {
    return Error(Errc::kUnavailable,
                 "too little space below " + filled + ": " + Gigabytes(free) + " free, " +
                     Gigabytes(options_.needed_bytes) + " needed",
                 {}, "Make room, or name a larger file system.");
  }
  folder_ = base + "/" + std::string(kPrefix) + "XXXXXX";
  constexpr std::string_view kSocket = "/.s.PGSQL.5432";
  if (folder_.size() + kSocket.size() >= sizeof sockaddr_un{}.sun_path) {
    folder_.clear();
    return Error(Errc::kBadConfig, "the path " + base + " is too long for a Unix socket below it",
                 {}, "Name a folder with a path of at most 65 bytes.");
  }
  if (!::mkdtemp(folder_.data())) {
    const std::string why = Words(errno);
    folder_.clear();
    return Error(Errc::kUnavailable, "cannot make a folder below " + base + ": " + why);
  }
  lock_ = LockFolder(folder_, O_CREAT | O_EXCL);
  if (!lock_.open()) return Error(Errc::kUnavailable, "cannot lock folder " + folder_);
  return options_.run_as.Own(folder_);
}

Task<Result<void>> ScratchCluster::InitCluster() {
  std::vector<std::string> argv = {
      options_.initdb,     "--auth-local=peer", "--auth-host=scram-sha-256",
      "--no-locale",       "--encoding=UTF8",   "--username=" + options_.superuser,
      "--pgdata=" + data()};
  if (options_.keep_at.empty()) argv.emplace_back("--no-sync");
  ProcessSpec spec(options_.run_as.Argv(std::move(argv)));
  auto ended = co_await RunProcess(runtime_, std::move(spec), SteadyNow() + kInitTakesAtMost);
  if (!ended) co_return ended.error();
  if (!ended->ok()) {
    co_return Error(Errc::kChildFailed, "initdb failed: " + LastLines(ended->error_output));
  }
  const std::string rules = folder_ + "/pg_hba.conf";
  std::ofstream(rules) << "local all all trust\n";
  co_return options_.run_as.Own(rules);
}

// A view over a foreign table, or a function in an index, may call other servers as it is restored.
Task<void> ScratchCluster::ProbeNetwork() {
  const std::vector<std::vector<std::string>> ways = {
      {"unshare", "--net"}, {"unshare", "--user", "--map-current-user", "--net"}};
  for (const std::vector<std::string>& way : ways) {
    std::vector<std::string> argv = way;
    argv.emplace_back("true");
    ProcessSpec spec(std::move(argv));
    auto ended = co_await RunProcess(runtime_, std::move(spec), SteadyNow() + kKillTakesAtMost);
    without_network_ = ended && ended->ok();
    if (!without_network_) continue;
    prefix_ = way;
    // Forgotten by the kernel with the change of the namespace.
    if (options_.run_as.ourselves()) {
      prefix_.insert(prefix_.end(), {"setpriv", "--pdeathsig=KILL"});
    }
    co_return;
  }
}

// On the command line, where neither a configuration file nor ALTER SYSTEM wins against it.
std::vector<std::string> ScratchCluster::ServerArgv() const {
  std::vector<std::string> settings = {
      // Nobody in, nothing out: no listener, no archive, no replication, no foreign code.
      "listen_addresses=",
      "unix_socket_directories=" + folder_,
      "unix_socket_permissions=0700",
      "hba_file=" + folder_ + "/pg_hba.conf",
      "archive_mode=off",
      "archive_command=",
      "wal_level=minimal",
      "max_wal_senders=0",
      "max_logical_replication_workers=0",
      "shared_preload_libraries=",
      "session_preload_libraries=",
      "local_preload_libraries=",
      "ssl=off",
      // Made once, thrown away.
      "autovacuum=off",
      "jit=off",
      "max_connections=40",
      "shared_buffers=128MB",
      "maintenance_work_mem=256MB",
      "max_wal_size=1GB",
      "logging_collector=on",
      "log_directory=" + folder_ + "/log",
      "log_filename=server.log",
      "log_file_mode=0600",
      "log_min_error_statement=panic",  // rows of the dump are nobody's business
      "cluster_name=" + own_name_,
  };
  if (options_.keep_at.empty()) {
    for (const char* setting : {"fsync=off", "full_page_writes=off", "synchronous_commit=off"}) {
      settings.emplace_back(setting);
    }
  }
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  std::vector<std::string> argv = {options_.postgres, "-D", data(), "-p", "5432"};
  for (const std::string& setting : settings) argv.insert(argv.end(), {"-c", setting});
  return argv;
}

Result<void> ScratchCluster::StartServer() {
  std::vector<std::string> argv = prefix_;
  for (std::string& word : options_.run_as.Argv(ServerArgv())) argv.push_back(std::move(word));
  StreamChildSpec spec(std::move(argv));
  std::erase_if(spec.environment, [](const std::string& entry) { return entry.starts_with("PG"); });
  spec.input = StreamEnd::kNull;
  spec.output = StreamEnd::kNull;
  auto started = StreamChild::Start(std::move(spec));
  if (!started) return started.error();
  server_ = std::move(*started);
  return Result<void>();
}

// Not by connecting at once: that would fill the log with refusals.
Task<Result<void>> ScratchCluster::WaitReady() {
  const SteadyTime begun = SteadyNow();
  bool seen = false;
  while (SteadyNow() < begun + kStartTakesAtMost) {
    std::ifstream file(data() + "/postmaster.pid");
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      seen = true;
      if (number == 8 && line.starts_with("ready")) co_return Result<void>();
    }
    const bool vanished = seen && ::access((data() + "/postmaster.pid").c_str(), F_OK) != 0;
    if (vanished || (!seen && SteadyNow() > begun + kKillTakesAtMost)) break;
    co_await SleepUntil(SteadyNow() + kLook);
  }
  auto ended = server_->Wait(SteadyNow());
  server_.reset();
  std::string why = ended ? LastLines(ended->error_output) : ended.error().message;
  const std::string log = LogTail();
  if (!log.empty()) why += (why.empty() ? "" : "\n") + log;
  co_return Error(Errc::kChildFailed, "the scratch server did not start: " + why);
}

// What roles of the dump are set to (search_path, read only) must not reach our own sessions.
Task<Result<void>> ScratchCluster::MakeOurselves() {
  PgTarget target = Target("postgres");
  target.conninfo =
      "host=" + QuoteConninfo(folder_) + " port=5432 user=" + QuoteConninfo(options_.superuser);
  auto opened = co_await PgConnection::Open(runtime_, std::move(target));
  if (!opened) co_return opened.error().error;
  PgConnection& db = **opened;
  // The name needs no quotes.
  if (options_.keep_at.empty()) {
    const std::string role = "CREATE ROLE " + own_name_ + " SUPERUSER LOGIN";
    auto done = co_await db.Query(role, {}, kStartTakesAtMost);
    if (!done) co_return done.error();
  }
  const std::string database = "CREATE DATABASE " + own_name_ + " TEMPLATE template0";
  auto done = co_await db.Query(database, {}, kStartTakesAtMost);
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<std::unique_ptr<ScratchCluster>>> ScratchCluster::Make(Runtime& runtime,
                                                                   ScratchOptions options) {
  std::unique_ptr<ScratchCluster> cluster(new ScratchCluster(runtime, std::move(options)));
  auto made = cluster->MakeFolder();
  if (made) made = co_await cluster->InitCluster();
  if (made) co_await cluster->ProbeNetwork();
  if (made) made = cluster->StartServer();
  if (made) made = co_await cluster->WaitReady();
  if (made) made = co_await cluster->MakeOurselves();
  if (!made) {
    co_await cluster->Remove();
    co_return made.error();
  }
  co_return cluster;
}

// Kills it when it takes too long.
Result<void> ScratchCluster::StopServer(int signal, Duration patience) {
  if (!server_) return Result<void>();
  server_->Kill(signal);
  auto ended = server_->Wait(SteadyNow() + patience);
  server_.reset();
  if (!ended) return ended.error();
  if (ended->ok()) return Result<void>();
  return Error(Errc::kChildFailed, "the server did not end well: " + LogTail());
}

void ScratchCluster::RemoveFolder() {
  if (!folder_.empty()) RemoveTree(std::exchange(folder_, {}));
  if (made_to_keep_ && !keep_) {
    // A half of what was asked for.
    std::error_code failed;
    fs::remove_all(options_.keep_at, failed);
    fs::remove_all(options_.keep_at + "-tablespaces", failed);
  }
  lock_.Close();
}

Task<void> ScratchCluster::Remove() {
  StopSwitch never;
  std::function<bool()> work = [this] {
    (void)StopServer(SIGQUIT, kKillTakesAtMost);
    RemoveFolder();
    return true;
  };
  StopWanted nobody;
  co_await OnOwnThread(runtime_, never, std::move(work), std::move(nobody));
}

Task<Result<void>> ScratchCluster::Keep() {
  PgTarget target = Target("template1");
  auto opened = co_await PgConnection::Open(runtime_, std::move(target));
  if (!opened) co_return opened.error().error;
  const std::string sql = "DROP DATABASE " + own_name_;
  auto dropped = co_await (*opened)->Query(sql, {}, kStartTakesAtMost);
  if (!dropped) co_return dropped.error();
  opened->reset();
  StopSwitch never;
  std::function<Result<void>()> work = [this] {
    auto stopped = StopServer(SIGINT, kStopTakesAtMost);
    keep_ = stopped.has_value();
    RemoveFolder();
    return stopped;
  };
  StopWanted nobody;
  co_return co_await OnOwnThread(runtime_, never, std::move(work), std::move(nobody));
}

std::string ScratchCluster::Conninfo(const std::string& database) const {
  return "host=" + QuoteConninfo(folder_) + " port=5432 user=" + QuoteConninfo(role()) +
         " dbname=" + QuoteConninfo(database);
}

PgTarget ScratchCluster::Target(const std::string& database) const {
  PgTarget target;
  target.conninfo = Conninfo(database);
  target.part = "scratch";
  target.read_only = false;
  target.lock_timeout = kStartTakesAtMost;
  target.connect_timeout = std::chrono::seconds(30);
  return target;
}

Result<void> ScratchCluster::MakeFolders(const std::vector<std::string>& paths) const {
  for (const std::string& path : paths) {
    const std::string above = fs::path(path).parent_path();
    for (const std::string& each : {above, path}) {
      if (::mkdir(each.c_str(), 0700) != 0 && errno != EEXIST) {
        return Error(Errc::kUnavailable, "cannot make folder " + each + ": " + Words(errno));
      }
      auto owned = options_.run_as.Own(each);
      if (!owned) return owned;
    }
  }
  return Result<void>();
}

std::uint64_t ScratchCluster::FreeBytes() const { return FreeBelow(data()); }

std::string ScratchCluster::LogTail() const {
  std::ifstream file(folder_ + "/log/server.log", std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  return LastLines(text);
}

}  // namespace pgsteward
