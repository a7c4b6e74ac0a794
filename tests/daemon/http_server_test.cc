// What the protocol asks for: exact replies, persistence, addresses, the orderly end.
// Clients that misbehave: http_clients_test.cc.
#include "daemon/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/daemon/http_support.h"

namespace pgsteward {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Says what was understood of the request.
HttpReply Echo(const HttpRequest& request) {
  std::string text = "path=" + std::string(request.path);
  if (request.accepts_gzip) text += " gzip";
  return TextReply(200, text + "\n");
}

std::string Head(std::string_view status, std::size_t length, std::string_view more = "",
                 std::string_view connection = "") {
  std::string head = "HTTP/1.1 ";
  head.append(status).append("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
  head.append(std::to_string(length)).append("\r\n").append(more);
  head.append("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
  return head.append(connection).append("\r\n");
}

constexpr std::string_view kClose = "Connection: close\r\n";

void ExpectServed(LiveServer& live) {
  HttpClient client(live.address());
  EXPECT_EQ(client.Ask(Get("/other")).body, "path=/other\n");
}

TEST(HttpServer, GetAndHeadHaveTheSameHead) {
  LiveServer live(Echo);
  HttpClient client(live.address());
  const ClientReply get = client.Ask(Get("/a"));
  EXPECT_EQ(get.head, Head("200 OK", 8));
  EXPECT_EQ(get.body, "path=/a\n");
  client.Send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.Read(true).head, get.head);
  // The next reply follows at once: there was no body.
  EXPECT_EQ(client.Ask(Get("/b?q")).body, "path=/b\n");
  EXPECT_EQ(live.Counters().requests, 3u);
  EXPECT_EQ(live.Counters().open_connections, 1);
}

TEST(HttpServer, JoinsAcceptEncodingLines) {
  LiveServer live(Echo);
  HttpClient client(live.address());
  EXPECT_EQ(client.Ask(Get("/", "Accept-Encoding: br\r\naccept-encoding: gzip\r\n")).body,
            "path=/ gzip\n");
  EXPECT_EQ(client.Ask(Get("/", "Accept-Encoding: *\r\nAccept-Encoding: gzip;q=0\r\n")).body,
            "path=/\n");
}

TEST(HttpServer, PersistenceFollowsTheVersion) {
  LiveServer live(Echo);
  HttpClient closing(live.address());
  EXPECT_EQ(closing.Ask(Get("/", "Connection: close\r\n")).head, Head("200 OK", 7, "", kClose));
  EXPECT_EQ(closing.ReadToEnd(), "end");

  HttpClient old(live.address());
  EXPECT_EQ(old.Ask("GET / HTTP/1.0\r\n\r\n").head, Head("200 OK", 7, "", kClose));
  EXPECT_EQ(old.ReadToEnd(), "end");

  HttpClient keeping(live.address());
  constexpr std::string_view kKeep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_EQ(keeping.Ask(kKeep).head, Head("200 OK", 7, "", "Connection: keep-alive\r\n"));
  EXPECT_EQ(keeping.Ask(kKeep).body, "path=/\n");
  ExpectServed(live);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  LiveServer live(Echo);
  HttpClient client(live.address());
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += Get("/" + std::to_string(i));
  client.Send(requests + "GET /half HTTP/1.1\r\nHo");
  for (int i = 0; i < 200; ++i) EXPECT_EQ(client.Read().body, "path=/" + std::to_string(i) + "\n");
  EXPECT_EQ(client.Ask("st: x\r\n\r\n").body, "path=/half\n");
}

TEST(HttpServer, TakesAbsoluteTargets) {
  LiveServer live(Echo);
  HttpClient client(live.address());
  EXPECT_EQ(client.Ask("GET http://proxied/metrics?a HTTP/1.1\r\nHost: x\r\n\r\n").body,
            "path=/metrics\n");
}

TEST(HttpServer, OtherMethodsAreToldWhatIsAllowed) {
  LiveServer live(Echo);
  HttpClient client(live.address());
  for (const char* method : {"DELETE", "OPTIONS", "TRACE", "BREW"}) {
    const ClientReply reply = client.Ask(std::string(method) + " / HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(reply.head, Head("405 Method Not Allowed", 34, "Allow: GET, HEAD\r\n")) << method;
    EXPECT_EQ(reply.body, "only GET and HEAD are served here\n");
  }
}

TEST(HttpServer, BodiesAreNotRead) {
  LiveServer live(Echo);
  const std::string_view kPosts[] = {
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\nsmuggled",
      "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"};
  for (const auto post : kPosts) {
    HttpClient client(live.address());
    EXPECT_EQ(client.Ask(post).head,
              Head("405 Method Not Allowed", 34, "Allow: GET, HEAD\r\n", kClose));
    client.HalfClose();
    EXPECT_EQ(client.ReadToEnd(), "end");
  }
  HttpClient get(live.address());
  const ClientReply reply = get.Ask(Get("/a", "Content-Length: 3\r\n") + "abc" + Get("/smuggled"));
  EXPECT_EQ(reply.head, Head("200 OK", 8, "", kClose));
  get.HalfClose();
  std::string rest;
  EXPECT_EQ(get.ReadToEnd(&rest), "end");
  EXPECT_EQ(rest, "");
  ExpectServed(live);
}

TEST(HttpServer, RefusesWhatIsNotHttp) {
  LiveServer live(Echo);
  const std::string_view kBad[] = {
      "hello\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/1.1\r\nHost x\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nA\x01: x\r\n\r\n",
      "GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET / a HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
      "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
      "GET / HTCPCP/1.0\r\nHost: x\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  // TLS
      "\r\n\r\n",
  };
  std::uint64_t count = 0;
  for (const auto bad : kBad) {
    HttpClient client(live.address());
    const ClientReply reply = client.Ask(bad);
    EXPECT_EQ(reply.head, Head("400 Bad Request", reply.body.size(), "", kClose)) << bad;
    EXPECT_THAT(reply.body, testing::StartsWith("not an HTTP request: ")) << bad;
    client.HalfClose();
    EXPECT_EQ(client.ReadToEnd(), "end") << bad;
    EXPECT_EQ(live.Counters().bad_requests, ++count);
  }
  ExpectServed(live);
}

TEST(HttpServer, ChangesItsAddressWhileServing) {
  LiveServer live(Echo);
  const std::string first = live.address();
  const std::string port = first.substr(first.rfind(':'));
  HttpClient kept(first);
  EXPECT_EQ(kept.Ask(Get("/")).body, "path=/\n");
  const auto listen = [&](const std::string& address) {
    return live.OnLoop([&] {
      const auto result = live.server().Listen(address);
      return result ? live.server().address() : ToText(result.error());
    });
  };
  // The same again changes nothing, also when it was "any free port".
  EXPECT_EQ(listen("127.0.0.1:0"), first);

  // From one address to all of them on the same port, and back.
  const std::string all = listen(port);
  EXPECT_THAT(all, testing::AnyOf("[::]" + port, "0.0.0.0" + port));
  EXPECT_EQ(HttpClient(first).Ask(Get("/")).body, "path=/\n");
  EXPECT_EQ(listen("127.0.0.1" + port), "127.0.0.1" + port);
  EXPECT_EQ(HttpClient(first).Ask(Get("/")).body, "path=/\n");
  EXPECT_EQ(listen("127.0.0.1" + port), "127.0.0.1" + port);

  const std::string second = listen("127.0.0.2:0");
  EXPECT_THAT(second, testing::StartsWith("127.0.0.2:"));
  EXPECT_EQ(HttpClient(second).Ask(Get("/")).body, "path=/\n");
  EXPECT_THROW(HttpClient client(first), std::system_error);
  EXPECT_EQ(kept.Ask(Get("/still")).body, "path=/still\n");

  // What cannot be bound leaves the old one.
  EXPECT_EQ(listen("192.0.2.1:19187"),
            "cannot listen on 192.0.2.1:19187: Cannot assign requested address; hint: No interface "
            "of this machine has that address.");
  EXPECT_EQ(HttpClient(second).Ask(Get("/")).body, "path=/\n");
}

TEST(HttpServer, ATakenPortIsAnError) {
  LiveServer live(Echo);
  Runtime runtime;
  HttpServer other(runtime, Echo);
  const auto result = other.Listen(live.address());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::kUnavailable);
  EXPECT_EQ(result.error().message,
            "cannot listen on " + live.address() + ": Address already in use");
  EXPECT_EQ(result.error().hint, "Another process listens there; find it with: ss -ltnp.");
  EXPECT_EQ(other.address(), "");
  // Also after a replacement on the same port, which lets the two overlap for a moment.
  const std::string port = live.address().substr(live.address().rfind(':'));
  EXPECT_TRUE(live.OnLoop([&] { return live.server().Listen(port).has_value(); }));
  EXPECT_FALSE(other.Listen("127.0.0.1" + port));
  EXPECT_FALSE(other.Listen(port));
}

TEST(HttpServer, RefusesAddressesItCannotRead) {
  Runtime runtime;
  HttpServer server(runtime, Echo);
  for (const char* address : {"", "19187", "localhost:1", "127.0.0.1:", "127.0.0.1:65536",
                              "127.0.0.1:-1", "127.0.0.1:1x", "::1:19187", "[::1]", "[127.0.0.1]:1",
                              "[]:1", "256.0.0.1:1", " 127.0.0.1:1", "unix:/run/x"}) {
    const auto result = server.Listen(address);
    ASSERT_FALSE(result) << address;
    EXPECT_EQ(result.error().code, Errc::kBadConfig);
    EXPECT_EQ(result.error().message,
              "not an address to listen on: \"" + std::string(address) + "\"");
  }
}

TEST(HttpServer, ListensOnIpv6) {
  LiveServer live(Echo);
  const std::string address = live.OnLoop(
      [&] { return live.server().Listen("[::1]:0") ? live.server().address() : std::string(); });
  if (address.empty()) GTEST_SKIP() << "no IPv6 here";
  EXPECT_THAT(address, testing::StartsWith("[::1]:"));
  EXPECT_EQ(HttpClient(address).Ask(Get("/")).body, "path=/\n");
}

TEST(HttpServer, StopClosesIdleConnectionsAtOnce) {
  LiveServer live(Echo);
  HttpClient idle(live.address());
  EXPECT_EQ(idle.Ask(Get("/")).body, "path=/\n");
  HttpClient half(live.address());
  half.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_TRUE(Eventually([&] { return live.Counters().open_connections == 2; }));
  const SteadyTime begin = SteadyNow();
  live.Stop(seconds(30)).get();
  EXPECT_LT(SteadyNow() - begin, seconds(10));
  EXPECT_EQ(idle.ReadToEnd(), "end");
  half.ReadToEnd();
  EXPECT_EQ(live.Counters().open_connections, 0);
  EXPECT_THROW(HttpClient late(live.address()), std::system_error);
  EXPECT_EQ(live.OnLoop([&] { return live.server().address(); }), "");
}

TEST(HttpServer, StopLetsRepliesEnd) {
  const auto body = std::make_shared<const std::string>(16 * 1024 * 1024, 'x');
  LiveServer live([body](const HttpRequest&) {
    HttpReply reply;
    reply.body = body;
    return reply;
  });
  HttpClient client(live.address(), 64 * 1024);
  client.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return live.Counters().requests == 1; }));
  auto stopped = live.Stop(seconds(30));
  EXPECT_TRUE(client.Read().body == *body);
  EXPECT_EQ(client.ReadToEnd(), "end");
  stopped.get();
}

TEST(HttpServer, StopCutsRepliesOffAtTheDeadline) {
  const auto body = std::make_shared<const std::string>(16 * 1024 * 1024, 'x');
  LiveServer live([body](const HttpRequest&) {
    HttpReply reply;
    reply.body = body;
    return reply;
  });
  HttpClient client(live.address(), 64 * 1024);
  client.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return live.Counters().requests == 1; }));
  live.Stop(milliseconds(50)).get();
  EXPECT_EQ(client.ReadToEnd(), "reset");
  EXPECT_EQ(live.Counters().slow_clients, 0u);
  EXPECT_EQ(body.use_count(), 2) << "nobody but this test and the handler";
}

TEST(HttpServer, MayDieBeforeTheLoop) {
  for (const bool loop_goes_on : {false, true}) {
    Runtime runtime;
    int handled = 0;
    auto server = std::make_unique<HttpServer>(runtime, [&](const HttpRequest& request) {
      ++handled;
      return Echo(request);
    });
    ASSERT_TRUE(server->Listen("127.0.0.1:0"));
    HttpClient served(server->address());
    HttpClient half(server->address());
    served.Send(Get("/"));
    half.Send("GET / HTTP/1.1\r\nHo");
    EXPECT_TRUE(Eventually([&] {
      runtime.loop.poll();
      return handled == 1 && server->counters().open_connections == 2;
    }));
    EXPECT_EQ(served.Read().body, "path=/\n");
    served.Send(Get("/too-late"));
    server.reset();
    if (loop_goes_on) runtime.loop.run();
    EXPECT_EQ(handled, 1);
    half.ReadToEnd();
    served.ReadToEnd();
  }
}

TEST(HttpServer, ABugInTheHandlerEndsOnlyThatConnection) {
  LiveServer live([](const HttpRequest& request) {
    if (request.path == "/bug") throw std::runtime_error("a bug");
    return Echo(request);
  });
  HttpClient client(live.address());
  client.Send(Get("/bug"));
  client.ReadToEnd();
  EXPECT_TRUE(Eventually([&] { return live.Counters().open_connections == 0; }));
  EXPECT_EQ(live.TakeLog(),
            std::vector<std::string>{"level=error msg=\"task failed\" task=\"http connection\" "
                                     "err=\"a bug\""});
  ExpectServed(live);
}

}  // namespace
}  // namespace pgsteward
