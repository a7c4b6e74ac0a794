#include "daemon/http_server.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/optional/optional.hpp>
#include <list>

#include "core/log.h"
#include "core/task_group.h"
#include "daemon/http_listener.h"

namespace pgsteward {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// After our last word the client's words are still read for a moment: closing a socket with unread
// input resets the connection, and the reset destroys the reply on its way.
constexpr Duration kLingerTime = std::chrono::seconds(1);
constexpr std::size_t kLingerBytes = 1024 * 1024;
// Connections over the limit that are being told so; more are closed without a word.
constexpr int kMostRejections = 64;
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
// Descriptors come and go one by one when they are short: not a line for each.
constexpr Duration kWarningInterval = std::chrono::minutes(1);
constexpr Duration kLongestPause = std::chrono::seconds(1);

// While a reply is under way a close throws it away: otherwise the kernel would keep megabytes for
// a client that does not read, long after we gave it up.
void DiscardOnClose(Tcp::socket& socket, bool discard) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(discard, 0), ignored);
}

using RequestParser = http::request_parser<http::empty_body>;

std::string JoinedValues(const http::fields& fields, http::field name) {
  std::string all;
  const auto range = fields.equal_range(name);
  for (auto field = range.first; field != range.second; ++field) {
    if (!all.empty()) all += ',';
    all += field->value();
  }
  return all;
}

bool HasBody(const RequestParser& parser) {
  return parser.chunked() || parser.content_length().value_or(0) > 0;
}

HttpReply BadRequest(const error_code& ec) {
  if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
    return TextReply(431, "the request's header is too large\n");
  }
  return TextReply(400, "not an HTTP request: " + ec.message() + "\n");
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<Impl> {
  struct Connection {
    Connection(std::shared_ptr<Impl> owner, Tcp::socket socket, int& kind)
        : impl(std::move(owner)), stream(std::move(socket)), count(kind) {
      position = impl->connections.insert(impl->connections.end(), this);
      ++count;
    }
    ~Connection() {
      --count;
      impl->connections.erase(position);
    }
    std::shared_ptr<Impl> impl;
    beast::tcp_stream stream;
    int& count;  // of its kind: served or rejected
    bool writing = false;
    std::list<Connection*>::iterator position;
  };

  Impl(Runtime& loop, Handler answers, HttpLimits bounds)
      : runtime(loop), handler(std::move(answers)), limits(bounds), tasks(loop) {}

  void StartAccept(std::shared_ptr<HttpListener> accepting, Duration pause);
  static Task<void> Accept(std::shared_ptr<Impl> impl, std::shared_ptr<HttpListener> listener,
                           Duration pause);
  void Admit(Tcp::socket socket);
  static Task<void> Serve(std::shared_ptr<Connection> connection);
  static Task<void> Reject(std::shared_ptr<Connection> connection);
  static Task<bool> Send(Connection& connection, const HttpReply& reply, Persistence persistence,
                         bool head_only);
  static Task<void> LingeringClose(Connection& connection);
  HttpReply Answer(const RequestParser& parser);
  void CloseConnections(bool also_writing);

  Runtime& runtime;
  Handler handler;
  HttpLimits limits;
  HttpCounters counters;
  int rejecting = 0;
  bool stopping = false;
  std::list<Connection*> connections;
  std::shared_ptr<HttpListener> listener;
  std::string address;
  TaskGroup tasks;
};

HttpServer::HttpServer(Runtime& runtime, Handler handler, HttpLimits limits)
    : impl_(std::make_shared<Impl>(runtime, std::move(handler), limits)) {}

HttpServer::~HttpServer() {
  impl_->stopping = true;
  if (impl_->listener) impl_->listener->Close();
  impl_->CloseConnections(true);
}

const std::string& HttpServer::address() const { return impl_->address; }
const HttpCounters& HttpServer::counters() const { return impl_->counters; }
void HttpServer::SetLimits(const HttpLimits& limits) { impl_->limits = limits; }

// ---- listening ----

Result<void> HttpServer::Listen(const std::string& address) {
  const auto endpoint = ParseListenAddress(address);
  if (!endpoint) return endpoint.error();
  if (HttpListener* now = impl_->listener.get()) {
    if (now->asked == *endpoint || now->acceptor.local_endpoint() == *endpoint) return {};
  }
  auto fresh = Bind(impl_->runtime, *endpoint, impl_->listener.get());
  if (!fresh) return fresh.error();
  if (impl_->listener) impl_->listener->Close();
  impl_->listener = *fresh;
  impl_->address = ToText(impl_->listener->acceptor.local_endpoint());
  impl_->StartAccept(*fresh, Duration::zero());
  return {};
}

void HttpServer::Impl::StartAccept(std::shared_ptr<HttpListener> accepting, Duration pause) {
  auto again = [self = shared_from_this(), accepting] {
    self->StartAccept(accepting, kLongestPause);
  };
  tasks.Spawn("http accept", Accept(shared_from_this(), accepting, pause), std::move(again));
}

Task<void> HttpServer::Impl::Accept(std::shared_ptr<Impl> impl,
                                    std::shared_ptr<HttpListener> listener, Duration pause) {
  SteadyTime next_warning;
  while (listener->acceptor.is_open()) {
    if (pause > Duration::zero()) {
      listener->pause.expires_after(pause);
      co_await listener->pause.async_wait(kTuple);
      if (!listener->acceptor.is_open()) co_return;
    }
    auto [ec, socket] = co_await listener->acceptor.async_accept(kTuple);
    if (!ec) {
      pause = Duration::zero();
      impl->Admit(std::move(socket));
      continue;
    }
    if (!listener->acceptor.is_open()) co_return;
    // Out of descriptors or memory. The client waits in the backlog; without the pause this would
    // be a busy loop, because the listener stays readable.
    ++impl->counters.accept_failures;
    if (const SteadyTime now = SteadyNow(); now >= next_warning) {
      LogWarning("cannot accept http connections", {{"err", ec.message()}});
      next_warning = now + kWarningInterval;
    }
    pause = std::min(std::max(pause * 2, kFirstPause), kLongestPause);
  }
}

void HttpServer::Impl::Admit(Tcp::socket socket) {
  if (stopping) return;
  CloseOnExec(socket.native_handle());
  error_code ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  // The task's last moments need the group it is listed in.
  auto keep = [self = shared_from_this()] {};
  if (counters.open_connections < limits.connections) {
    auto connection = std::make_shared<Connection>(shared_from_this(), std::move(socket),
                                                   counters.open_connections);
    tasks.Spawn("http connection", Serve(std::move(connection)), std::move(keep));
    return;
  }
  ++counters.rejected_connections;
  if (rejecting >= kMostRejections) return;
  auto connection = std::make_shared<Connection>(shared_from_this(), std::move(socket), rejecting);
  tasks.Spawn("http rejection", Reject(std::move(connection)), std::move(keep));
}

// ---- one connection ----

Task<void> HttpServer::Impl::Serve(std::shared_ptr<Connection> connection) {
  Impl& impl = *connection->impl;
  beast::tcp_stream& stream = connection->stream;
  // One byte more than the limit, so that the parser, not the buffer, meets it.
  beast::flat_buffer buffer(impl.limits.header_bytes + 1);
  for (bool first = true; !impl.stopping; first = false) {
    if (buffer.size() == 0) {
      stream.expires_after(first ? impl.limits.request_timeout : impl.limits.keep_alive_timeout);
      const auto space = buffer.prepare(std::min<std::size_t>(4096, buffer.max_size()));
      const auto [ec, size] = co_await stream.async_read_some(space, kTuple);
      if (first && ec == beast::error::timeout) ++impl.counters.slow_clients;
      if (ec) co_return;
      buffer.commit(size);
    }

    RequestParser parser;
    parser.header_limit(static_cast<std::uint32_t>(impl.limits.header_bytes));
    parser.body_limit(boost::none);  // bodies are never read, whatever their length
    stream.expires_after(impl.limits.request_timeout);
    const auto [ec, size] = co_await http::async_read_header(stream, buffer, parser, kTuple);
    if (ec == beast::error::timeout) ++impl.counters.slow_clients;
    if (ec == http::error::end_of_stream) co_return;
    const bool malformed =
        ec.category() == http::make_error_code(http::error::bad_method).category();
    if ((ec && !malformed) || impl.stopping) co_return;

    const bool head_only = !ec && parser.get().method() == http::verb::head;
    const HttpReply reply = ec ? BadRequest(ec) : impl.Answer(parser);
    ++impl.counters.requests;
    const bool bad = reply.status == 400 || reply.status == 431;
    if (bad) ++impl.counters.bad_requests;
    Persistence persistence = Persistence::kClose;
    if (!bad && parser.keep_alive() && !HasBody(parser) && !impl.stopping) {
      const bool old = parser.get().version() == 10;
      persistence = old ? Persistence::kKeepExplicit : Persistence::kKeep;
    }
    const bool sent = co_await Send(*connection, reply, persistence, head_only);
    if (!sent) co_return;
    if (persistence == Persistence::kClose) break;
  }
  co_await LingeringClose(*connection);
}

HttpReply HttpServer::Impl::Answer(const RequestParser& parser) {
  const auto& message = parser.get();
  const auto hosts = message.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() == 11)) {
    return TextReply(400, "not an HTTP request: one Host header is needed\n");
  }
  HttpRequest request;
  request.head = message.method() == http::verb::head;
  if (!request.head && message.method() != http::verb::get) {
    HttpReply reply = TextReply(405, "only GET and HEAD are served here\n");
    reply.more_headers = "Allow: GET, HEAD\r\n";
    return reply;
  }
  request.path = PathOf(std::string_view(message.target().data(), message.target().size()));
  request.accepts_gzip = AcceptsGzip(JoinedValues(message, http::field::accept_encoding));
  return handler(request);
}

Task<void> HttpServer::Impl::Reject(std::shared_ptr<Connection> connection) {
  const HttpReply reply = TextReply(503, "too many connections; try again later\n");
  const bool sent = co_await Send(*connection, reply, Persistence::kClose, false);
  if (sent) co_await LingeringClose(*connection);
}

Task<bool> HttpServer::Impl::Send(Connection& connection, const HttpReply& reply,
                                  Persistence persistence, bool head_only) {
  const std::string head = RenderHead(reply, persistence, WallNow());
  std::array<asio::const_buffer, 2> buffers = {asio::buffer(head), asio::const_buffer()};
  if (reply.body && !head_only) buffers[1] = asio::buffer(*reply.body);
  connection.writing = true;
  DiscardOnClose(connection.stream.socket(), true);
  connection.stream.expires_after(connection.impl->limits.write_timeout);
  const auto [ec, size] = co_await asio::async_write(connection.stream, buffers, kTuple);
  connection.writing = false;
  if (ec == beast::error::timeout) ++connection.impl->counters.slow_clients;
  if (ec) co_return false;
  DiscardOnClose(connection.stream.socket(), false);
  co_return true;
}

Task<void> HttpServer::Impl::LingeringClose(Connection& connection) {
  error_code ec;
  connection.stream.socket().shutdown(Tcp::socket::shutdown_send, ec);
  std::array<char, 4096> discarded;
  const auto space = asio::buffer(discarded);
  connection.stream.expires_after(kLingerTime);
  for (std::size_t total = 0; !ec && total < kLingerBytes;) {
    const auto [read_ec, size] = co_await connection.stream.async_read_some(space, kTuple);
    ec = read_ec;
    total += size;
  }
}

// ---- the end ----

void HttpServer::Impl::CloseConnections(bool also_writing) {
  for (Connection* connection : connections) {
    if (also_writing || !connection->writing) connection->stream.close();
  }
}

Task<void> HttpServer::Stop(Deadline deadline) {
  auto impl = impl_;
  impl->stopping = true;
  if (impl->listener) impl->listener->Close();
  impl->listener.reset();
  impl->address.clear();
  impl->CloseConnections(false);
  const bool in_time = co_await impl->tasks.Join(deadline);
  if (in_time) co_return;
  impl->CloseConnections(true);
  impl->tasks.Stop();
  // Closed sockets end every wait: this takes a few turns of the loop, not a second.
  const Deadline unwound = SteadyNow() + std::chrono::seconds(1);
  const bool ended = co_await impl->tasks.Join(unwound);
  if (!ended) LogError("http connections are still open", {{"count", impl->connections.size()}});
}

}  // namespace pgsteward
