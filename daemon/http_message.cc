#include "daemon/http_message.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <optional>

namespace pgsteward {

namespace {

std::string_view StatusText(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "";
  }
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Cuts the part up to `separator` off the front of `rest`.
std::string_view NextPart(std::string_view& rest, char separator) {
  const auto end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return Trim(part);
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool SameIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

// "0", "0.5", "1.000" in thousandths; anything else is 0: what we do not understand we do not send.
int QualityOf(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  if (text.size() > 1 && text[1] != '.') return 0;
  int thousandths = (text[0] - '0') * 1000;
  int weight = 100;
  for (const char digit : text.substr(std::min<std::size_t>(text.size(), 2))) {
    if (digit < '0' || digit > '9') return 0;
    thousandths += (digit - '0') * weight;
    weight /= 10;
  }
  return thousandths <= 1000 ? thousandths : 0;
}

}  // namespace

HttpReply TextReply(int status, std::string_view text) {
  HttpReply reply;
  reply.status = status;
  reply.body = std::make_shared<const std::string>(text);
  return reply;
}

std::string_view PathOf(std::string_view target) {
  if (!target.empty() && target[0] != '/') {
    const auto scheme = target.find("://");
    if (scheme == std::string_view::npos) return {};
    const auto slash = target.find('/', scheme + 3);
    if (slash == std::string_view::npos) return "/";
    target.remove_prefix(slash);
  }
  return target.substr(0, target.find('?'));
}

bool AcceptsGzip(std::string_view accept_encoding) {
  std::optional<int> gzip, any, identity;
  while (!accept_encoding.empty()) {
    std::string_view item = NextPart(accept_encoding, ',');
    const std::string_view coding = NextPart(item, ';');
    int quality = 1000;
    while (!item.empty()) {
      const std::string_view parameter = NextPart(item, ';');
      if (SameIgnoringCase(parameter.substr(0, 2), "q=")) quality = QualityOf(parameter.substr(2));
    }
    if (SameIgnoringCase(coding, "gzip") || SameIgnoringCase(coding, "x-gzip")) gzip = quality;
    if (SameIgnoringCase(coding, "identity")) identity = quality;
    if (coding == "*") any = quality;
  }
  const int wanted = gzip.value_or(any.value_or(0));
  return wanted > 0 && wanted >= identity.value_or(0);
}

std::string HttpDate(WallTime time) {
  // Not strftime: the names must not follow the locale.
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays[static_cast<std::size_t>(tm.tm_wday)], tm.tm_mday,
                kMonths[static_cast<std::size_t>(tm.tm_mon)], tm.tm_year + 1900, tm.tm_hour,
                tm.tm_min, tm.tm_sec);
  return text.data();
}

std::string RenderHead(const HttpReply& reply, Persistence persistence, WallTime now) {
  std::string head;
  head.reserve(512);
  // Always our own version, also to a client of HTTP/1.0 (RFC 9110, 6.2).
  head.append("HTTP/1.1 ").append(std::to_string(reply.status)).append(" ");
  head.append(StatusText(reply.status)).append("\r\n");
  head.append("Date: ").append(HttpDate(now)).append("\r\n");
  head.append("Content-Type: ").append(reply.content_type).append("\r\n");
  const std::size_t length = reply.body ? reply.body->size() : 0;
  head.append("Content-Length: ").append(std::to_string(length)).append("\r\n");
  if (reply.gzip) head.append("Content-Encoding: gzip\r\n");
  if (reply.vary_encoding) head.append("Vary: Accept-Encoding\r\n");
  head.append(reply.more_headers);
  head.append("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
  if (persistence == Persistence::kKeepExplicit) head.append("Connection: keep-alive\r\n");
  if (persistence == Persistence::kClose) head.append("Connection: close\r\n");
  head.append("\r\n");
  return head;
}

}  // namespace pgsteward
