// HTTP/1.1 on Boost.Beast: hands requests to a function, keeps slow and greedy clients in bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/clock.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "daemon/http_message.h"

namespace pgsteward {

struct HttpLimits {
  std::size_t header_bytes = 16 * 1024;  // more is answered 431
  int connections = 100;                 // more are answered 503 and closed
  Duration request_timeout =
      std::chrono::seconds(10);  // from connect or first byte to header's end
  Duration keep_alive_timeout = std::chrono::seconds(75);  // idle between requests
  Duration write_timeout = std::chrono::seconds(10);       // a client that does not read is cut off
};

struct HttpCounters {
  std::uint64_t requests = 0;              // answered, whatever the status
  std::uint64_t rejected_connections = 0;  // over the limit
  std::uint64_t bad_requests = 0;          // of `requests`: 400 and 431
  std::uint64_t slow_clients = 0;          // cut off by a timeout
  std::uint64_t accept_failures = 0;       // out of descriptors or memory
  int open_connections = 0;
};

class HttpServer {
 public:
  // Called on the loop for GET and HEAD only; must not wait.
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  HttpServer(Runtime& runtime, Handler handler, HttpLimits limits = {});
  // Closes every socket at once. The handler is not called any more.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Binds and listens on "127.0.0.1:19187", "[::1]:19187" or ":19187" (all addresses); port 0 takes
  // a free one. May be called again: the new address is bound before the old listener is closed,
  // and on error the old one stays. The address that is listened on already: nothing happens.
  Result<void> Listen(const std::string& address);
  // "127.0.0.1:19187" as really bound; empty before Listen() and after Stop().
  const std::string& address() const;

  // From the next connection or request on.
  void SetLimits(const HttpLimits& limits);

  // Stops accepting, lets replies that are being written end until the deadline, closes the rest.
  Task<void> Stop(Deadline deadline);

  const HttpCounters& counters() const;

 private:
  struct Impl;
  // Shared with the connections' coroutines, whose frames may die later, in the loop's destructor.
  std::shared_ptr<Impl> impl_;
};

}  // namespace pgsteward
