// What the daemon says of itself: build, process, configuration, log, HTTP.
#pragma once

#include "core/clock.h"
#include "core/metrics.h"
#include "daemon/http_message.h"
#include "daemon/http_server.h"

namespace pgsteward {

// "0.1.0 (revision 8fb33d6, gcc-12.2, libpq 15.18)".
std::string VersionText();

struct ReloadStatus {
  bool successful = true;
  WallTime last_success{};
};

Families BuildMetrics();
Families ReloadMetrics(const ReloadStatus& reload);
Families LogMetrics();
Families HttpMetrics(const HttpCounters& counters);
// process_* with the names of the Prometheus client libraries, from /proc/self. What cannot be read
// is left out. `started` is when main() began: /proc/stat is hidden in our sandbox.
Families ProcessMetrics(WallTime started);

}  // namespace pgsteward
