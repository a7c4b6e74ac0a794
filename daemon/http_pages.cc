#include "daemon/http_pages.h"

#include <zlib.h>

#include "core/utf8.h"
#include "core/wait.h"

namespace pgsteward {

namespace {

// Compressed on the loop: about 2 ms.
constexpr std::size_t kInlineBytes = 256 * 1024;
constexpr Duration kAskedLately = std::chrono::minutes(10);
// Longer than any compression; the pool may be busy with a name server that does not answer.
constexpr Duration kCompressTimeout = std::chrono::seconds(1);

constexpr std::string_view kStyle =
    ":root { color-scheme: light dark; }\n"
    "body { font-family: system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; "
    "padding: 0 1rem; line-height: 1.5; }\n"
    "table { border-collapse: collapse; }\n"
    "th, td { text-align: left; padding: 0.25rem 1.5rem 0.25rem 0; vertical-align: top; "
    "overflow-wrap: anywhere; }\n";

// For text and quoted attributes. Control characters have no business in a page.
std::string EscapeHtml(const std::string& hostile) {
  std::string out;
  for (const char c : ValidUtf8(hostile)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default: {
        const auto u = static_cast<unsigned char>(c);
        out += u < 0x20 || u == 0x7f ? ' ' : c;
      }
    }
  }
  return out;
}

// <bdi>: a text that switches the writing direction must not turn round its neighbours.
std::string Cell(const std::string& hostile) {
  return "<td><bdi>" + EscapeHtml(hostile) + "</bdi></td>";
}

// The page's text, kept alive by the page.
std::shared_ptr<const std::string> TextOf(const std::shared_ptr<const Page>& page) {
  return {page, &page->text};
}

}  // namespace

std::shared_ptr<const std::string> Gzip(const std::string& text) {
  z_stream stream{};
  constexpr int kGzipFormat = 15 + 16;
  // Level 1: level 6 takes three times as long and saves little on metrics.
  if (deflateInit2(&stream, 1, Z_DEFLATED, kGzipFormat, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int end = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (end != Z_STREAM_END) return {};
  out.shrink_to_fit();
  return std::make_shared<const std::string>(std::move(out));
}

GzipCache::Pair GzipCache::Get(std::shared_ptr<const Page> newest, SteadyTime now) {
  asked_ = now;
  if (ready_.gzip && ready_.page->version == newest->version) return ready_;
  const bool soon = compressing_ == newest->version && now < compressing_until_;
  if (ready_.gzip && soon) return ready_;
  if (newest->text.size() > kInlineBytes) return Pair{std::move(newest), nullptr};
  ++compressions_;
  auto gzip = Gzip(newest->text);
  ready_ = Pair{std::move(newest), std::move(gzip)};
  return ready_;
}

Task<void> GzipCache::Prepare(std::shared_ptr<const Page> page, SteadyTime now) {
  if (ready_.gzip && ready_.page->version == page->version) co_return;
  if (!asked_ || now - *asked_ > kAskedLately) {
    ready_ = {};  // it would be old news when somebody asks again
    co_return;
  }
  const std::uint64_t version = page->version;
  const Deadline deadline = now + kCompressTimeout;
  compressing_ = version;
  compressing_until_ = deadline;
  ++compressions_;
  auto compress = [page] { return Gzip(page->text); };
  auto gzip = co_await Offload(runtime_, std::move(compress), deadline);
  if (compressing_ != version) co_return;  // overtaken by a newer page
  compressing_ = 0;
  ready_ = {};
  if (gzip && *gzip) ready_ = Pair{std::move(page), std::move(*gzip)};
}

HttpPages::HttpPages(Runtime& runtime, const Store& store, std::string version, Servers servers)
    : store_(store), version_(std::move(version)), servers_(std::move(servers)), gzip_(runtime) {}

HttpReply HttpPages::Handle(const HttpRequest& request) {
  if (request.path == "/metrics") return Metrics(request);
  if (request.path == "/-/healthy") return TextReply(200, "healthy\n");
  if (request.path == "/-/ready") {
    return ready_ ? TextReply(200, "ready\n") : TextReply(503, "not ready\n");
  }
  if (request.path == "/") return Landing();
  if (request.path == "/style.css") {
    HttpReply reply = TextReply(200, kStyle);
    reply.content_type = "text/css; charset=utf-8";
    return reply;
  }
  return TextReply(404, "nothing here; try /metrics, /-/healthy, /-/ready or /\n");
}

Task<void> HttpPages::Prepare() {
  auto page = store_.page();
  const SteadyTime now = SteadyNow();
  co_await gzip_.Prepare(std::move(page), now);
}

HttpReply HttpPages::Metrics(const HttpRequest& request) {
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.vary_encoding = true;
  auto page = store_.page();
  if (request.accepts_gzip) {
    const GzipCache::Pair pair = gzip_.Get(page, SteadyNow());
    if (pair.gzip) {
      reply.body = pair.gzip;
      reply.gzip = true;
      return reply;
    }
  }
  reply.body = TextOf(page);
  return reply;
}

HttpReply HttpPages::Landing() const {
  // Relative links: the page may stand behind a proxy under a prefix.
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>pgsteward</title>\n<link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n"
      "<h1>pgsteward " +
      EscapeHtml(version_) +
      "</h1>\n<p>Watches over PostgreSQL.</p>\n<ul>\n"
      "<li><a href=\"metrics\">Metrics</a></li>\n"
      "<li><a href=\"-/healthy\">Healthy</a>: the process answers</li>\n"
      "<li><a href=\"-/ready\">Ready</a>: it has begun to measure</li>\n</ul>\n"
      "<table>\n<tr><th>Server</th><th>State</th><th>Reason</th></tr>\n";
  for (const ServerRow& row : servers_()) {
    html += "<tr>" + Cell(row.name) + Cell(row.state) + Cell(row.reason) + "</tr>\n";
  }
  html += "</table>\n</body>\n</html>\n";
  HttpReply reply = TextReply(200, html);
  reply.content_type = "text/html; charset=utf-8";
  reply.more_headers =
      "Content-Security-Policy: default-src 'none'; style-src 'self'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'\r\n";
  return reply;
}

}  // namespace pgsteward
