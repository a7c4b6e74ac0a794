// A plain blocking client, and a server with its loop in a thread of its own.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/log.h"
#include "core/runtime.h"
#include "core/task_group.h"
#include "daemon/http_server.h"

namespace pgsteward {

struct ClientReply {
  std::string head;  // without the Date line, which was checked
  std::string body;
};

// Reads time out after 10 s; what fails throws.
class HttpClient {
 public:
  // `receive_buffer`: how much the kernel takes for a client that does not read; 0: its default.
  explicit HttpClient(const std::string& address, int receive_buffer = 0);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void Send(std::string_view text);
  // False when the server has closed or reset the connection.
  bool TrySend(std::string_view text);
  ClientReply Read(bool head_only = false);
  ClientReply Ask(std::string_view request);
  // "end" after a clean close, "reset" after a reset; what came before it is appended to `text`.
  std::string ReadToEnd(std::string* text = nullptr);
  void HalfClose();
  // Closes with a reset.
  void Reset();

 private:
  std::size_t Receive();
  int fd_ = -1;
  std::string buffer_;
};

// "GET <target> HTTP/1.1" with the Host header, `headers` (each with CRLF) and the empty line.
std::string Get(std::string_view target, std::string_view headers = "");

// Polls every 5 ms, at most 10 s.
bool Eventually(const std::function<bool()>& condition);

class LiveServer {
 public:
  explicit LiveServer(HttpServer::Handler handler, HttpLimits limits = {});
  // Stops, and expects the log to hold only what was taken by TakeLog().
  ~LiveServer();

  const std::string& address() const { return address_; }
  HttpServer& server() { return server_; }
  Runtime& runtime() { return runtime_; }
  HttpCounters Counters();
  std::future<void> Stop(Duration grace);
  std::vector<std::string> TakeLog();

  template <class F>
  auto OnLoop(F fn) {
    std::packaged_task<decltype(fn())()> task(std::move(fn));
    auto result = task.get_future();
    boost::asio::post(runtime_.loop, std::move(task));
    return result.get();
  }

 private:
  LogCapture log_;
  std::size_t log_taken_ = 0;
  Runtime runtime_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  HttpServer server_;
  TaskGroup tasks_;
  std::string address_;
  std::thread thread_;
};

}  // namespace pgsteward
