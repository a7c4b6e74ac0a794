#include "daemon/http_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <boost/asio/post.hpp>

#include "core/wait.h"
#include "tests/daemon/http_support.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::string Gunzip(const std::string& compressed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string text(64 * 1024 * 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

std::shared_ptr<const Page> MakePage(std::uint64_t version, std::size_t size) {
  auto page = std::make_shared<Page>();
  page->version = version;
  while (page->text.size() < size) {
    page->text += "pg_up{server=\"s" + std::to_string(page->text.size()) + "\"} 1\n";
  }
  return page;
}

constexpr std::size_t kSmall = 1000;
constexpr std::size_t kBig = 3 * 1024 * 1024;

TEST(Gzip, GivesTheTextBack) {
  for (const std::size_t size : {std::size_t{0}, kSmall, kBig}) {
    const auto page = MakePage(1, size);
    const auto gzip = Gzip(page->text);
    ASSERT_TRUE(gzip);
    EXPECT_TRUE(Gunzip(*gzip) == page->text);
    EXPECT_LT(gzip->size(), page->text.size() / 4 + 100);
  }
}

TEST(GzipCache, SmallPagesAreCompressedOncePerVersion) {
  Runtime runtime;
  GzipCache cache(runtime);
  const SteadyTime now = SteadyNow();
  const auto first = MakePage(1, kSmall);
  const auto pair = cache.Get(first, now);
  ASSERT_TRUE(pair.gzip);
  EXPECT_TRUE(Gunzip(*pair.gzip) == first->text);
  EXPECT_TRUE(cache.Get(first, now).gzip == pair.gzip);
  EXPECT_EQ(cache.compressions(), 1u);
  const auto second = MakePage(2, kSmall + 500);
  EXPECT_EQ(Gunzip(*cache.Get(second, now).gzip), second->text);
  EXPECT_EQ(cache.compressions(), 2u);
}

TEST(GzipCache, BigPagesAreCompressedAheadOfTime) {
  Runtime runtime;
  GzipCache cache(runtime);
  const auto first = MakePage(1, kBig);
  // The first to ask gets the plain text at once.
  const auto plain = cache.Get(first, SteadyNow());
  EXPECT_FALSE(plain.gzip);
  EXPECT_EQ(plain.page.get(), first.get());
  EXPECT_EQ(cache.compressions(), 0u);

  RunCoro(runtime, cache.Prepare(first, SteadyNow()));
  EXPECT_EQ(cache.compressions(), 1u);
  const auto pair = cache.Get(first, SteadyNow());
  ASSERT_TRUE(pair.gzip);
  EXPECT_TRUE(Gunzip(*pair.gzip) == first->text);
  RunCoro(runtime, cache.Prepare(first, SteadyNow()));
  EXPECT_EQ(cache.compressions(), 1u);
}

TEST(GzipCache, ThePreviousPairIsServedWhileTheNextIsMade) {
  Runtime runtime;
  GzipCache cache(runtime);
  for (const std::size_t size : {kSmall, kBig}) {
    const std::uint64_t version = size;
    const auto first = MakePage(version, size);
    const auto second = MakePage(version + 1, size + 100);
    cache.Get(first, SteadyNow());
    RunCoro(runtime, cache.Prepare(first, SteadyNow()));
    const auto old = cache.Get(first, SteadyNow());
    ASSERT_TRUE(old.gzip);

    TaskGroup tasks(runtime);
    tasks.Spawn("prepare", cache.Prepare(second, SteadyNow()));
    runtime.loop.restart();
    runtime.loop.poll_one();  // it has begun; the result needs another turn of the loop
    ASSERT_FALSE(tasks.empty());
    const auto meanwhile = cache.Get(second, SteadyNow());
    EXPECT_TRUE(meanwhile.gzip == old.gzip);
    EXPECT_EQ(meanwhile.page.get(), first.get());
    // But not for long, should the pool hang.
    EXPECT_TRUE(cache.Get(second, SteadyNow() + seconds(2)).gzip != old.gzip);

    runtime.loop.restart();
    runtime.loop.run();
    EXPECT_TRUE(tasks.empty());
    const auto fresh = cache.Get(second, SteadyNow());
    EXPECT_EQ(fresh.page.get(), second.get());
    EXPECT_TRUE(Gunzip(*fresh.gzip) == second->text);
  }
}

TEST(GzipCache, NothingIsCompressedForNobody) {
  Runtime runtime;
  GzipCache cache(runtime);
  const SteadyTime now = SteadyNow();
  RunCoro(runtime, cache.Prepare(MakePage(1, kSmall), now));
  EXPECT_EQ(cache.compressions(), 0u);

  cache.Get(MakePage(1, kSmall), now);
  EXPECT_EQ(cache.compressions(), 1u);
  RunCoro(runtime, cache.Prepare(MakePage(2, kSmall), now + minutes(9)));
  EXPECT_EQ(cache.compressions(), 2u);
  RunCoro(runtime, cache.Prepare(MakePage(3, kSmall), now + minutes(11)));
  EXPECT_EQ(cache.compressions(), 2u);
  // Whoever asks again after a pause never gets what was kept from before it.
  const auto big = MakePage(4, kBig);
  EXPECT_EQ(cache.Get(big, now + minutes(12)).page, big);
}

TEST(GzipCache, ABlockedPoolHoldsNobodyUp) {
  Runtime runtime;
  GzipCache cache(runtime);
  const auto first = MakePage(1, kBig);
  const auto second = MakePage(2, kBig);
  cache.Get(first, SteadyNow());
  RunCoro(runtime, cache.Prepare(first, SteadyNow()));
  ASSERT_TRUE(cache.Get(first, SteadyNow()).gzip);

  std::promise<void> released;
  const auto gate = released.get_future().share();
  // More than the pool has threads.
  for (int i = 0; i < 64; ++i) boost::asio::post(runtime.blocking, [gate] { gate.wait(); });
  // As if it had begun 950 ms ago: one second is what it is given.
  RunCoro(runtime, cache.Prepare(second, SteadyNow() - milliseconds(950)));
  const auto pair = cache.Get(second, SteadyNow());
  EXPECT_EQ(pair.page.get(), second.get());
  EXPECT_FALSE(pair.gzip);
  released.set_value();
  runtime.blocking.join();
}

std::vector<ServerRow> TwoServers() {
  return {{"hub", "up", ""}, {"<b>&\"'\x01\xff", "down", "FATAL: no pg_hba.conf entry\n<script>"}};
}

class HttpPagesTest : public testing::Test {
 protected:
  void PublishUp(double value) {
    auto family = GaugeFamily("pg_up", "Whether the server answers.");
    AddSample(family, {{"server", "hub"}}, value);
    store_.Publish({"hub", "", "up"}, {family}, {}, SteadyNow() + minutes(1));
    store_.Render(SteadyNow());
  }
  // What does not depend on the store's own metrics.
  static std::string UpOf(const std::string& text) {
    const auto begin = text.find("pg_up{");
    return begin == std::string::npos ? "" : text.substr(begin, text.find('\n', begin) - begin);
  }

  Runtime runtime_;
  Store store_;
  HttpPages pages_{runtime_, store_, "1.2.3", TwoServers};
};

HttpReply Ask(HttpPages& pages, std::string_view path, bool gzip = false) {
  HttpRequest request;
  request.path = path;
  request.accepts_gzip = gzip;
  return pages.Handle(request);
}

TEST_F(HttpPagesTest, MetricsAreTheStoresPage) {
  PublishUp(1);
  const HttpReply reply = Ask(pages_, "/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_TRUE(reply.vary_encoding);
  EXPECT_FALSE(reply.gzip);
  EXPECT_EQ(reply.body.get(), &store_.page()->text) << "the page itself, no copy";
  EXPECT_EQ(UpOf(*reply.body), "pg_up{server=\"hub\"} 1");
  PublishUp(0);
  EXPECT_EQ(UpOf(*reply.body), "pg_up{server=\"hub\"} 1") << "a reader keeps what it began with";
  EXPECT_EQ(UpOf(*Ask(pages_, "/metrics").body), "pg_up{server=\"hub\"} 0");
}

TEST_F(HttpPagesTest, MetricsAreCompressedWhenAsked) {
  PublishUp(1);
  const HttpReply reply = Ask(pages_, "/metrics", true);
  EXPECT_TRUE(reply.gzip);
  EXPECT_TRUE(reply.vary_encoding);
  EXPECT_EQ(Gunzip(*reply.body), store_.page()->text);
  EXPECT_TRUE(Ask(pages_, "/metrics", true).body == reply.body);
  EXPECT_EQ(pages_.gzip().compressions(), 1u);
  PublishUp(0);
  RunCoro(runtime_, pages_.Prepare());
  EXPECT_EQ(pages_.gzip().compressions(), 2u);
  EXPECT_EQ(Gunzip(*Ask(pages_, "/metrics", true).body), store_.page()->text);
  EXPECT_EQ(pages_.gzip().compressions(), 2u);
}

TEST_F(HttpPagesTest, HealthAndReadiness) {
  EXPECT_EQ(Ask(pages_, "/-/healthy").status, 200);
  EXPECT_EQ(*Ask(pages_, "/-/healthy").body, "healthy\n");
  EXPECT_EQ(Ask(pages_, "/-/ready").status, 503);
  EXPECT_EQ(*Ask(pages_, "/-/ready").body, "not ready\n");
  pages_.SetReady(true);
  EXPECT_EQ(Ask(pages_, "/-/ready").status, 200);
  EXPECT_EQ(*Ask(pages_, "/-/ready").body, "ready\n");
  pages_.SetReady(false);
  EXPECT_EQ(Ask(pages_, "/-/ready").status, 503);
  EXPECT_EQ(Ask(pages_, "/-/healthy").status, 200);
}

TEST_F(HttpPagesTest, LandingPageTrustsNobody) {
  const HttpReply reply = Ask(pages_, "/");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(reply.more_headers,
            "Content-Security-Policy: default-src 'none'; style-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'\r\n");
  EXPECT_EQ(
      *reply.body,
      R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pgsteward</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<h1>pgsteward 1.2.3</h1>
<p>Watches over PostgreSQL.</p>
<ul>
<li><a href="metrics">Metrics</a></li>
<li><a href="-/healthy">Healthy</a>: the process answers</li>
<li><a href="-/ready">Ready</a>: it has begun to measure</li>
</ul>
<table>
<tr><th>Server</th><th>State</th><th>Reason</th></tr>
<tr><td><bdi>hub</bdi></td><td><bdi>up</bdi></td><td><bdi></bdi></td></tr>
<tr><td><bdi>&lt;b&gt;&amp;&quot;&#39; )"
      "\xEF\xBF\xBD"
      R"(</bdi></td><td><bdi>down</bdi></td><td><bdi>FATAL: no pg_hba.conf entry &lt;script&gt;</bdi></td></tr>
</table>
</body>
</html>
)");
}

TEST_F(HttpPagesTest, StyleFollowsTheReadersColours) {
  const HttpReply reply = Ask(pages_, "/style.css");
  EXPECT_EQ(reply.content_type, "text/css; charset=utf-8");
  EXPECT_THAT(*reply.body, testing::HasSubstr("color-scheme: light dark;"));
}

TEST_F(HttpPagesTest, NothingElseIsServed) {
  for (const char* path : {"", "//metrics", "/metrics/", "/Metrics", "/%6detrics", "/metrics%00",
                           "/-/", "/-/healthy/", "/..", "/favicon.ico", "*"}) {
    const HttpReply reply = Ask(pages_, path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(*reply.body, "nothing here; try /metrics, /-/healthy, /-/ready or /\n");
    EXPECT_EQ(reply.content_type, "text/plain; charset=utf-8");
  }
}

// Over the wire: what Prometheus gets.
TEST(HttpPagesLive, AnswersAScraper) {
  std::unique_ptr<HttpPages> pages;
  Store store;
  LiveServer live([&](const HttpRequest& request) { return pages->Handle(request); });
  live.OnLoop([&] {
    pages = std::make_unique<HttpPages>(live.runtime(), store, "1.2.3", TwoServers);
    store.Render(SteadyNow());
  });
  const auto page = live.OnLoop([&] { return store.page(); });
  HttpClient client(live.address());
  const std::string common = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  const ClientReply plain = client.Ask(Get("/metrics?debug=1"));
  EXPECT_EQ(plain.head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            "Content-Length: " +
                std::to_string(page->text.size()) + "\r\nVary: Accept-Encoding\r\n" + common +
                "\r\n");
  EXPECT_EQ(plain.body, page->text);
  const ClientReply gzip = client.Ask(Get("/metrics", "Accept-Encoding: gzip\r\n"));
  EXPECT_EQ(gzip.head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            "Content-Length: " +
                std::to_string(gzip.body.size()) +
                "\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n" + common + "\r\n");
  EXPECT_EQ(Gunzip(gzip.body), page->text);
  EXPECT_EQ(client.Ask(Get("/metrics", "Accept-Encoding: gzip;q=0, *\r\n")).head, plain.head);
  client.Send("HEAD /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_EQ(client.Read(true).head, gzip.head);
  EXPECT_EQ(client.Ask(Get("//metrics")).head,
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 54\r\n" +
                common + "\r\n");
  EXPECT_EQ(client.Ask(Get("/-/ready")).head,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 10\r\n" +
                common + "\r\n");
  const ClientReply landing = client.Ask(Get("/"));
  EXPECT_EQ(landing.head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: " +
                std::to_string(landing.body.size()) +
                "\r\nContent-Security-Policy: default-src 'none'; style-src 'self'; base-uri "
                "'none'; form-action 'none'; frame-ancestors 'none'\r\n" +
                common + "\r\n");
}

}  // namespace
}  // namespace pgsteward
