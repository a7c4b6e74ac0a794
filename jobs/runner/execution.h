// One run of a job, from its leases to its record: for the scheduler and for `pgsteward job run`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/task_group.h"
#include "jobs/runner/journal.h"
#include "jobs/runner/lease.h"
#include "jobs/runner/run_store.h"
#include "jobs/throttle/throttle_watch.h"

namespace pgsteward {

// What one run is asked to be.
struct RunRequest {
  explicit RunRequest(const JobPolicy& job) : policy(&job) {}

  const JobPolicy* policy;  // must outlive the run
  Trigger trigger = Trigger::kManual;
  std::optional<WallTime> due;
  int attempt = 1;
  // Of a due time: what was decided, and on which state. It is claimed with the run's record.
  std::optional<JobState> before = {};
  std::optional<Decision> decision = {};
  bool dry_run = false;  // takes no lease, leaves no record
  std::map<std::string, std::string> arguments = {};
  std::string confirmed_plan = {};  // a person's word for this plan
};

struct RunOutcome {
  enum class End {
    kRan,         // with `record`
    kBusy,        // somebody holds a lease; `error` says who
    kNotClaimed,  // this due time has been run, or somebody has paused the job
    kNotBegun,    // `error` says why
  };
  End end = End::kNotBegun;
  RunRecord record;
  std::optional<Error> error;  // of the run too, when it failed
  bool told = false;           // the database knows the end; else it is in the journal
};

// The name of a run's lease, and those of its groups.
std::vector<std::string> LeaseNames(const JobPolicy& policy);

class JobExecution : public RunControl {
 public:
  // `on_note`: steps for a person reading along. All references must outlive it.
  JobExecution(Runtime& runtime, PgTarget target, LeaseKeeper& keeper, Journal& journal,
               RunRequest request);

  Task<RunOutcome> Run();
  // Asks the run to end at its next safe point.
  void RequestStop(std::string reason);
  // Cancels the job's function at its present wait; the end is recorded all the same.
  void Cancel();

  // Its due time is taken, and it is in the history.
  bool claimed() const { return !grants_.empty(); }
  // What it has done so far, and what holds it up now (empty: nothing).
  const JobReport& progress() const { return progress_; }
  const std::string& throttled_by() const { return throttled_by_; }
  const JobPolicy& policy() const { return *request_.policy; }
  const std::string& run_id() const { return record_.run_id; }
  WallTime started() const { return record_.started; }
  // Seconds by reason, so far.
  std::map<std::string, double> throttled() const { return throttle_.HeldSeconds(SteadyNow()); }

  std::function<void(const JobReport&)> on_progress;
  std::function<void(const std::string&)> on_note;

  // RunControl:
  std::string StopReason() override;
  Task<Result<void>> Fence(JobSession& db) override;
  Task<void> Throttle() override;
  void Progress(const JobReport& so_far) override;
  void Note(const std::string& text) override;

 private:
  // Takes the leases and makes the record, in one transaction: kBusy when somebody holds one.
  Task<Result<Claim>> TakeRun();
  Task<void> Work();
  Task<void> Body();
  // Looks at the throttle gates, on a connection of their own.
  Task<Result<ThrottleFacts>> ReadGates();
  Task<Result<void>> CheckGates();
  bool throttled_at_all() const { return !request_.policy->spec->throttle_table.empty(); }
  // Runs the job's function as a task of its own, until it ends or must be cancelled.
  Task<void> Supervise();
  void Conclude();
  Task<void> Tell(RunOutcome& outcome);
  // Writes the journal.
  Task<void> Keep();
  bool NeedsConfirmation() const;

  Runtime& runtime_;
  LeaseKeeper& keeper_;
  Journal& journal_;
  RunRequest request_;
  JobSession db_;
  JobSession gates_;
  ThrottlePolicy throttle_policy_;
  ThrottleWatch throttle_;
  SteadyTime next_look_{};
  std::vector<LeaseGrant> grants_;
  RunRecord record_;
  JobReport report_;
  JobReport progress_;
  std::optional<Result<void>> outcome_;
  std::string stop_reason_;
  bool cancelled_ = false;
  std::string throttled_by_;
  std::optional<SteadyTime> deadline_;
  Event changed_;
  TaskGroup body_;
};

}  // namespace pgsteward
