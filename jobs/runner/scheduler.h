// The jobs of one server: which daemon runs them, when, and what became of them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "jobs/runner/backlog_watch.h"
#include "jobs/runner/execution.h"
#include "jobs/runner/subject_watch.h"

namespace pgsteward {

// Why jobs run here or not: label `state` of pgsteward_jobs_state.
enum class JobsState {
  kConnecting,
  kLeader,       // this daemon runs the jobs
  kFollower,     // another one does
  kUnavailable,  // the database cannot be reached
  kStandby,      // the server is a standby or read-only
  kNoSchema,     // the database lacks pgsteward's tables
  kOtherServer,  // not the server of the last time, or a primary from before a failover
  kFailed,       // anything else; the log says what
};
inline constexpr int kJobsStateCount = 8;
std::string_view JobsStateName(JobsState state);  // "leader"

struct SchedulerPolicy {
  std::string server;  // label
  PgTarget target;     // of every session
  std::vector<JobPolicy> jobs;
  std::string journal;  // path; empty: none
  Duration lease_ttl = std::chrono::seconds(30);
  std::string keep_history = "90 days";
  // Pauses, confirmations and other daemons' doings are seen after this; so is a clock that was
  // set.
  Duration look_at_least = std::chrono::seconds(10);
  Duration backlog_interval = std::chrono::minutes(5);
  BackoffPolicy reconnect;
};

// What the metrics say of a job.
struct JobStatus {
  const JobPolicy* policy = nullptr;
  JobState state;                         // as last read, or from the journal
  const JobExecution* running = nullptr;  // here
  std::string held_up;                    // why a due run does not begin
  std::optional<Backlog> backlog;
  std::string backlog_error;
};

class Scheduler {
 public:
  Scheduler(Runtime& runtime, SchedulerPolicy policy);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void Start();
  // Lets runs reach a safe point, gives the leases back and ends every task; false when one did not
  // end by the deadline.
  Task<bool> Stop(Deadline deadline);

  JobsState state() const { return state_; }
  const std::string& reason() const { return reason_; }
  const std::string& server() const { return policy_.server; }
  std::int64_t epoch() const { return leader_ ? leader_->epoch : 0; }
  std::vector<JobStatus> Jobs() const;
  // What jobs look after.
  Families Subjects() const { return subjects_.All(); }
  // Runs whose end the database does not know yet.
  std::size_t untold() const { return journal_.untold().size(); }
  // How late the scheduler looked the last time.
  Duration lag() const { return lag_; }
  WallTime last_look() const { return last_look_; }
  // Notified when anything above has changed.
  Event& changed() { return changed_; }

 private:
  struct Slot {
    explicit Slot(const JobPolicy& job) : policy(&job) {}
    const JobPolicy* policy;
    JobState state;
    std::unique_ptr<JobExecution> running;
    std::string held_up;
    SteadyTime not_before{};  // of the next attempt to start what was held up
  };

  void SetState(JobsState state, std::string reason);
  // Look now, or again when that is under way.
  void Wake();
  void NotLooked(const Error& error, int failures);
  void LeadNoMore();
  Task<void> SaveJournal();
  void SpawnLoop(Duration pause);
  // Until Stop(), after `pause`.
  Task<void> Run(Duration pause);
  // One look at everything; when to look again. An error: the connection is of no use.
  Task<Result<SteadyTime>> Look();
  Task<Result<void>> Prepare();
  // True: this daemon is the leader.
  Task<Result<bool>> Lead();
  Task<Result<void>> Manage(SteadyTime& wake);
  Task<Result<void>> TellUntold();
  Task<Result<void>> ReadStates();
  Task<Result<void>> Consider(Slot& slot, SteadyTime& wake);
  void StartRun(Slot& slot, const Decision& decision);
  Task<void> Execute(Slot& slot);
  Task<void> Resign();

  Runtime& runtime_;
  SchedulerPolicy policy_;
  Journal journal_;
  LeaseKeeper keeper_;
  JobSession db_;
  JobsState state_ = JobsState::kConnecting;
  std::string reason_;
  std::optional<LeaseGrant> leader_;
  std::vector<Slot> slots_;
  BacklogWatch backlogs_;
  SubjectWatch subjects_;
  bool states_changed_ = true;  // since the journal was written
  bool stopping_ = false;
  bool woken_ = false;  // since the last look began
  SteadyTime stop_deadline_{};
  SteadyTime prune_due_{};
  Duration lag_{};
  WallTime last_look_ = WallNow();
  Event wake_;
  Event changed_;
  TaskGroup runs_;
  TaskGroup loop_;
  TaskGroup tasks_;
};

}  // namespace pgsteward
