#include "jobs/runner/scheduler.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/log.h"
#include "core/pg_conninfo.h"
#include "core/random.h"
#include "jobs/runner/job_store.h"
#include "jobs/runner/run_store.h"

namespace pgsteward {

namespace {

constexpr std::string_view kLeaderLease = "scheduler";
// What found its lease held, or the server away, is tried again after this.
constexpr Duration kTryAgain = std::chrono::seconds(5);
// A run that is about to claim its due time is looked at again after this.
constexpr Duration kClaimPause = std::chrono::seconds(1);
// What died of a bug of ours is started again after this.
constexpr Duration kPauseAfterBug = std::chrono::seconds(60);
// Looks that failed one after the other: somebody else may lead better.
constexpr int kGiveUpAfter = 5;
constexpr Duration kPrunePause = std::chrono::hours(1);
constexpr Duration kTimeout = std::chrono::seconds(10);
// Of a stop: for giving leases back, after the runs.
constexpr Duration kResignTime = std::chrono::seconds(1);

JobsState StateOfError(const Error& error) {
  switch (error.code) {
    case Errc::kUnavailable:
      return error.sqlstate == "25006" ? JobsState::kStandby : JobsState::kUnavailable;
    case Errc::kConnectionLost:
    case Errc::kTimeout:
      return JobsState::kUnavailable;
    case Errc::kUnsupported:
      return error.sqlstate == "3F000" ? JobsState::kNoSchema : JobsState::kFailed;
    case Errc::kBadConfig:
      return JobsState::kOtherServer;
    default:
      return JobsState::kFailed;
  }
}

}  // namespace

std::string_view JobsStateName(JobsState state) {
  constexpr std::array<std::string_view, kJobsStateCount> kNames = {
      "connecting", "leader",    "follower",     "unavailable",
      "standby",    "no_schema", "other_server", "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

Scheduler::Scheduler(Runtime& runtime, SchedulerPolicy policy)
    : runtime_(runtime),
      policy_(std::move(policy)),
      journal_(runtime, policy_.journal),
      keeper_(runtime, policy_.target, LeaseHolder(), policy_.lease_ttl, journal_.Check()),
      db_(runtime, policy_.target),
      backlogs_(runtime, policy_.target, policy_.jobs, policy_.server, policy_.backlog_interval,
                [this] { return leader_.has_value(); }),
      subjects_(runtime, policy_.jobs, policy_.server),
      wake_(runtime),
      changed_(runtime),
      runs_(runtime),
      loop_(runtime),
      tasks_(runtime) {
  slots_.reserve(policy_.jobs.size());
  for (const JobPolicy& job : policy_.jobs) {
    slots_.emplace_back(job);
    slots_.back().state.job = job.name;
    slots_.back().state.registered_at = WallNow();
  }
  if (auto loaded = journal_.Load(); !loaded) {
    Log(LogLevel::kWarning, "journal of jobs", WithError({{"server", server()}}, loaded.error()));
  }
  for (const JobState& state : journal_.states()) {
    for (Slot& slot : slots_) {
      if (slot.policy->name == state.job) slot.state = state;
    }
  }
}

void Scheduler::SetState(JobsState state, std::string reason) {
  if (state == state_ && reason == reason_) return;
  state_ = state;
  reason_ = std::move(reason);
  const bool fine = state == JobsState::kLeader || state == JobsState::kFollower;
  Log(fine ? LogLevel::kInfo : LogLevel::kWarning, fine ? "jobs" : "jobs do not run",
      {{"server", server()}, {"state", JobsStateName(state_)}, {"reason", reason_}});
  changed_.Notify();
}

void Scheduler::Start() {
  tasks_.Spawn("leases of " + server(), keeper_.Run());
  tasks_.Spawn("backlogs of " + server(), backlogs_.Run());
  tasks_.Spawn("subjects of " + server(), subjects_.Run());
  SpawnLoop(Duration{});
}

void Scheduler::SpawnLoop(Duration pause) {
  loop_.Spawn("jobs of " + server(), Run(pause), [this] {
    if (!stopping_) SpawnLoop(kPauseAfterBug);
  });
}

Task<void> Scheduler::Run(Duration pause) {
  if (pause > Duration{}) co_await wake_.WaitUntil(SteadyNow() + pause);
  int failures = 0;
  while (!stopping_) {
    woken_ = false;
    last_look_ = WallNow();
    auto wake = co_await Look();
    SteadyTime until = SteadyNow() + policy_.look_at_least;
    if (wake) {
      failures = 0;
      until = std::min(until, *wake);
    } else {
      NotLooked(wake.error(), ++failures);
      until = SteadyNow() + BackoffPause(policy_.reconnect, failures, RandomFraction());
    }
    changed_.Notify();
    // What happened during the look is looked at now.
    if (wake && woken_) continue;
    if (stopping_) break;
    const bool woken = co_await wake_.WaitUntil(until);
    lag_ = woken ? Duration{} : std::max<Duration>(SteadyNow() - until, Duration{});
  }
  // Nobody else shall begin before our runs have ended, and everybody at once after it.
  co_await runs_.Join(stop_deadline_ - kResignTime);
  if (db_.open()) co_await ReadStates();
  co_await Resign();
  co_await SaveJournal();
}

void Scheduler::Wake() {
  woken_ = true;
  wake_.Notify();
}

// The lease is kept as long as its renewal goes well: one failed statement must not cost everybody
// a lease's time without a leader. On a server that is not ours to work on it is let go.
void Scheduler::NotLooked(const Error& error, int failures) {
  db_.Close();
  const JobsState state = StateOfError(error);
  const bool elsewhere = state == JobsState::kStandby || state == JobsState::kOtherServer ||
                         state == JobsState::kNoSchema;
  const bool lost = leader_ && !keeper_.Holds(*leader_);
  if (elsewhere || lost || failures >= kGiveUpAfter) LeadNoMore();
  for (Slot& slot : slots_) slot.held_up.clear();
  SetState(state, ToText(error));
}

void Scheduler::LeadNoMore() {
  if (leader_) {
    std::vector<LeaseGrant> lost = {*leader_};
    keeper_.Remove(lost);
    leader_.reset();
  }
  // They are the next leader's to tell.
  for (Slot& slot : slots_) slot.held_up.clear();
  backlogs_.Forget();
}

Task<Result<SteadyTime>> Scheduler::Look() {
  auto ready = co_await Prepare();
  if (!ready) co_return ready.error();
  auto told = co_await TellUntold();
  if (!told) co_return told.error();
  SteadyTime wake = SteadyNow() + policy_.look_at_least / 2;
  auto leads = co_await Lead();
  if (!leads) co_return leads.error();
  if (!*leads) {
    auto read = co_await ReadStates();
    if (!read) co_return read.error();
    co_return wake;
  }
  wake = SteadyNow() + policy_.look_at_least;
  auto managed = co_await Manage(wake);
  if (!managed) co_return managed.error();
  co_return wake;
}

Task<Result<void>> Scheduler::Prepare() {
  auto facts = co_await OpenPrimary(db_, journal_.Check());
  if (!facts) co_return facts.error();
  if (facts->system_identifier != journal_.system_identifier() ||
      facts->timeline != journal_.timeline()) {
    journal_.SetServer(facts->system_identifier, facts->timeline);
    co_await SaveJournal();
  }
  co_return Result<void>();
}

Task<Result<bool>> Scheduler::Lead() {
  if (leader_ && keeper_.Holds(*leader_)) {
    SetState(JobsState::kLeader, "epoch " + std::to_string(leader_->epoch));
    co_return true;
  }
  if (leader_) {
    LogWarning("leadership of jobs lost", {{"server", server()}, {"epoch", leader_->epoch}});
    LeadNoMore();
  }
  const SteadyTime asked = SteadyNow();
  auto begun = co_await db_.Begin(TransactionSettings(kTimeout));
  if (!begun) co_return begun.error();
  std::vector<std::string> names(1, std::string(kLeaderLease));
  auto grants = co_await AcquireLeases(db_, std::move(names), keeper_.holder(), keeper_.ttl());
  if (!grants) {
    co_await db_.Rollback();
    if (grants.error().code != Errc::kBusy) co_return grants.error();
    SetState(JobsState::kFollower, grants.error().message);
    co_return false;
  }
  auto committed = co_await db_.Commit();
  if (!committed) co_return committed.error();
  leader_ = grants->front();
  keeper_.Add(*grants, asked);
  backlogs_.Wake();
  SetState(JobsState::kLeader, "epoch " + std::to_string(leader_->epoch));
  co_return true;
}

Task<Result<void>> Scheduler::TellUntold() {
  // A copy: runs that end meanwhile change the journal.
  const std::vector<RunRecord> untold = journal_.untold();
  for (const RunRecord& record : untold) {
    if (std::any_of(slots_.begin(), slots_.end(), [&record](const Slot& slot) {
          return slot.running && slot.running->run_id() == record.run_id;
        })) {
      continue;  // its own run is telling it
    }
    auto told = co_await FinishRun(db_, record);
    if (!told && !db_.open()) co_return told;
    if (!told) {
      // It stays in the journal, and on a metric; the jobs do not wait for it.
      Log(LogLevel::kWarning, "end of a run not told",
          WithError({{"server", server()}, {"run", record.run_id}}, told.error()));
      continue;
    }
    LogInfo("end of a run told late", {{"server", server()},
                                       {"job", record.job},
                                       {"run", record.run_id},
                                       {"status", RunStatusName(record.report.status)}});
    journal_.Told(record.run_id);
    co_await SaveJournal();
  }
  co_return Result<void>();
}

Task<void> Scheduler::SaveJournal() {
  auto saved = co_await journal_.Save();
  if (!saved)
    Log(LogLevel::kWarning, "journal of jobs", WithError({{"server", server()}}, saved.error()));
}

Task<Result<void>> Scheduler::ReadStates() {
  auto states = co_await LoadJobStates(db_);
  if (!states) co_return states.error();
  for (const JobState& state : *states) {
    for (Slot& slot : slots_) {
      if (slot.policy->name == state.job) slot.state = state;
    }
  }
  journal_.SetStates(std::move(*states));
  if (std::exchange(states_changed_, false)) co_await SaveJournal();
  co_return Result<void>();
}

Task<Result<void>> Scheduler::Manage(SteadyTime& wake) {
  auto aborted = co_await AbortLostRuns(db_, keeper_.holder(), policy_.jobs);
  if (!aborted) co_return aborted.error();
  for (const std::string& run : *aborted) {
    LogWarning("run aborted: its process went away", {{"server", server()}, {"run", run}});
  }
  auto registered = co_await RegisterJobs(db_, policy_.jobs);
  if (!registered) co_return registered;
  auto read = co_await ReadStates();
  if (!read) co_return read;
  for (Slot& slot : slots_) {
    auto considered = co_await Consider(slot, wake);
    if (!considered) co_return considered;
  }
  if (SteadyNow() >= prune_due_) {
    prune_due_ = SteadyNow() + kPrunePause;
    auto pruned = co_await PruneHistory(db_, policy_.keep_history);
    if (!pruned && !db_.open()) co_return pruned.error();
    if (!pruned) {
      Log(LogLevel::kWarning, "history not pruned",
          WithError({{"server", server()}}, pruned.error()));
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Scheduler::Consider(Slot& slot, SteadyTime& wake) {
  const WallTime now = WallNow();
  const bool running = slot.running != nullptr;
  if (running && !slot.running->claimed()) {
    // Its due time is still in the job's row; that is no overlap.
    wake = std::min<SteadyTime>(wake, SteadyNow() + kClaimPause);
    co_return Result<void>();
  }
  const Decision decision = Decide(*slot.policy, slot.state, running, slot.held_up, now);
  if (running && decision.cancel_running) slot.running->RequestStop("cancelled");
  if (running && decision.held_up == "paused") slot.running->RequestStop("paused");
  if (decision.wake) {
    wake = std::min(wake, SteadyNow() + std::chrono::duration_cast<Duration>(*decision.wake - now));
  }
  if (decision.start && SteadyNow() < slot.not_before) {
    wake = std::min(wake, slot.not_before);
    co_return Result<void>();
  }
  if (decision.start) {
    if (!stopping_) StartRun(slot, decision);
    co_return Result<void>();
  }
  slot.held_up = decision.held_up;
  if (!decision.store) co_return Result<void>();
  auto stored = co_await StoreDecision(db_, *slot.policy, slot.state, decision);
  if (!stored) co_return stored.error();
  if (!*stored) {
    wake = SteadyNow();  // somebody else has changed it: look again
    co_return Result<void>();
  }
  if (decision.missed > 0) {
    LogWarning("due times missed", {{"server", server()},
                                    {"job", slot.policy->name},
                                    {"count", decision.missed},
                                    {"reason", decision.missed_reason}});
  }
  slot.state.next_due = decision.next_due;
  slot.state.queued = decision.queued;
  slot.state.timetable = decision.timetable;
  co_return Result<void>();
}

void Scheduler::StartRun(Slot& slot, const Decision& decision) {
  RunRequest request(*slot.policy);
  request.trigger = decision.start->trigger;
  request.due = decision.start->due;
  request.attempt = decision.start->attempt;
  request.before = slot.state;
  request.decision = decision;
  slot.running = std::make_unique<JobExecution>(runtime_, policy_.target, keeper_, journal_,
                                                std::move(request));
  slot.running->on_progress = [this](const JobReport&) { changed_.Notify(); };
  slot.running->on_note = [this, &slot](const std::string& text) {
    LogInfo("job", {{"server", server()}, {"job", slot.policy->name}, {"note", text}});
  };
  // A bug of ours must not leave the job running for ever.
  const auto on_bug = [this, &slot] {
    slot.running.reset();
    slot.not_before = SteadyNow() + kPauseAfterBug;
    Wake();
  };
  runs_.Spawn("run of " + slot.policy->name, Execute(slot), on_bug);
}

Task<void> Scheduler::Execute(Slot& slot) {
  const RunOutcome outcome = co_await slot.running->Run();
  slot.running.reset();
  slot.held_up.clear();
  const RunRecord& record = outcome.record;
  switch (outcome.end) {
    case RunOutcome::End::kRan: {
      const JobReport& report = record.report;
      const bool fine = report.status == RunStatus::kOk || report.status == RunStatus::kPartial;
      std::vector<LogField> fields = {
          {"server", server()},
          {"job", record.job},
          {"run", record.run_id},
          {"status", RunStatusName(report.status)},
          {"reason", report.reason},
          {"rows", report.rows_done},
          {"skipped", report.rows_skipped},
          {"quarantined", report.rows_quarantined},
          {"seconds", std::chrono::duration<double>(record.finished - record.started).count()}};
      if (outcome.error) {
        for (const LogField& field : WithError({}, *outcome.error)) fields.push_back(field);
      }
      Log(fine ? LogLevel::kInfo : LogLevel::kWarning, "run ended", fields);
      states_changed_ = true;
      backlogs_.Outdate(record.job);
      subjects_.Wake();
      break;
    }
    case RunOutcome::End::kBusy:
      slot.held_up = outcome.error->message;
      slot.not_before = SteadyNow() + kTryAgain;
      break;
    case RunOutcome::End::kNotClaimed:
      LogInfo("due time not claimed: the job's row has changed meanwhile",
              {{"server", server()}, {"job", slot.policy->name}});
      slot.not_before = SteadyNow() + std::chrono::seconds(1);
      break;
    case RunOutcome::End::kNotBegun:
      slot.held_up = "unavailable: " + outcome.error->message;
      slot.not_before = SteadyNow() + kTryAgain;
      Log(LogLevel::kWarning, "run not begun",
          WithError({{"server", server()}, {"job", slot.policy->name}}, *outcome.error));
      break;
  }
  Wake();
  changed_.Notify();
}

std::vector<JobStatus> Scheduler::Jobs() const {
  std::vector<JobStatus> jobs;
  for (const Slot& slot : slots_) {
    JobStatus status;
    status.policy = slot.policy;
    status.state = slot.state;
    status.running = slot.running.get();
    status.held_up = slot.held_up;
    if (const auto* measured = backlogs_.Find(slot.policy->name)) {
      status.backlog = measured->backlog;
      status.backlog_error = measured->error;
    }
    jobs.push_back(std::move(status));
  }
  return jobs;
}

Task<void> Scheduler::Resign() {
  if (!leader_) co_return;
  std::vector<LeaseGrant> grants(1, *leader_);
  keeper_.Remove(grants);
  leader_.reset();
  if (db_.open()) co_await ReleaseLeases(db_, std::move(grants), keeper_.holder());
}

Task<bool> Scheduler::Stop(Deadline deadline) {
  stopping_ = true;
  stop_deadline_ = deadline;
  Wake();
  for (Slot& slot : slots_) {
    if (slot.running) slot.running->RequestStop("shutdown");
  }
  co_await runs_.Join(deadline - 2 * kResignTime);
  for (Slot& slot : slots_) {
    if (slot.running) slot.running->Cancel();
  }
  co_await runs_.Join(deadline - kResignTime);
  co_await loop_.Join(deadline);
  runs_.Stop();
  loop_.Stop();
  tasks_.Stop();
  bool ended = true;
  for (TaskGroup* group : {&runs_, &loop_, &tasks_}) {
    const bool joined = co_await group->Join(deadline + kResignTime);
    ended = ended && joined;
    for (const std::string& name : group->Running()) {
      LogWarning("task did not stop in time", {{"task", name}});
    }
  }
  co_return ended;
}

}  // namespace pgsteward
