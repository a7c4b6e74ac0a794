// What is served: the page of metrics, health, readiness and a small landing page.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/runtime.h"
#include "core/store.h"
#include "core/task.h"
#include "daemon/http_message.h"

namespace pgsteward {

// Null when zlib fails (out of memory): the plain text is served then.
std::shared_ptr<const std::string> Gzip(const std::string& text);

// The compressed twin of the newest page. Small pages are compressed when first asked for; big ones
// (1 MiB takes several milliseconds, in which the loop would do nothing else) only ahead of time on
// the pool, and until that is done a client gets the previous pair or the plain text at once.
class GzipCache {
 public:
  explicit GzipCache(Runtime& runtime) : runtime_(runtime) {}

  struct Pair {
    std::shared_ptr<const Page> page;
    std::shared_ptr<const std::string> gzip;  // null: send the page's text as it is
  };
  // What to send to a client that takes gzip.
  Pair Get(std::shared_ptr<const Page> newest, SteadyTime now);

  // To be awaited after each rendering. Compresses when somebody asked for gzip lately.
  Task<void> Prepare(std::shared_ptr<const Page> page, SteadyTime now);

  std::uint64_t compressions() const { return compressions_; }

 private:
  Runtime& runtime_;
  Pair ready_;
  std::optional<SteadyTime> asked_;
  // While this version is being compressed, until then at most, `ready_` is good enough.
  std::uint64_t compressing_ = 0;
  SteadyTime compressing_until_;
  std::uint64_t compressions_ = 0;
};

// One line of the landing page. The texts may come from a database: they are not trusted.
struct ServerRow {
  std::string name;
  std::string state;
  std::string reason;  // empty when there is nothing to say
};

class HttpPages {
 public:
  using Servers = std::function<std::vector<ServerRow>()>;

  HttpPages(Runtime& runtime, const Store& store, std::string version, Servers servers);

  // The handler of HttpServer.
  HttpReply Handle(const HttpRequest& request);

  // What /-/ready says; not ready at first.
  void SetReady(bool ready) { ready_ = ready; }

  // To be awaited after each Store::Render(), so that no scrape waits for compression.
  Task<void> Prepare();

  const GzipCache& gzip() const { return gzip_; }

 private:
  HttpReply Metrics(const HttpRequest& request);
  HttpReply Landing() const;

  const Store& store_;
  std::string version_;
  Servers servers_;
  GzipCache gzip_;
  bool ready_ = false;
};

}  // namespace pgsteward
