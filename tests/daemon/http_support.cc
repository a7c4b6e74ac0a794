#include "tests/daemon/http_support.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace pgsteward {

namespace {

[[noreturn]] void Fail(const char* what) {
  throw std::system_error(errno, std::system_category(), what);
}

std::string HeaderOf(const std::string& head, const std::string& name) {
  const auto begin = head.find("\r\n" + name + ": ");
  if (begin == std::string::npos) throw std::runtime_error("no " + name + " in " + head);
  const auto value = begin + name.size() + 4;
  return head.substr(value, head.find("\r\n", value) - value);
}

// "Aaa, 00" of "Sun, 06".
std::string ShapeOf(std::string text) {
  for (char& c : text) {
    if (c >= '0' && c <= '9') c = '0';
    if (c >= 'a' && c <= 'z') c = 'a';
    if (c >= 'A' && c <= 'Z') c = 'A';
  }
  return text;
}

Task<void> StopAndTell(HttpServer& server, Duration grace, std::promise<void> done) {
  const Deadline deadline = SteadyNow() + grace;
  co_await server.Stop(deadline);
  done.set_value();
}

}  // namespace

HttpClient::HttpClient(const std::string& address, int receive_buffer) {
  const auto colon = address.rfind(':');
  const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
  std::string host = address.substr(0, colon);
  const bool v6 = host.front() == '[';
  fd_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) Fail("socket");
  const timeval patience{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (receive_buffer > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  int connected = 0;
  if (v6) {
    host = host.substr(1, host.size() - 2);
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(port);
    ::inet_pton(AF_INET6, host.c_str(), &to.sin6_addr);
    connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to);
  } else {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    ::inet_pton(AF_INET, host.c_str(), &to.sin_addr);
    connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to);
  }
  if (connected != 0) {
    const int why = errno;
    ::close(fd_);
    errno = why;
    Fail("connect");
  }
}

HttpClient::~HttpClient() {
  if (fd_ >= 0) ::close(fd_);
}

bool HttpClient::TrySend(std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;
    if (sent < 0) Fail("send");
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void HttpClient::Send(std::string_view text) {
  if (!TrySend(text)) Fail("send");
}

std::size_t HttpClient::Receive() {
  char part[65536];
  const ssize_t size = ::recv(fd_, part, sizeof part, 0);
  if (size < 0) Fail("recv");
  buffer_.append(part, static_cast<std::size_t>(size));
  return static_cast<std::size_t>(size);
}

ClientReply HttpClient::Read(bool head_only) {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (Receive() == 0) throw std::runtime_error("no reply, only: \"" + buffer_ + "\"");
  }
  ClientReply reply;
  reply.head = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  const std::size_t length = head_only ? 0 : std::stoul(HeaderOf(reply.head, "Content-Length"));
  while (buffer_.size() < length) {
    if (Receive() == 0) throw std::runtime_error("the body ends early");
  }
  reply.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  const std::string date = HeaderOf(reply.head, "Date");
  if (ShapeOf(date) != "Aaa, 00 Aaa 0000 00:00:00 AAA") throw std::runtime_error("date: " + date);
  const std::string line = "Date: " + date + "\r\n";
  reply.head.erase(reply.head.find(line), line.size());
  return reply;
}

ClientReply HttpClient::Ask(std::string_view request) {
  Send(request);
  return Read();
}

std::string HttpClient::ReadToEnd(std::string* text) {
  std::string how = "end";
  try {
    while (Receive() > 0) {
    }
  } catch (const std::system_error& e) {
    if (e.code().value() != ECONNRESET) throw;
    how = "reset";
  }
  if (text) text->append(buffer_);
  buffer_.clear();
  return how;
}

void HttpClient::HalfClose() { ::shutdown(fd_, SHUT_WR); }

void HttpClient::Reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd_);
  fd_ = -1;
}

std::string Get(std::string_view target, std::string_view headers) {
  std::string request = "GET ";
  request.append(target).append(" HTTP/1.1\r\nHost: test\r\n").append(headers).append("\r\n");
  return request;
}

bool Eventually(const std::function<bool()>& condition) {
  const SteadyTime end = SteadyNow() + std::chrono::seconds(10);
  while (!condition()) {
    if (SteadyNow() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

LiveServer::LiveServer(HttpServer::Handler handler, HttpLimits limits)
    : work_(runtime_.loop.get_executor()),
      server_(runtime_, std::move(handler), limits),
      tasks_(runtime_) {
  server_.Listen("127.0.0.1:0").value();
  address_ = server_.address();
  thread_ = std::thread([this] { runtime_.loop.run(); });
}

LiveServer::~LiveServer() {
  Stop(std::chrono::milliseconds(100)).get();
  EXPECT_EQ(TakeLog(), std::vector<std::string>());
  EXPECT_EQ(Counters().open_connections, 0);
  work_.reset();
  thread_.join();
}

HttpCounters LiveServer::Counters() {
  return OnLoop([this] { return server_.counters(); });
}

std::future<void> LiveServer::Stop(Duration grace) {
  std::promise<void> done;
  auto stopped = done.get_future();
  OnLoop([&] { tasks_.Spawn("stop", StopAndTell(server_, grace, std::move(done))); });
  return stopped;
}

std::vector<std::string> LiveServer::TakeLog() {
  return OnLoop([this] {
    const auto& lines = log_.lines();
    const std::vector<std::string> fresh(lines.begin() + static_cast<std::ptrdiff_t>(log_taken_),
                                         lines.end());
    log_taken_ = lines.size();
    return fresh;
  });
}

}  // namespace pgsteward
