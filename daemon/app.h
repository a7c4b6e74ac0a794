// The running daemon: object graph, life cycle, reload.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/runtime.h"
#include "core/store.h"
#include "core/task_group.h"
#include "core/wait.h"
#include "daemon/config.h"
#include "daemon/http_pages.h"
#include "daemon/http_server.h"
#include "daemon/measuring.h"
#include "daemon/notify.h"
#include "daemon/operating.h"
#include "daemon/self_metrics.h"

namespace pgsteward {

class App {
 public:
  App(std::string config_path, LoadedConfig loaded, WallTime started);

  // Serves until SIGTERM or SIGINT. The exit code: 0, or 1 when it cannot listen.
  int Run();

 private:
  Task<void> Main();
  void SpawnRender();
  Task<void> Render();
  Task<void> FeedWatchdog();
  Task<void> Reload();
  // Brings the jobs in line with config_, in the background: a run under way is let reach a safe
  // point first, and a signal must not wait for that.
  void StartChangeOfJobs();
  Task<void> ChangeJobs();
  Task<bool> StopJobs();
  Task<void> Shutdown();
  // Builds what `config` says; on error nothing has changed.
  Result<void> ApplyWeb(const WebConfig& web);
  std::string StatusText() const;

  // Every task has ended before this dies; if one has not, Run() leaves without destructors.
  Runtime runtime_;
  std::string config_path_;
  Config config_;
  WallTime started_;
  ReloadStatus reload_;
  Notifier notifier_;
  Store store_;
  Event page_wanted_;
  std::unique_ptr<Measuring> measuring_;
  std::vector<std::unique_ptr<Measuring>> retired_;  // those that did not stop in time
  std::unique_ptr<Operating> operating_;
  HttpPages pages_;
  HttpServer http_;
  TaskGroup tasks_;
  TaskGroup job_changes_;
  SteadyTime last_render_{};
  bool shutting_down_ = false;
  bool all_ended_ = true;
  int exit_code_ = 0;
};

// The warnings and problems of a configuration, a line each, to the log.
void LogProblems(const std::vector<ConfigProblem>& problems, LogLevel level);

}  // namespace pgsteward
