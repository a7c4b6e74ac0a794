#include "daemon/self_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/log.h"
#include "core/pg_connection.h"
#include "version.h"

namespace pgsteward {

namespace {

std::string Compiler() {
#ifdef __clang__
  return "clang-" + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__);
#else
  return "gcc-" + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
#endif
}

void AddOne(Families& families, prometheus::MetricFamily family, double value) {
  AddSample(family, {}, value);
  families.push_back(std::move(family));
}

}  // namespace

std::string VersionText() {
  return PGSTEWARD_VERSION " (revision " PGSTEWARD_REVISION ", " + Compiler() + ", libpq " +
         LibpqVersion() + ")";
}

Families BuildMetrics() {
  auto info = GaugeFamily("pgsteward_build_info", "Always 1; what this daemon was built from.");
  AddSample(info,
            {{"version", PGSTEWARD_VERSION},
             {"revision", PGSTEWARD_REVISION},
             {"compiler", Compiler()},
             {"libpq", LibpqVersion()}},
            1);
  return {info};
}

Families ReloadMetrics(const ReloadStatus& reload) {
  Families families;
  AddOne(families,
         GaugeFamily("pgsteward_config_last_reload_successful",
                     "1 when the last attempt to load the configuration succeeded; on 0 the older "
                     "one is still in force."),
         reload.successful ? 1 : 0);
  AddOne(families,
         GaugeFamily("pgsteward_config_last_reload_success_timestamp_seconds",
                     "Unix time of the last successful load of the configuration."),
         UnixSeconds(reload.last_success));
  return families;
}

Families LogMetrics() {
  auto lines = CounterFamily("pgsteward_log_messages_total", "Log lines written, by level.");
  const auto counts = LogCounts();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const std::string level(LogLevelName(static_cast<LogLevel>(i)));
    AddSample(lines, {{"level", level}}, static_cast<double>(counts[i]));
  }
  return {lines};
}

Families HttpMetrics(const HttpCounters& counters) {
  Families families;
  AddOne(families, CounterFamily("pgsteward_http_requests_total", "HTTP requests answered."),
         static_cast<double>(counters.requests));
  AddOne(families,
         CounterFamily("pgsteward_http_bad_requests_total",
                       "HTTP requests that were malformed or too large."),
         static_cast<double>(counters.bad_requests));
  AddOne(families,
         CounterFamily("pgsteward_http_rejected_connections_total",
                       "HTTP connections over web.max_connections."),
         static_cast<double>(counters.rejected_connections));
  AddOne(families,
         CounterFamily("pgsteward_http_slow_clients_total",
                       "HTTP clients cut off because they did not send or read in time."),
         static_cast<double>(counters.slow_clients));
  AddOne(
      families,
      CounterFamily("pgsteward_http_accept_failures_total",
                    "HTTP connections that could not be accepted: out of descriptors or memory."),
      static_cast<double>(counters.accept_failures));
  AddOne(families, GaugeFamily("pgsteward_http_open_connections", "HTTP connections open now."),
         counters.open_connections);
  return families;
}

Families ProcessMetrics(WallTime started) {
  Families families;
  AddOne(families,
         GaugeFamily("process_start_time_seconds", "Unix time at which the process started."),
         UnixSeconds(started));
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    AddOne(families,
           CounterFamily("process_cpu_seconds_total", "User and system CPU time of the process."),
           seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  std::ifstream statm("/proc/self/statm");
  if (double total = 0, resident = 0; statm >> total >> resident) {
    const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    AddOne(families, GaugeFamily("process_virtual_memory_bytes", "Virtual memory size."),
           total * page);
    AddOne(families, GaugeFamily("process_resident_memory_bytes", "Resident memory size."),
           resident * page);
  }
  std::error_code failed;
  const std::filesystem::directory_iterator open_fds("/proc/self/fd", failed);
  if (!failed) {
    // One of them is the directory that is being read.
    const auto count = std::distance(begin(open_fds), end(open_fds)) - 1;
    AddOne(families, GaugeFamily("process_open_fds", "Open file descriptors."),
           static_cast<double>(count));
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    AddOne(families, GaugeFamily("process_max_fds", "Largest number of open file descriptors."),
           static_cast<double>(limit.rlim_cur));
  }
  return families;
}

}  // namespace pgsteward
