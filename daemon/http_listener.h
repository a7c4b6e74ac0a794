// A listening TCP socket, and how one takes another one's place.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/runtime.h"

namespace pgsteward {

struct HttpListener {
  explicit HttpListener(Runtime& runtime) : acceptor(runtime.loop), pause(runtime.loop) {}
  // Whoever waits on the acceptor or the pause is woken and finds the acceptor closed.
  void Close();

  boost::asio::ip::tcp::acceptor acceptor;
  boost::asio::ip::tcp::endpoint asked;  // what was to be bound: the port may be 0
  boost::asio::steady_timer pause;
};

// "127.0.0.1:19187", "[::1]:19187", or ":19187" for all addresses. Numeric only: a name would have
// to be looked up, which blocks.
Result<boost::asio::ip::tcp::endpoint> ParseListenAddress(const std::string& address);

// Binds and listens; `replaced` (may be null) is a listener that will be closed after this one
// listens, so that the two may overlap.
Result<std::shared_ptr<HttpListener>> Bind(Runtime& runtime,
                                           const boost::asio::ip::tcp::endpoint& asked,
                                           HttpListener* replaced);

// "127.0.0.1:19187", "[::1]:19187".
std::string ToText(const boost::asio::ip::tcp::endpoint& endpoint);

// Asio does not do it: a child process would keep the port and the clients' connections open.
void CloseOnExec(int fd);

}  // namespace pgsteward
