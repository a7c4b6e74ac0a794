#include "tests/support/tcp_gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <future>
#include <stdexcept>
#include <string>

namespace pgsteward {

namespace {

constexpr std::size_t kBufferLimit = 256 * 1024;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// SO_REUSEPORT: the reserved socket and the listener share the port.
int BindLoopback(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  const sockaddr_in address = Loopback(port);
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("gate: cannot bind port " + std::to_string(port));
  }
  return fd;
}

int PortOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

void CloseNow(int& fd, bool reset) {
  if (fd < 0) return;
  if (reset) {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  ::close(fd);
  fd = -1;
}

}  // namespace

struct TcpGate::Stream {
  struct Chunk {
    Clock::time_point due;
    std::string data;
  };
  int& from;
  int& to;
  bool to_client;
  std::deque<Chunk> chunks = {};
  std::size_t buffered = 0;
  bool eof = false;      // `from` sends no more
  bool shut = false;     // `to` was told so
  bool discard = false;  // half-closed: read, and throw away
  Clock::time_point next_byte = {};

  bool Readable() const { return !eof && buffered < kBufferLimit; }
  bool Done() const { return eof && chunks.empty(); }
  // When something can be written; empty when there is nothing.
  std::optional<Clock::time_point> Due() const {
    if (chunks.empty()) return std::nullopt;
    return std::max(chunks.front().due, next_byte);
  }
};

struct TcpGate::Link {
  int client = -1;
  int server = -1;
  bool silent = false;  // accepted and never answered
  bool frozen = false;  // blackhole
  Stream up{client, server, false};
  Stream down{server, client, true};

  bool closed() const { return client < 0; }
};

TcpGate::TcpGate(int target_port) : target_port_(target_port) {
  reserved_ = BindLoopback(0);
  port_ = PortOf(reserved_);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  Admit(Admission::kPass);
  thread_ = std::thread([this] { Run(); });
}

TcpGate::~TcpGate() {
  Do([this] { stop_ = true; });
  thread_.join();
  for (auto& link : links_) Reset(*link);
  CloseNow(listener_, false);
  CloseNow(reserved_, false);
  CloseNow(wake_, false);
}

void TcpGate::Pass() {
  Do([this] {
    Admit(Admission::kPass);
    drip_ = delay_ = std::chrono::milliseconds(0);
    cut_after_.reset();
    for (auto& link : links_) link->frozen = false;
  });
}

void TcpGate::Refuse() {
  Do([this] { Admit(Admission::kRefuse); });
}

void TcpGate::AcceptAndSilence() {
  Do([this] { Admit(Admission::kSilence); });
}

void TcpGate::Blackhole() {
  Do([this] {
    for (auto& link : links_) link->frozen = true;
  });
}

void TcpGate::CutAfterBytes(std::size_t n, Cut how) {
  Do([this, n, how] {
    cut_after_ = n;
    cut_how_ = how;
  });
}

void TcpGate::Drip(std::chrono::milliseconds pause) {
  Do([this, pause] { drip_ = pause; });
}

void TcpGate::Delay(std::chrono::milliseconds delay) {
  Do([this, delay] { delay_ = delay; });
}

void TcpGate::HalfClose() {
  Do([this] {
    for (auto& link : links_) {
      link->down.discard = true;
      link->down.shut = true;
      link->down.chunks.clear();
      ::shutdown(link->client, SHUT_WR);
    }
  });
}

void TcpGate::DropAll() {
  Do([this] {
    for (auto& link : links_) Reset(*link);
    links_.clear();
  });
}

std::size_t TcpGate::open_connections() {
  std::size_t count = 0;
  Do([this, &count] { count = links_.size(); });
  return count;
}

void TcpGate::Do(const std::function<void()>& command) {
  // Shared: the gate's thread may still be inside set_value() when the wait below is over.
  const auto done = std::make_shared<std::promise<void>>();
  {
    const std::lock_guard lock(mutex_);
    commands_.emplace_back([command, done] {
      command();
      done->set_value();
    });
  }
  const std::uint64_t one = 1;
  if (::write(wake_, &one, sizeof one) < 0) throw std::runtime_error("gate: cannot wake");
  done->get_future().wait();
}

void TcpGate::RunCommands() {
  std::uint64_t count = 0;
  if (::read(wake_, &count, sizeof count) < 0) return;
  std::vector<std::function<void()>> commands;
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (const auto& command : commands) command();
}

void TcpGate::Admit(Admission admission) {
  admission_ = admission;
  if (admission == Admission::kRefuse) {
    CloseNow(listener_, false);
  } else if (listener_ < 0) {
    listener_ = BindLoopback(port_);
    ::listen(listener_, 64);
  }
}

void TcpGate::Accept() {
  for (;;) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    ++connections_;
    auto link = std::make_unique<Link>();
    link->client = client;
    link->silent = admission_ == Admission::kSilence;
    if (!link->silent) {
      // Blocking: on the loopback it is there, or refused, at once.
      link->server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = Loopback(target_port_);
      if (::connect(link->server, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0) {
        Reset(*link);
        continue;
      }
      ::fcntl(link->server, F_SETFL, O_NONBLOCK);
    }
    const int on = 1;
    for (const int fd : {link->client, link->server}) {
      if (fd >= 0) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    links_.push_back(std::move(link));
  }
}

void TcpGate::Reset(Link& link) {
  CloseNow(link.client, true);
  CloseNow(link.server, true);
}

// False when the connection is broken.
bool TcpGate::Read(Stream& stream) {
  char buffer[16384];
  const ssize_t n = ::recv(stream.from, buffer, sizeof buffer, 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) {
    stream.eof = true;
    return true;
  }
  if (stream.discard) return true;
  stream.chunks.push_back(
      {Clock::now() + delay_, std::string(buffer, static_cast<std::size_t>(n))});
  stream.buffered += static_cast<std::size_t>(n);
  return true;
}

// How many bytes may be written at once.
std::size_t TcpGate::Allowance(const Stream& stream) const {
  if (!stream.to_client) return kBufferLimit;
  std::size_t most = drip_.count() > 0 ? 1 : kBufferLimit;
  if (cut_after_) most = std::min(most, *cut_after_);
  return most;
}

// False when the connection is broken, or cut.
bool TcpGate::Write(Stream& stream) {
  while (!stream.chunks.empty()) {
    const auto now = Clock::now();
    if (*stream.Due() > now) break;
    std::string& data = stream.chunks.front().data;
    const std::size_t wanted = std::min(data.size(), Allowance(stream));
    if (wanted > 0) {
      const ssize_t n = ::send(stream.to, data.data(), wanted, MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      const auto sent = static_cast<std::size_t>(n);
      (stream.to_client ? bytes_to_client_ : bytes_to_server_) += sent;
      stream.buffered -= sent;
      data.erase(0, sent);
      if (data.empty()) stream.chunks.pop_front();
      if (stream.to_client) {
        stream.next_byte = now + drip_;
        if (cut_after_) *cut_after_ -= sent;
      }
    }
    if (stream.to_client && cut_after_ && *cut_after_ == 0) return false;
  }
  if (stream.Done() && !stream.shut) {
    ::shutdown(stream.to, SHUT_WR);
    stream.shut = true;
  }
  return true;
}

void TcpGate::Serve(Link& link, short client_events, short server_events) {
  constexpr short kIn = POLLIN | POLLHUP | POLLERR;
  if (link.silent) {
    // What the client says is swallowed; when it has had enough, it goes.
    char buffer[4096];
    if ((client_events & kIn) != 0 && ::recv(link.client, buffer, sizeof buffer, 0) <= 0) {
      Reset(link);
    }
    return;
  }
  bool alive = true;
  if ((client_events & kIn) != 0 && link.up.Readable()) alive = Read(link.up);
  if (alive && (server_events & kIn) != 0 && link.down.Readable()) alive = Read(link.down);
  if (alive) alive = Write(link.up);
  if (!alive) return Reset(link);
  if (!Write(link.down)) {
    const bool cut = cut_after_ && *cut_after_ == 0;
    CloseNow(link.client, !cut || cut_how_ == Cut::kReset);
    CloseNow(link.server, true);
    if (cut) cut_after_.reset();
    return;
  }
  if (link.up.Done() && link.down.Done()) {
    CloseNow(link.client, false);
    CloseNow(link.server, false);
  }
}

void TcpGate::Run() {
  while (!stop_) {
    const auto now = Clock::now();
    std::optional<Clock::time_point> next;
    std::vector<pollfd> fds = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    // Nobody is asked to be writable while there is nothing to write, or not yet.
    const auto out = [&](const Stream& stream) -> short {
      const auto due = stream.Due();
      if (due && *due > now) next = std::min(next.value_or(*due), *due);
      return due && *due <= now ? POLLOUT : 0;
    };
    for (const auto& link : links_) {
      short client = 0;
      short server = 0;
      if (!link->frozen) {
        client = static_cast<short>((link->up.Readable() ? POLLIN : 0) | out(link->down));
        server = static_cast<short>((link->down.Readable() ? POLLIN : 0) | out(link->up));
      }
      // Without interest not even errors are polled, for they would be reported for ever.
      fds.push_back({client != 0 ? link->client : -1, client, 0});
      fds.push_back({server != 0 ? link->server : -1, server, 0});
    }
    int timeout = -1;
    if (next) {
      timeout = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*next - now).count());
    }
    if (::poll(fds.data(), fds.size(), timeout) < 0) continue;
    std::size_t i = 2;
    for (auto& link : links_) {
      if (!link->frozen) Serve(*link, fds[i].revents, fds[i + 1].revents);
      i += 2;
    }
    links_.remove_if([](const auto& link) { return link->closed(); });
    if (fds[1].revents != 0) Accept();
    if (fds[0].revents != 0) RunCommands();
  }
}

}  // namespace pgsteward
