#include "daemon/app.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <utility>

#include "core/log.h"

namespace pgsteward {

namespace asio = boost::asio;

namespace {

// A burst of collectors is rendered once, when it is over.
constexpr Duration kSettle = std::chrono::milliseconds(100);
// The page is rendered at least this often: series go stale, and our own numbers move.
constexpr Duration kRenderAtLeast = std::chrono::seconds(20);
// Tasks end at their current wait, so this is generous; the unit's TimeoutStopSec is above it.
constexpr Duration kStopGrace = std::chrono::seconds(5);
// Before that: runs end at a safe point. Together still below TimeoutStopSec.
constexpr Duration kStopGraceOfJobs = std::chrono::seconds(20);

void Append(Families& to, Families from) {
  for (auto& family : from) to.push_back(std::move(family));
}

std::vector<ServerRow> Rows(const std::vector<ServerStatus>& servers) {
  std::vector<ServerRow> rows;
  for (const ServerStatus& server : servers) {
    rows.push_back({server.name, std::string(ServerStateName(server.state)), server.reason});
  }
  return rows;
}

}  // namespace

void LogProblems(const std::vector<ConfigProblem>& problems, LogLevel level) {
  for (const ConfigProblem& problem : problems) {
    Log(level, "configuration", {{"at", problem.ToText()}});
  }
}

App::App(std::string config_path, LoadedConfig loaded, WallTime started)
    : config_path_(std::move(config_path)),
      config_(std::move(loaded.config)),
      started_(started),
      page_wanted_(runtime_),
      measuring_(std::make_unique<Measuring>(runtime_, config_, store_)),
      operating_(std::make_unique<Operating>(runtime_, config_, store_)),
      pages_(runtime_, store_, VersionText(), [this] { return Rows(measuring_->Servers()); }),
      http_(runtime_, [this](const HttpRequest& request) { return pages_.Handle(request); }),
      tasks_(runtime_),
      job_changes_(runtime_) {
  reload_.last_success = WallNow();
  store_.AddSource([this] {
    Families families = BuildMetrics();
    Append(families, ProcessMetrics(started_));
    Append(families, ReloadMetrics(reload_));
    Append(families, LogMetrics());
    Append(families, HttpMetrics(http_.counters()));
    Append(families, measuring_->SelfMetrics());
    Append(families, operating_->SelfMetrics());
    return families;
  });
  store_.OnDirty([this] { page_wanted_.Notify(); });
  LogProblems(loaded.warnings, LogLevel::kWarning);
}

int App::Run() {
  RunToEnd(runtime_, Main());
  // Connections with a statement under way cancel it when they die: LeaveWith must see that.
  if (all_ended_) {
    retired_.clear();
    operating_.reset();
    measuring_.reset();
  }
  return LeaveWith(runtime_, exit_code_, all_ended_);
}

Task<void> App::Main() {
  asio::signal_set signals(runtime_.loop, SIGTERM, SIGINT, SIGHUP);
  if (auto listening = ApplyWeb(config_.web); !listening) {
    Log(LogLevel::kError, "cannot listen", WithError({}, listening.error()));
    exit_code_ = 1;
    co_return;
  }
  store_.Render(SteadyNow());  // never an empty page, not even for the first scrape
  SpawnRender();
  if (notifier_.watchdog_interval()) tasks_.Spawn("watchdog", FeedWatchdog());
  measuring_->Start();
  operating_->Start();
  pages_.SetReady(true);
  // Ready although PostgreSQL may be away: somebody must be there to say pg_up 0.
  notifier_.Ready(StatusText());
  LogInfo("serving", {{"address", http_.address()},
                      {"servers", config_.servers.size()},
                      {"collectors", measuring_->collectors()},
                      {"jobs", operating_->jobs()}});
  for (;;) {
    const int signal = co_await signals.async_wait(asio::use_awaitable);
    if (signal != SIGHUP) {
      LogInfo("stopping", {{"signal", signal}});
      break;
    }
    co_await Reload();
  }
  co_await Shutdown();
}

Result<void> App::ApplyWeb(const WebConfig& web) {
  auto listening = http_.Listen(web.listen_address);
  if (!listening) return listening.error();
  HttpLimits limits;
  limits.connections = web.max_connections;
  http_.SetLimits(limits);
  return {};
}

void App::SpawnRender() {
  tasks_.Spawn("render", Render(), [this] { SpawnRender(); });
}

Task<void> App::Render() {
  for (;;) {
    if (!store_.dirty()) co_await page_wanted_.WaitUntil(SteadyNow() + kRenderAtLeast);
    co_await SleepUntil(SteadyNow() + kSettle);
    store_.Render(SteadyNow());
    last_render_ = SteadyNow();
    co_await pages_.Prepare();
    notifier_.Status(StatusText());
  }
}

Task<void> App::FeedWatchdog() {
  const Duration interval = *notifier_.watchdog_interval();
  for (;;) {
    // Only while pages are really being made: a loop that merely turns is no life.
    if (SteadyNow() - last_render_ < 3 * kRenderAtLeast) notifier_.Watchdog();
    co_await SleepUntil(SteadyNow() + interval / 3);
  }
}

Task<void> App::Reload() {
  notifier_.Reloading();
  auto loaded = LoadConfig(config_path_);
  reload_.successful = false;
  if (!loaded) {
    LogProblems(loaded.error(), LogLevel::kError);
    LogError("configuration not reloaded, the old one stays in force", {{"file", config_path_}});
  } else if (auto listening = ApplyWeb(loaded->config.web); !listening) {
    Log(LogLevel::kError, "configuration not reloaded, the old one stays in force",
        WithError({}, listening.error()));
  } else {
    reload_.successful = true;
    reload_.last_success = WallNow();
    LogProblems(loaded->warnings, LogLevel::kWarning);
    InitLog(loaded->config.log);
    auto next = std::make_unique<Measuring>(runtime_, loaded->config, store_);
    const bool ended = co_await measuring_->Stop(SteadyNow() + kStopGrace);
    if (!ended) retired_.push_back(std::move(measuring_));
    measuring_ = std::move(next);
    const Config before = std::exchange(config_, std::move(loaded->config));
    // What was measured a moment ago stays on the page until it is measured anew, unless the name
    // now means another server.
    store_.Retain([this, &before](const SnapshotKey& key) {
      return measuring_->Publishes(key) && measuring_->SameServer(before, key.server);
    });
    measuring_->Start();
    StartChangeOfJobs();
    LogInfo("configuration reloaded", {{"file", config_path_},
                                       {"servers", config_.servers.size()},
                                       {"collectors", measuring_->collectors()},
                                       {"jobs", config_.jobs.size()}});
  }
  store_.MarkDirty();
  notifier_.Ready(StatusText());
}

void App::StartChangeOfJobs() {
  // One that is under way looks at config_ again when it is done.
  if (!job_changes_.empty() || operating_->Same(config_)) return;
  job_changes_.Spawn("change of jobs", ChangeJobs());
}

Task<void> App::ChangeJobs() {
  while (!shutting_down_ && !operating_->Same(config_)) {
    const bool ended = co_await operating_->Become(config_, SteadyNow() + kStopGraceOfJobs);
    if (!ended) {
      // Two of us at once would both hold the leases.
      LogError("jobs did not stop in time and are not started again",
               {{"hint", "Restart pgsteward."}});
      co_return;
    }
    LogInfo("jobs changed", {{"jobs", operating_->jobs()}});
    store_.MarkDirty();
  }
}

Task<bool> App::StopJobs() {
  shutting_down_ = true;
  const Deadline deadline = SteadyNow() + kStopGraceOfJobs;
  const bool changed = co_await job_changes_.Join(deadline + kStopGrace);
  if (!changed) co_return false;
  const bool ended = co_await operating_->Stop(deadline);
  co_return ended;
}

Task<void> App::Shutdown() {
  notifier_.Stopping();
  pages_.SetReady(false);
  const bool jobs_ended = co_await StopJobs();
  const Deadline deadline = SteadyNow() + kStopGrace;
  const bool ended = co_await measuring_->Stop(deadline);
  // The server stops last, so that replies under way are finished.
  co_await http_.Stop(deadline);
  tasks_.Stop();
  const bool joined = co_await tasks_.Join(deadline);
  all_ended_ = jobs_ended && ended && joined && retired_.empty();
  LogInfo("stopped");
}

std::string App::StatusText() const {
  int up = 0;
  const auto servers = measuring_->Servers();
  for (const ServerStatus& server : servers) up += server.state == ServerState::kUp ? 1 : 0;
  return std::to_string(up) + "/" + std::to_string(servers.size()) + " servers up, " +
         std::to_string(measuring_->collectors()) + " collectors, " +
         std::to_string(measuring_->failing_collectors()) + " failing, " +
         (operating_->jobs() == 0 ? ""
                                  : std::to_string(operating_->jobs()) + " jobs, " +
                                        std::to_string(operating_->running()) + " running, ") +
         std::to_string(store_.page()->samples) + " samples, http://" + http_.address();
}

}  // namespace pgsteward
