// Clients that misbehave: each test ends with "and another client is served".
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>

#include "tests/daemon/http_support.h"

namespace pgsteward {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const auto& BigBody() {
  // More than the kernel buffers on both sides.
  static const auto body = std::make_shared<const std::string>(16 * 1024 * 1024, 'x');
  return body;
}

HttpReply Serve(const HttpRequest& request) {
  if (request.path != "/big") return TextReply(200, "served\n");
  HttpReply reply;
  reply.body = BigBody();
  return reply;
}

void ExpectServed(LiveServer& live) {
  HttpClient client(live.address());
  EXPECT_EQ(client.Ask(Get("/")).body, "served\n");
}

bool AllClosed(LiveServer& live) {
  return Eventually([&] { return live.Counters().open_connections == 0; });
}

std::string ToTheEnd(HttpClient& client, std::string& text) {
  client.HalfClose();
  return client.ReadToEnd(&text);
}

TEST(HttpClients, FiftyScrapersBesideOneThatNeverReads) {
  const auto body = std::make_shared<const std::string>(2 * 1024 * 1024, 'm');
  HttpLimits limits;
  limits.write_timeout = std::chrono::minutes(5);
  LiveServer live(
      [body](const HttpRequest& request) {
        HttpReply reply = Serve(request);
        if (request.path == "/metrics") reply.body = body;
        return reply;
      },
      limits);
  HttpClient never(live.address(), 4096);
  never.Send(Get("/big"));
  EXPECT_TRUE(Eventually([&] { return live.Counters().requests == 1; }));

  std::vector<std::future<int>> scrapers;
  for (int i = 0; i < 50; ++i) {
    scrapers.push_back(std::async(std::launch::async, [&] {
      HttpClient client(live.address());
      int good = 0;
      for (int n = 0; n < 3; ++n) good += client.Ask(Get("/metrics")).body == *body ? 1 : 0;
      return good;
    }));
  }
  for (auto& scraper : scrapers) EXPECT_EQ(scraper.get(), 3);
  EXPECT_EQ(live.Counters().requests, 151u);
  EXPECT_EQ(live.Counters().slow_clients, 0u);
  // The handler, this test and nobody else: replies share the body and let it go.
  EXPECT_TRUE(Eventually([&] { return live.Counters().open_connections == 1; }));
  EXPECT_EQ(body.use_count(), 2);
  ExpectServed(live);
}

TEST(HttpClients, OneThatNeverReadsIsCutOff) {
  HttpLimits limits;
  limits.write_timeout = milliseconds(200);
  LiveServer live(Serve, limits);
  const auto before = BigBody().use_count();
  HttpClient never(live.address(), 4096);
  never.Send(Get("/big"));
  EXPECT_TRUE(Eventually([&] { return live.Counters().requests == 1; }));
  EXPECT_EQ(BigBody().use_count(), before + 1) << "shared, not copied";
  EXPECT_TRUE(AllClosed(live));
  EXPECT_EQ(live.Counters().slow_clients, 1u);
  EXPECT_EQ(BigBody().use_count(), before);
  // A reset, so that the kernel does not keep what was not read.
  EXPECT_EQ(never.ReadToEnd(), "reset");
  ExpectServed(live);
}

TEST(HttpClients, DrippedHeadersAreCutOff) {
  HttpLimits limits;
  limits.request_timeout = milliseconds(200);
  LiveServer live(Serve, limits);
  HttpClient slow(live.address());
  slow.Send("GET / HTTP/1.1\r\nHost: x\r\nDrip: ");
  const SteadyTime begin = SteadyNow();
  while (slow.TrySend("x") && SteadyNow() - begin < seconds(10)) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_LT(SteadyNow() - begin, seconds(5));
  EXPECT_TRUE(AllClosed(live));
  EXPECT_EQ(live.Counters().slow_clients, 1u);
  EXPECT_EQ(live.Counters().requests, 0u);
  ExpectServed(live);
}

TEST(HttpClients, SilentOnesAreCutOff) {
  HttpLimits limits;
  limits.request_timeout = milliseconds(100);
  LiveServer live(Serve, limits);
  HttpClient silent(live.address());
  EXPECT_EQ(silent.ReadToEnd(), "end");
  EXPECT_TRUE(AllClosed(live));
  EXPECT_EQ(live.Counters().slow_clients, 1u);
  ExpectServed(live);
}

TEST(HttpClients, IdleConnectionsEndWithoutBlame) {
  HttpLimits limits;
  limits.keep_alive_timeout = milliseconds(100);
  LiveServer live(Serve, limits);
  HttpClient idle(live.address());
  EXPECT_EQ(idle.Ask(Get("/")).body, "served\n");
  EXPECT_EQ(idle.ReadToEnd(), "end");
  EXPECT_TRUE(AllClosed(live));
  EXPECT_EQ(live.Counters().slow_clients, 0u);
  ExpectServed(live);
}

TEST(HttpClients, AKeptConnectionOutlivesTheRequestTimeout) {
  HttpLimits limits;
  limits.request_timeout = milliseconds(100);
  LiveServer live(Serve, limits);
  HttpClient client(live.address());
  EXPECT_EQ(client.Ask(Get("/")).body, "served\n");
  // Longer than the request timeout: that one must not count the pause between two requests.
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_EQ(client.Ask(Get("/")).body, "served\n");
  ExpectServed(live);
}

TEST(HttpClients, FloodsOfHeadersAreRefused) {
  HttpLimits limits;
  limits.header_bytes = 2048;
  LiveServer live(Serve, limits);
  constexpr std::string_view kTooLarge =
      "HTTP/1.1 431 Request Header Fields Too Large\r\n"
      "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 34\r\n"
      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "H" + std::to_string(i) + ": x\r\n";
  const std::string kFloods[] = {
      lines,                                                      // many lines, no end
      "One: " + std::string(100000, 'a'),                         // one line, no end
      "One: " + std::string(3000, 'a') + "\r\n\r\n",              // complete
      "Cookie: " + std::string(2048, 'a') + "\r\nA: b\r\n\r\n"};  // just over
  for (const std::string& flood : kFloods) {
    HttpClient client(live.address());
    client.Send("GET / HTTP/1.1\r\nHost: x\r\n" + flood);
    const ClientReply reply = client.Read();
    EXPECT_EQ(reply.head, kTooLarge);
    EXPECT_EQ(reply.body, "the request's header is too large\n");
    client.HalfClose();
    EXPECT_EQ(client.ReadToEnd(), "end");
  }
  HttpClient target(live.address());
  EXPECT_EQ(target.Ask(Get("/" + std::string(4000, 'a'))).head, kTooLarge);
  // One that goes on for ever is not listened to for ever.
  HttpClient endless(live.address());
  endless.Send("GET / HTTP/1.1\r\n");
  const SteadyTime begin = SteadyNow();
  while (endless.TrySend(lines) && SteadyNow() - begin < seconds(10)) {
  }
  EXPECT_LT(SteadyNow() - begin, seconds(8));
  HttpClient just_fits(live.address());
  EXPECT_EQ(just_fits.Ask(Get("/", "A: " + std::string(1900, 'a') + "\r\n")).body, "served\n");
  EXPECT_EQ(live.Counters().bad_requests, 6u);
  ExpectServed(live);
}

TEST(HttpClients, HalfClosedOnesGetTheirReply) {
  LiveServer live(Serve);
  HttpClient client(live.address());
  client.Send(Get("/big"));
  client.HalfClose();
  EXPECT_TRUE(client.Read().body == *BigBody());
  EXPECT_EQ(client.ReadToEnd(), "end");

  HttpClient cut(live.address());
  cut.Send("GET / HTTP/1.1\r\nHo");
  std::string text;
  EXPECT_EQ(ToTheEnd(cut, text), "end");
  EXPECT_THAT(text, testing::StartsWith("HTTP/1.1 400 Bad Request\r\n"));

  HttpClient nothing(live.address());
  text.clear();
  EXPECT_EQ(ToTheEnd(nothing, text), "end");
  EXPECT_EQ(text, "");
  EXPECT_TRUE(AllClosed(live));
  ExpectServed(live);
}

TEST(HttpClients, OneThatResetsInTheMiddleOfAReply) {
  LiveServer live(Serve);
  const auto before = BigBody().use_count();
  HttpClient client(live.address(), 4096);
  client.Send(Get("/big"));
  EXPECT_TRUE(Eventually([&] { return live.Counters().requests == 1; }));
  client.Reset();
  EXPECT_TRUE(AllClosed(live));
  EXPECT_EQ(BigBody().use_count(), before);
  EXPECT_EQ(live.Counters().slow_clients, 0u);
  ExpectServed(live);
}

TEST(HttpClients, MoreThanTheLimitAreTurnedAway) {
  HttpLimits limits;
  limits.connections = 2;
  LiveServer live(Serve, limits);
  auto first = std::make_unique<HttpClient>(live.address());
  HttpClient second(live.address());
  EXPECT_EQ(first->Ask(Get("/")).body, "served\n");
  EXPECT_EQ(second.Ask(Get("/")).body, "served\n");
  for (std::uint64_t i = 1; i <= 5; ++i) {
    HttpClient third(live.address());
    const ClientReply reply = third.Ask(Get("/"));
    EXPECT_EQ(reply.head,
              "HTTP/1.1 503 Service Unavailable\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 38\r\n"
              "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
              "Connection: close\r\n\r\n");
    EXPECT_EQ(reply.body, "too many connections; try again later\n");
    third.HalfClose();
    EXPECT_EQ(third.ReadToEnd(), "end");
    EXPECT_EQ(live.Counters().rejected_connections, i);
    EXPECT_EQ(live.Counters().open_connections, 2);
  }
  EXPECT_EQ(second.Ask(Get("/")).body, "served\n");
  first.reset();
  EXPECT_TRUE(Eventually([&] { return live.Counters().open_connections == 1; }));
  ExpectServed(live);
}

TEST(HttpClients, ACrowdOverTheLimitIsDropped) {
  HttpLimits limits;
  limits.connections = 1;
  LiveServer live(Serve, limits);
  {
    HttpClient served(live.address());
    EXPECT_EQ(served.Ask(Get("/")).body, "served\n");
    std::vector<std::unique_ptr<HttpClient>> crowd;
    for (int i = 0; i < 200; ++i) crowd.push_back(std::make_unique<HttpClient>(live.address()));
    EXPECT_TRUE(Eventually([&] { return live.Counters().rejected_connections == 200; }));
    EXPECT_EQ(served.Ask(Get("/")).body, "served\n");
  }
  EXPECT_TRUE(AllClosed(live));
  ExpectServed(live);
}

// Takes every free descriptor below a lowered limit.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit low{256, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (int fd; (fd = ::dup(0)) >= 0;) taken_.push_back(fd);
  }
  ~NoDescriptors() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  void GiveBackOne() {
    ::close(taken_.back());
    taken_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

TEST(HttpClients, WaitWhileDescriptorsAreOut) {
  LiveServer live(Serve);
  HttpClient before(live.address());
  EXPECT_EQ(before.Ask(Get("/")).body, "served\n");
  std::unique_ptr<HttpClient> waiting;
  {
    NoDescriptors none;
    none.GiveBackOne();
    // The client takes the last one: the server has none to accept it with.
    waiting = std::make_unique<HttpClient>(live.address());
    waiting->Send(Get("/"));
    EXPECT_TRUE(Eventually([&] { return live.Counters().accept_failures >= 3; }));
    // Three failures took two pauses of 50 and 100 ms: no busy loop.
    EXPECT_LE(live.Counters().accept_failures, 4u);
    EXPECT_EQ(before.Ask(Get("/")).body, "served\n");
  }
  EXPECT_EQ(waiting->Read().body, "served\n");
  EXPECT_EQ(live.TakeLog(),
            std::vector<std::string>{"level=warning msg=\"cannot accept http connections\" "
                                     "err=\"Too many open files\""});
  ExpectServed(live);
}

}  // namespace
}  // namespace pgsteward
