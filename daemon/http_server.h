// HTTP/1.1 on Boost.Beast: hands requests to a function, keeps slow and greedy clients in bounds.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/error.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/task_group.h"

namespace pgsteward {

struct HttpRequest {
  std::string_view path;   // decoded target without the query string
  bool head = false;       // HEAD: the body is left out, Content-Length stays
  bool accepts_gzip = false;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;
  bool gzip = false;         // the body is gzip already
  bool vary_encoding = false;  // add "Vary: Accept-Encoding"
};

struct HttpLimits {
  std::size_t header_bytes = 16 * 1024;
  int connections = 100;                                    // more are answered 503 and closed
  Duration request_timeout = std::chrono::seconds(10);      // from the first byte to the header's end
  Duration keep_alive_timeout = std::chrono::seconds(75);   // idle between requests
  Duration write_timeout = std::chrono::seconds(10);        // a client that does not read is cut off
};

struct HttpCounters {
  std::uint64_t requests = 0;
  std::uint64_t rejected_connections = 0;  // over the limit
  std::uint64_t bad_requests = 0;
  std::uint64_t slow_clients = 0;  // cut off by a timeout
  int open_connections = 0;
};

class HttpServer {
 public:
  // Called on the loop for GET and HEAD only; must not wait.
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  HttpServer(Runtime& runtime, Handler handler, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Binds and listens on "127.0.0.1:19187", "[::1]:19187" or ":19187" (all addresses); port 0 takes
  // a free one. May be called again with another address: the new one is bound before the old
  // listener is closed, and on error the old one stays.
  Result<void> Listen(const std::string& address);
  // "127.0.0.1:19187" as really bound; empty before Listen().
  const std::string& address() const { return address_; }

  // Stops accepting, lets replies that are being written end until the deadline, closes the rest.
  Task<void> Stop(Deadline deadline);

  const HttpCounters& counters() const { return counters_; }

 private:
  struct Listener;
  Task<void> Accept(std::shared_ptr<Listener> listener);
  struct Connection;
  Task<void> Serve(std::shared_ptr<Connection> connection);

  Runtime& runtime_;
  Handler handler_;
  HttpLimits limits_;
  TaskGroup tasks_;
  std::shared_ptr<Listener> listener_;
  std::string address_;
  HttpCounters counters_;
};

}  // namespace pgsteward
