// A runner's side for tests of jobs: counts, stops when told to, can lose its lease.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "jobs/job.h"

namespace pgsteward {

class FakeControl : public RunControl {
 public:
  std::string StopReason() override { return on_stop_reason ? on_stop_reason() : stop_reason; }
  Task<Result<void>> Fence(JobSession& db) override {
    ++fences;
    if (on_fence) co_await on_fence(db);
    if (lose_lease_at > 0 && fences >= lose_lease_at) {
      co_return Error(Errc::kBusy, "the lease is lost");
    }
    co_return Result<void>();
  }
  Task<void> Throttle() override {
    ++throttles;
    co_return;
  }
  void Progress(const JobReport& so_far) override {
    progress.push_back(so_far.rows_done);
    if (on_progress) on_progress(so_far);
  }
  void Note(const std::string& text) override { notes.push_back(text); }

  std::string stop_reason;
  std::function<std::string()> on_stop_reason;  // wins over stop_reason
  std::function<void(const JobReport&)> on_progress;
  std::function<Task<void>(JobSession&)> on_fence;
  int lose_lease_at = 0;  // the n-th fence fails; 0: never
  int fences = 0;
  int throttles = 0;
  std::vector<long long> progress;
  std::vector<std::string> notes;
};

}  // namespace pgsteward
