#include "tests/support/private_postgres.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

#include "tests/support/spawn.h"

namespace pgsteward {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 30s;
constexpr char kRunAs[] = "postgres";
constexpr char kDeathSignal[] = "QUIT";  // PostgreSQL: shut down at once

bool HasServer(const fs::path& directory) {
  return ::access((directory / "initdb").c_str(), X_OK) == 0 &&
         ::access((directory / "postgres").c_str(), X_OK) == 0;
}

bool CanBind(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                     ::listen(fd, 1) == 0;
  ::close(fd);
  return bound;
}

std::string QuotedName(const std::string& name) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

// A value in a conninfo string.
std::string QuotedValue(const std::string& value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace

std::vector<std::string> AsServerUser(std::vector<std::string> argv,
                                      const std::string& death_signal) {
  std::vector<std::string> all = {"setpriv", "--pdeathsig=" + death_signal};
  if (::geteuid() == 0) {
    const std::string user = kRunAs;
    all.insert(all.end(), {"--reuid=" + user, "--regid=" + user, "--clear-groups"});
  }
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

// Below the ephemeral range, where no outgoing connection of somebody else takes it meanwhile.
int FreePort() {
  int lowest_ephemeral = 32768;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> lowest_ephemeral;
  std::random_device seed;
  std::uniform_int_distribution<int> ports(10240, std::max(lowest_ephemeral, 12000) - 1);
  for (int i = 0; i < 100; ++i) {
    const int port = ports(seed);
    if (CanBind(port)) return port;
  }
  throw std::runtime_error("no free port");
}

std::optional<std::string> PrivatePostgres::FindBinaries() {
  if (const char* given = std::getenv("PGSTEWARD_PG_BIN")) {
    // Not elsewhere when it is wrong: the caller wants that version.
    return HasServer(given) ? std::optional<std::string>(given) : std::nullopt;
  }
  try {
    std::string directory = RunProgram({"pg_config", "--bindir"}).output;
    directory.erase(std::find(directory.begin(), directory.end(), '\n'), directory.end());
    if (HasServer(directory)) return directory;
  } catch (const std::runtime_error&) {
    // No pg_config: libpq's development files are not installed.
  }
  std::optional<std::string> newest;
  int newest_version = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version <= newest_version || !HasServer(entry.path() / "bin")) continue;
    newest_version = version;
    newest = entry.path() / "bin";
  }
  return newest;
}

PrivatePostgres::PrivatePostgres(PrivatePostgresOptions options) : options_(std::move(options)) {
  const auto binaries = FindBinaries();
  if (!binaries) throw std::runtime_error("no initdb and postgres found");
  binaries_ = *binaries;
  MakeDirectory();
  if (options_.standby_of.empty()) {
    InitCluster();
  } else {
    CopyCluster();
  }
  if (options_.tcp) port_ = FreePort();
  Start();
}

PrivatePostgres::~PrivatePostgres() {
  try {
    Stop(StopMode::kImmediate);
  } catch (const std::exception& e) {
    ADD_FAILURE() << e.what();
  }
  // The watchdog removes the directory.
  ::close(watchdog_pipe_);
  while (::waitpid(watchdog_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void PrivatePostgres::MakeDirectory() {
  const char* tmp = std::getenv("TMPDIR");
  std::string base = tmp && *tmp ? tmp : "/tmp";
  constexpr std::size_t kSocketName = sizeof "/pgs.XXXXXX/.s.PGSQL.65535";
  if (base.size() + kSocketName > sizeof sockaddr_un{}.sun_path) base = "/tmp";
  dir_ = base + "/pgs.XXXXXX";
  if (!::mkdtemp(dir_.data())) throw std::runtime_error("cannot make " + dir_);
  if (::geteuid() == 0) {
    const passwd* user = ::getpwnam(kRunAs);
    if (!user || ::chown(dir_.c_str(), user->pw_uid, user->pw_gid) != 0) {
      throw std::runtime_error("no user postgres to run the server as");
    }
  }
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  // Reads end-of-file when this process closes the pipe or dies. Only a server whose pid file is
  // still there is told to go; the directory goes when its processes no longer write into it.
  const std::string script =
      "read -r _; pid=$(head -n 1 \"$0/data/postmaster.pid\" 2>/dev/null) && kill -QUIT \"$pid\"; "
      "i=0; while [ $i -lt 50 ]; do "
      "rm -rf \"$0\" 2>/dev/null && [ ! -e \"$0\" ] && exit 0; sleep 0.1; i=$((i + 1)); "
      "done";
  watchdog_ = Spawn({"sh", "-c", script, dir_}, {.input = pipe[0], .output = ""});
  ::close(pipe[0]);
  watchdog_pipe_ = pipe[1];
}

void PrivatePostgres::InitCluster() const {
  const Finished initdb =
      RunProgram(AsServerUser({binaries_ + "/initdb", "--no-sync", "--auth=trust", "--no-locale",
                               "--encoding=UTF8", "--username=postgres", "-D", data_dir()},
                              kDeathSignal));
  if (initdb.exit_code != 0) throw std::runtime_error("initdb failed: " + initdb.output);
  std::ofstream(data_dir() + "/pg_hba.conf")
      << "local all         all                  trust\n"
         "local replication all                  trust\n"
         "host  all         pw_user 127.0.0.1/32 scram-sha-256\n"
         "host  all         all     127.0.0.1/32 trust\n"
         "host  replication all     127.0.0.1/32 trust\n";
  std::ofstream conf(data_dir() + "/postgresql.conf", std::ios::app);
  conf << "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nautovacuum = off\n"
       << "max_prepared_transactions = 10\nmax_connections = " << options_.max_connections << "\n"
       << "unix_socket_directories = '" << dir_ << "'\n"
       << "log_line_prefix = '%m [%p] %q%a '\nlog_timezone = 'UTC'\ntimezone = 'UTC'\n"
       << "listen_addresses = '" << (options_.tcp ? "127.0.0.1" : "") << "'\n";
}

void PrivatePostgres::CopyCluster() const {
  const Finished copy = RunProgram(AsServerUser(
      {binaries_ + "/pg_basebackup", "--no-sync", "--checkpoint=fast", "--wal-method=stream",
       "--write-recovery-conf", "-d", options_.standby_of, "-D", data_dir()},
      kDeathSignal));
  if (copy.exit_code != 0) throw std::runtime_error("pg_basebackup failed: " + copy.output);
  // Behind what was copied: the last one counts.
  std::ofstream(data_dir() + "/postgresql.conf", std::ios::app)
      << "unix_socket_directories = '" << dir_ << "'\n"
      << "listen_addresses = '" << (options_.tcp ? "127.0.0.1" : "") << "'\n";
}

void PrivatePostgres::Start() {
  if (server_ > 0) throw std::runtime_error("the server runs already");
  std::vector<std::string> argv = {binaries_ + "/postgres", "-D", data_dir(), "-p",
                                   std::to_string(port_)};
  for (const std::string& setting : options_.settings) {
    argv.insert(argv.end(), {"-c", setting});
  }
  server_ =
      Spawn(AsServerUser(std::move(argv), kDeathSignal), {.input = -1, .output = dir_ + "/log"});
  WaitReady();
}

// Not by connecting: that would litter the log with refusals.
void PrivatePostgres::WaitReady() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    std::ifstream file(data_dir() + "/postmaster.pid");
    std::string line;
    std::string pid;
    for (int number = 1; std::getline(file, line); ++number) {
      if (number == 1) pid = line;
      if (number == 8 && pid == std::to_string(server_) && line.starts_with("ready")) return;
    }
    if (Reap()) {
      std::size_t start = 0;
      throw std::runtime_error("the server did not start: " + LogTextSince(start));
    }
    std::this_thread::sleep_for(5ms);
  }
  throw std::runtime_error("the server is not ready in time");
}

// True when the server has ended.
bool PrivatePostgres::Reap() {
  if (server_ > 0 && ::waitpid(server_, nullptr, WNOHANG) == server_) server_ = -1;
  return server_ < 0;
}

void PrivatePostgres::Stop(StopMode mode) {
  if (server_ < 0) return;
  ::kill(server_, mode == StopMode::kFast ? SIGINT : SIGQUIT);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!Reap()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ::kill(server_, SIGKILL);
      ::waitpid(server_, nullptr, 0);
      server_ = -1;
      throw std::runtime_error("the server did not stop in time");
    }
    std::this_thread::sleep_for(2ms);
  }
}

void PrivatePostgres::Restart(StopMode mode) {
  Stop(mode);
  Start();
}

std::string PrivatePostgres::Conninfo(const std::string& dbname) const {
  return "host=" + dir_ + " port=" + std::to_string(port_) +
         " user=postgres dbname=" + QuotedValue(dbname);
}

std::string PrivatePostgres::TcpConninfo(const std::string& dbname, const std::string& user,
                                         int port) const {
  return "host=127.0.0.1 port=" + std::to_string(port != 0 ? port : port_) + " user=" + user +
         " dbname=" + QuotedValue(dbname);
}

void PrivatePostgres::CreateDatabase(const std::string& name, const std::string& template_name) {
  Exec("CREATE DATABASE " + QuotedName(name) + " TEMPLATE " + QuotedName(template_name));
}

void PrivatePostgres::DropDatabase(const std::string& name) {
  Exec("DROP DATABASE IF EXISTS " + QuotedName(name) + " WITH (FORCE)");
}

int PrivatePostgres::TerminateBackends(const std::string& condition) const {
  // Not by pg_terminate_backend(pid, timeout): PostgreSQL 13 does not have it.
  PgClient client = Connect();
  const std::string where = " FROM pg_stat_activity WHERE " + condition;
  const int count = client.Exec("SELECT pg_terminate_backend(pid)" + where).rows();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (client.Value("SELECT count(*)" + where) != "0") {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("backends stay");
    std::this_thread::sleep_for(2ms);
  }
  return count;
}

PgClient PrivatePostgres::Connect(const std::string& dbname) const {
  return PgClient(Conninfo(dbname));
}

PgResult PrivatePostgres::Exec(const std::string& sql, const std::string& dbname) const {
  return Connect(dbname).Exec(sql);
}

std::string PrivatePostgres::Value(const std::string& sql, const std::string& dbname) const {
  return Connect(dbname).Value(sql);
}

std::string PrivatePostgres::Psql(const std::string& dbname,
                                  const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {binaries_ + "/psql", "-X", "-v",
                                   "ON_ERROR_STOP=1",   "-d", Conninfo(dbname)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  Finished psql = RunProgram(argv);
  if (psql.exit_code != 0) throw std::runtime_error("psql failed: " + psql.output);
  return psql.output;
}

std::string PrivatePostgres::LogTextSince(std::size_t& offset) const {
  std::ifstream log(dir_ + "/log", std::ios::binary);
  log.seekg(static_cast<std::streamoff>(offset));
  std::string text(std::istreambuf_iterator<char>(log), {});
  offset += text.size();
  return text;
}

namespace {

std::unique_ptr<PrivatePostgres> shared_postgres;

class LogPrinter : public ::testing::EmptyTestEventListener {
  // Again and again with --gtest_repeat, each time for a new cluster.
  void OnEnvironmentsSetUpStart(const ::testing::UnitTest&) override { offset_ = 0; }
  void OnTestStart(const ::testing::TestInfo&) override { New(); }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    const std::string text = New();
    if (!test.result()->Failed()) return;
    std::fprintf(stderr, "--- server log ---\n%s--- end of server log ---\n", text.c_str());
  }
  std::string New() { return shared_postgres ? shared_postgres->LogTextSince(offset_) : ""; }
  std::size_t offset_ = 0;
};

}  // namespace

bool ProgramsAreRequired() {
  const char* required = std::getenv("PGSTEWARD_REQUIRE_POSTGRES");
  return required && std::string(required) == "1";
}

void PostgresEnvironment::SetUp() {
  // libpq's own sources of defaults must not leak in.
  for (const char* name : {"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE",
                           "PGOPTIONS", "PGSSLMODE", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGTZ"}) {
    ::unsetenv(name);
  }
  ::setenv("PGPASSFILE", "/nonexistent/pgpass", 1);
  if (!PrivatePostgres::FindBinaries()) {
    if (ProgramsAreRequired()) FAIL() << "no initdb and postgres found";
    GTEST_SKIP() << "skipped: no initdb and postgres found";
  }
  shared_postgres = std::make_unique<PrivatePostgres>(options_);
  static const bool once = [] {
    ::testing::UnitTest::GetInstance()->listeners().Append(new LogPrinter);
    return true;
  }();
  static_cast<void>(once);
}

void PostgresEnvironment::TearDown() { shared_postgres.reset(); }

PrivatePostgres& Postgres() {
  if (!shared_postgres) throw std::logic_error("no PostgresEnvironment is set up");
  return *shared_postgres;
}

}  // namespace pgsteward
