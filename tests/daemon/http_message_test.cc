#include "daemon/http_message.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

TEST(HttpMessage, GzipIsTakenByQuality) {
  const struct {
    std::string_view header;
    bool gzip;
  } kCases[] = {
      {"", false},
      {"gzip", true},
      {"GZip", true},
      {"x-gzip", true},
      {"deflate", false},
      {"gzipped", false},
      {"gzip;q=0", false},
      {"gzip;q=0.000", false},
      {"gzip ; q=0", false},
      {"gzip;Q=0", false},
      {"gzip;q=0.001", true},
      {"gzip;q=1.000", true},
      {"gzip;q=1.001", false},
      {"gzip;q=2", false},
      {"gzip;q=0.5000", false},
      {"gzip;q=.5", false},
      {"gzip;q=", false},
      {"gzip;q=x", false},
      {"gzip;q=0.5;q=0", false},
      {"*", true},
      {"*;q=0", false},
      {"*, gzip;q=0", false},
      {"gzip;q=0, *", false},
      {"*;q=0, gzip", true},
      {"identity", false},
      {"identity, gzip", true},
      {"identity;q=1, gzip;q=0.5", false},
      {"identity;q=0.5, gzip;q=1.0", true},
      {"identity;q=0.5, *;q=0.1", false},
      {"identity;q=0", false},
      {" deflate ,\tgzip;q=0.8 , br", true},
      {",,;,gzip", true},
      {"gzip;level=9", true},
      {"gzip;q=0.8;level=9", true},
      // Prometheus, Go's client, a browser.
      {"gzip", true},
      {"gzip, deflate, br, zstd", true},
  };
  for (const auto& c : kCases) EXPECT_EQ(AcceptsGzip(c.header), c.gzip) << c.header;
}

TEST(HttpMessage, PathIsExact) {
  EXPECT_EQ(PathOf("/metrics"), "/metrics");
  EXPECT_EQ(PathOf("/metrics?x=y"), "/metrics");
  EXPECT_EQ(PathOf("/metrics?x=/a?b"), "/metrics");
  EXPECT_EQ(PathOf("/metrics?"), "/metrics");
  EXPECT_EQ(PathOf("//metrics"), "//metrics");
  EXPECT_EQ(PathOf("/metrics/"), "/metrics/");
  EXPECT_EQ(PathOf("/%6detrics"), "/%6detrics");
  EXPECT_EQ(PathOf("/x://y/metrics"), "/x://y/metrics");
  EXPECT_EQ(PathOf("http://host:1/metrics?x"), "/metrics");
  EXPECT_EQ(PathOf("http://host"), "/");
  EXPECT_EQ(PathOf("http://"), "/");
  EXPECT_EQ(PathOf("metrics"), "");
  EXPECT_EQ(PathOf("*"), "");
  EXPECT_EQ(PathOf(""), "");
}

TEST(HttpMessage, DateIsInHttpForm) {
  const auto at = [](std::time_t t) { return HttpDate(std::chrono::system_clock::from_time_t(t)); };
  EXPECT_EQ(at(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(at(1709164800), "Thu, 29 Feb 2024 00:00:00 GMT");
}

TEST(HttpMessage, HeadIsExact) {
  const WallTime now = std::chrono::system_clock::from_time_t(784111777);
  HttpReply reply = TextReply(200, "four");
  EXPECT_EQ(RenderHead(reply, Persistence::kKeep, now),
            "HTTP/1.1 200 OK\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 4\r\n"
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            "\r\n");
  reply.gzip = true;
  reply.vary_encoding = true;
  reply.more_headers = "Allow: GET, HEAD\r\n";
  reply.status = 405;
  reply.body = nullptr;
  EXPECT_EQ(RenderHead(reply, Persistence::kKeepExplicit, now),
            "HTTP/1.1 405 Method Not Allowed\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 0\r\n"
            "Content-Encoding: gzip\r\n"
            "Vary: Accept-Encoding\r\n"
            "Allow: GET, HEAD\r\n"
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            "Connection: keep-alive\r\n"
            "\r\n");
}

}  // namespace
}  // namespace pgsteward
