#include "tests/support/pgbouncer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "tests/support/spawn.h"

namespace pgsteward {

namespace {

bool Accepts(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

}  // namespace

bool PgBouncer::Installed() { return ::access("/usr/sbin/pgbouncer", X_OK) == 0; }

PgBouncer::PgBouncer(const PrivatePostgres& server, PgBouncerOptions options) : port_(FreePort()) {
  const std::string base = server.socket_dir() + "/pgbouncer" + std::to_string(port_);
  log_ = base + ".log";
  std::ofstream users(base + ".users");
  for (const std::string& user : options.users) users << '"' << user << "\" \"\"\n";
  users.close();
  std::ofstream(base + ".ini") << "[databases]\n* = host=" << server.socket_dir()
                               << " port=" << server.port() << "\n[pgbouncer]\n"
                               << "listen_addr = 127.0.0.1\nlisten_port = " << port_ << "\n"
                               << "unix_socket_dir =\n"
                               << "auth_type = trust\nauth_file = " << base << ".users\n"
                               << "pool_mode = " << options.pool_mode << "\n"
                               << "default_pool_size = " << options.pool_size
                               << "\n"
                               // Else it is 15 s until a restarted server is tried again.
                               << "server_login_retry = 0.05\n"
                               << "pidfile =\nlogfile =\n";
  process_ = Spawn(AsServerUser({"/usr/sbin/pgbouncer", base + ".ini"}, "KILL"),
                   {.input = -1, .output = log_});
  WaitReady();
}

void PgBouncer::WaitReady() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!Accepts(port_)) {
    const bool ended = ::waitpid(process_, nullptr, WNOHANG) == process_;
    if (ended) process_ = -1;
    if (ended || std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("pgbouncer did not start: " + LogText());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

PgBouncer::~PgBouncer() {
  if (process_ < 0) return;
  ::kill(process_, SIGTERM);  // at once, whoever is connected
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string PgBouncer::Conninfo(const std::string& dbname, const std::string& user) const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " user=" + user + " dbname=" + dbname;
}

std::string PgBouncer::LogText() const {
  std::ifstream log(log_, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(log), {});
}

}  // namespace pgsteward
