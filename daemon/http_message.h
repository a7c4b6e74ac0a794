// HTTP as values: what is asked, what is answered, and the rules between the two. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"

namespace pgsteward {

struct HttpRequest {
  // The target as sent, without host and query. Nothing is decoded: a path with '%' or a second
  // slash is another path. Empty when the target is no path.
  std::string_view path;
  bool head = false;
  bool accepts_gzip = false;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  // Shared by everybody it is being sent to, never copied. Null: empty.
  std::shared_ptr<const std::string> body;
  bool gzip = false;           // the body is gzip already
  bool vary_encoding = false;  // add "Vary: Accept-Encoding"
  // More complete header lines, each with its CRLF.
  std::string more_headers;
};

// `text` ends with a newline.
HttpReply TextReply(int status, std::string_view text);

// "/metrics" of "/metrics?x=y" and of "http://host/metrics".
std::string_view PathOf(std::string_view target);

// Whether gzip is acceptable and not worse than the plain body (RFC 9110, 12.5.3). The argument is
// all Accept-Encoding lines joined with commas; empty when there was none.
bool AcceptsGzip(std::string_view accept_encoding);

// What to do with the connection after the reply, said in the client's dialect.
enum class Persistence {
  kKeep,          // HTTP/1.1: the default
  kKeepExplicit,  // HTTP/1.0 that asked for it
  kClose,
};

// Status line and headers with the empty line that ends them.
std::string RenderHead(const HttpReply& reply, Persistence persistence, WallTime now);

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string HttpDate(WallTime time);

}  // namespace pgsteward
