#include "daemon/http_listener.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <charconv>

namespace pgsteward {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

namespace {

Error BadAddress(const std::string& address) {
  return Error(Errc::kBadConfig, "not an address to listen on: \"" + address + "\"", "",
               "Write a numeric address and a port: 127.0.0.1:19187, [::1]:19187 or :19187.");
}

Error CannotListen(const Tcp::endpoint& endpoint, const error_code& ec) {
  std::string hint;
  if (ec == asio::error::address_in_use) {
    hint = "Another process listens there; find it with: ss -ltnp.";
  } else if (ec == asio::error::access_denied) {
    hint = "Ports below 1024 need a privilege; choose a higher one.";
  } else if (ec == boost::system::errc::address_not_available) {
    hint = "No interface of this machine has that address.";
  }
  return Error(Errc::kUnavailable, "cannot listen on " + ToText(endpoint) + ": " + ec.message(), "",
               hint);
}

// Opens the socket, as IPv4 where the kernel has no IPv6 and all addresses are meant.
error_code Open(Tcp::acceptor& acceptor, Tcp::endpoint& endpoint) {
  error_code ec;
  acceptor.open(endpoint.protocol(), ec);
  if (!endpoint.address().is_v6() || !endpoint.address().is_unspecified()) return ec;
  if (!ec) {
    acceptor.set_option(asio::ip::v6_only(false), ec);
  } else if (ec == asio::error::address_family_not_supported) {
    endpoint = Tcp::endpoint(Tcp::v4(), endpoint.port());
    acceptor.open(endpoint.protocol(), ec);
  }
  return ec;
}

void SetReusePort(Tcp::acceptor& acceptor, int on) {
  ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

}  // namespace

void HttpListener::Close() {
  error_code ignored;
  acceptor.close(ignored);
  pause.cancel();
}

Result<Tcp::endpoint> ParseListenAddress(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return BadAddress(address);
  std::string host = address.substr(0, colon);
  const char* const begin = address.data() + colon + 1;
  const char* const end = address.data() + address.size();
  std::uint16_t port = 0;
  const auto number = std::from_chars(begin, end, port);
  if (number.ec != std::errc() || number.ptr != end) return BadAddress(address);
  if (host.empty()) return Tcp::endpoint(Tcp::v6(), port);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  error_code ec;
  const auto ip = asio::ip::make_address(host, ec);
  if (ec || ip.is_v6() != brackets) return BadAddress(address);
  return Tcp::endpoint(ip, port);
}

Result<std::shared_ptr<HttpListener>> Bind(Runtime& runtime, const Tcp::endpoint& asked,
                                           HttpListener* replaced) {
  auto fresh = std::make_shared<HttpListener>(runtime);
  fresh->asked = asked;
  Tcp::endpoint endpoint = asked;
  error_code ec = Open(fresh->acceptor, endpoint);
  if (ec) return CannotListen(endpoint, ec);
  CloseOnExec(fresh->acceptor.native_handle());
  fresh->acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  // 127.0.0.1:19187 and :19187 exclude each other, but for the moment in which one replaces the
  // other. Not for longer: a second daemon of the same user must find the port taken.
  const bool overlap = replaced && replaced->acceptor.local_endpoint().port() == asked.port();
  if (overlap) {
    SetReusePort(replaced->acceptor, 1);
    SetReusePort(fresh->acceptor, 1);
  }
  if (!ec) fresh->acceptor.bind(endpoint, ec);
  if (!ec) fresh->acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (overlap) {
    SetReusePort(replaced->acceptor, 0);
    SetReusePort(fresh->acceptor, 0);
  }
  if (ec) return CannotListen(endpoint, ec);
  return fresh;
}

std::string ToText(const Tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  const std::string port = ":" + std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + host + "]" + port : host + port;
}

void CloseOnExec(int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }

}  // namespace pgsteward
