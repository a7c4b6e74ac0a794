#include "jobs/runner/execution.h"

#include <unistd.h>

#include "core/host.h"
#include "core/log.h"
#include "core/pg_error.h"
#include "core/random.h"
#include "jobs/throttle/throttle_facts.h"

namespace pgsteward {

namespace {

// A run that does not reach a safe point within this is cancelled.
constexpr Duration kGrace = std::chrono::seconds(30);
// How long the end of a run is tried to be told before it goes to the journal.
constexpr Duration kTellWithin = std::chrono::seconds(15);
constexpr Duration kTellPause = std::chrono::seconds(1);
// Throttle gates are looked at this often.
constexpr Duration kLookEvery = std::chrono::seconds(1);
constexpr Duration kClaimTimeout = std::chrono::seconds(10);
// Of the leases' rows: somebody who runs the same job on an expired lease is let finish his batch.
constexpr Duration kTakeOverWait = std::chrono::seconds(5);

// What passes by itself. Not a statement that was cancelled, by a person or by its timeout: it
// would take as long again.
bool WorthRetrying(const Error& error) {
  switch (error.code) {
    case Errc::kTimeout:
      return error.sqlstate.empty();
    case Errc::kConnectionLost:
    case Errc::kUnavailable:
    case Errc::kBusy:
      return true;
    default:
      return IsRetryableSqlstate(error.sqlstate);
  }
}

}  // namespace

std::vector<std::string> LeaseNames(const JobPolicy& policy) {
  std::vector<std::string> names = {"job/" + policy.name};
  for (const std::string& group : policy.groups) names.push_back("group/" + group);
  return names;
}

JobExecution::JobExecution(Runtime& runtime, PgTarget target, LeaseKeeper& keeper, Journal& journal,
                           RunRequest request)
    : runtime_(runtime),
      keeper_(keeper),
      journal_(journal),
      request_(std::move(request)),
      db_(runtime, target),
      gates_(runtime, std::move(target)),
      throttle_policy_(ThrottlePolicyOf(request_.policy->throttle)),
      changed_(runtime),
      body_(runtime) {
  record_.run_id = RandomUuid();
  record_.job = request_.policy->name;
  record_.type = request_.policy->spec->name;
  record_.trigger = request_.trigger;
  record_.due = request_.due;
  record_.attempt = request_.attempt;
  record_.started = WallNow();
  record_.host = HostName();
  record_.pid = ::getpid();
  record_.holder = keeper_.holder();
}

void JobExecution::RequestStop(std::string reason) {
  if (stop_reason_.empty()) stop_reason_ = std::move(reason);
  changed_.Notify();
}

void JobExecution::Cancel() {
  cancelled_ = true;
  body_.Stop();
  changed_.Notify();
}

std::string JobExecution::StopReason() {
  if (!stop_reason_.empty()) return stop_reason_;
  for (const LeaseGrant& grant : grants_) {
    if (!keeper_.Holds(grant)) return "lease_lost";
  }
  if (deadline_ && SteadyNow() >= *deadline_) return "deadline";
  // A person who runs a job by hand decides when.
  if (request_.trigger == Trigger::kManual) return {};
  return std::string(request_.policy->ClosedAt(WallNow()));
}

Task<Result<void>> JobExecution::Fence(JobSession& db) {
  co_return co_await FenceByLeases(db, grants_, keeper_.holder());
}

Task<Result<ThrottleFacts>> JobExecution::ReadGates() {
  if (!gates_.open()) {
    auto opened = co_await gates_.Open();
    if (!opened) co_return opened.error();
  }
  std::string table(request_.policy->spec->throttle_table);
  co_return co_await ReadThrottleFacts(gates_, throttle_policy_, std::move(table));
}

Task<Result<void>> JobExecution::CheckGates() {
  if (!throttled_at_all()) co_return Result<void>();
  auto facts = co_await ReadGates();
  if (!facts) co_return facts.error();
  co_return CheckThrottle(*facts);
}

Task<void> JobExecution::Throttle() {
  if (!throttled_at_all() || request_.dry_run) co_return;
  for (;;) {
    if (SteadyNow() >= next_look_) {
      // A look that fails changes nothing: the batches meet the same fault.
      auto facts = co_await ReadGates();
      next_look_ = SteadyNow() + kLookEvery;
      if (facts) {
        const std::vector<ClosedGate> closed = ClosedGates(throttle_policy_, *facts);
        throttle_.Look(SteadyNow(), closed);
      }
    }
    const bool go_on = !throttle_.closed() || !StopReason().empty();
    if (go_on) break;
    if (throttled_by_ != throttle_.reason()) Note("held: " + throttle_.text());
    if (throttled_by_.empty()) throttle_.HoldBegins(SteadyNow());
    throttled_by_ = throttle_.reason();
    co_await changed_.WaitUntil(next_look_);
  }
  if (throttled_by_.empty()) co_return;
  throttle_.HoldEnds(SteadyNow());
  throttled_by_.clear();
  Note("goes on");
}

void JobExecution::Progress(const JobReport& so_far) {
  progress_ = so_far;
  if (on_progress) on_progress(so_far);
}

void JobExecution::Note(const std::string& text) {
  if (on_note) on_note(text);
}

Task<RunOutcome> JobExecution::Run() {
  RunOutcome outcome;
  auto facts = co_await OpenPrimary(db_, journal_.Check());
  if (!facts) {
    outcome.error = facts.error();
    outcome.record = record_;
    co_return outcome;
  }
  record_.timeline = facts->timeline;
  if (!request_.dry_run) {
    if (!stop_reason_.empty()) {
      // Its due time stays for whoever comes next.
      outcome.error = Error(Errc::kBusy, stop_reason_ + ": asked to end before it began");
      outcome.record = record_;
      co_return outcome;
    }
    const SteadyTime asked = SteadyNow();
    auto claimed = co_await TakeRun();
    outcome.record = record_;
    if (!claimed) {
      const bool busy = claimed.error().code == Errc::kBusy;
      outcome.end = busy ? RunOutcome::End::kBusy : RunOutcome::End::kNotBegun;
      outcome.error = claimed.error();
      co_return outcome;
    }
    if (*claimed != Claim::kTaken) {
      outcome.end = RunOutcome::End::kNotClaimed;
      co_return outcome;
    }
    keeper_.Add(grants_, asked);
  }
  outcome.end = RunOutcome::End::kRan;
  deadline_ = SteadyNow() + request_.policy->deadline;
  if (NeedsConfirmation()) {
    report_.status = RunStatus::kSkipped;
    report_.reason = "not_confirmed: plan " + request_.policy->PlanHash() +
                     " needs a person's word; see it with: pgsteward job run " + record_.job +
                     " --dry-run";
    outcome_.emplace();
  } else {
    co_await Supervise();
  }
  Conclude();
  if (outcome_ && !*outcome_) outcome.error = outcome_->error();
  outcome.record = record_;
  if (!request_.dry_run) co_await Tell(outcome);
  co_return outcome;
}

Task<Result<Claim>> JobExecution::TakeRun() {
  TransactionSettings settings(kClaimTimeout);
  settings.lock_timeout = kTakeOverWait;
  auto begun = co_await db_.Begin(settings);
  if (!begun) co_return begun.error();
  std::vector<std::string> names = LeaseNames(*request_.policy);
  auto grants = co_await AcquireLeases(db_, std::move(names), keeper_.holder(), keeper_.ttl());
  if (!grants) {
    co_await db_.Rollback();
    co_return grants.error();
  }
  for (const LeaseGrant& grant : *grants) {
    if (grant.name == "job/" + record_.job) record_.epoch = grant.epoch;
  }
  const JobState* before = request_.before ? &*request_.before : nullptr;
  const Decision* decision = request_.decision ? &*request_.decision : nullptr;
  auto claimed = co_await ClaimRun(db_, *request_.policy, record_, before, decision);
  if (!claimed || *claimed == Claim::kChanged) {
    co_await db_.Rollback();
    co_return claimed;
  }
  if (*claimed == Claim::kRanBefore) co_await ReleaseLeases(db_, *grants, keeper_.holder());
  auto committed = co_await db_.Commit();
  if (!committed) co_return committed.error();
  if (*claimed == Claim::kTaken) grants_ = std::move(*grants);
  co_return claimed;
}

bool JobExecution::NeedsConfirmation() const {
  const JobPolicy& policy = *request_.policy;
  if (request_.dry_run || !policy.confirm || !policy.spec->needs_confirmation) return false;
  const std::string plan = policy.PlanHash();
  if (request_.confirmed_plan == plan) return false;
  if (!request_.before) return true;
  const auto accepted = request_.before->memory.find("accepted_plan");
  return accepted == request_.before->memory.end() || accepted->second != plan;
}

Task<void> JobExecution::Supervise() {
  body_.Spawn("job " + record_.job, Body());
  const SteadyTime last = *deadline_ + kGrace;
  SteadyTime stop_at = last;
  while (!body_.empty()) {
    if (!stop_reason_.empty()) stop_at = std::min(stop_at, SteadyNow() + kGrace);
    if (SteadyNow() >= stop_at) break;
    co_await body_.Join(std::min<SteadyTime>(stop_at, SteadyNow() + std::chrono::seconds(1)));
  }
  if (!body_.empty()) {
    // Its connection goes with it, and the server rolls back.
    Cancel();
    co_await body_.Join(SteadyNow() + kGrace);
  }
  if (outcome_) co_return;
  if (cancelled_) {
    outcome_.emplace(Error(Errc::kTimeout, "no safe point was reached in time; cancelled"));
  } else {
    outcome_.emplace(Error(Errc::kQueryFailed, "a bug of pgsteward; the log says which"));
  }
}

Task<void> JobExecution::Body() {
  JobContext context{runtime_,
                     db_,
                     request_.policy->options,
                     *this,
                     record_.job,
                     record_.run_id,
                     request_.policy->zone.name(),
                     request_.dry_run,
                     request_.arguments,
                     request_.policy->server};
  auto checked = co_await CheckGates();
  if (!checked) {
    outcome_.emplace(checked.error());
    co_return;
  }
  auto outcome = co_await request_.policy->spec->run(context, report_);
  outcome_.emplace(std::move(outcome));
}

void JobExecution::Conclude() {
  record_.finished = WallNow();
  record_.throttled = throttle_.HeldSeconds(SteadyNow());
  bool again = false;
  if (!*outcome_) {
    const Error& error = outcome_->error();
    report_.status = RunStatus::kFailed;
    if (report_.reason.empty()) report_.reason = std::string(ErrcName(error.code));
    record_.error_sqlstate = error.sqlstate;
    record_.error_text = error.message;
    if (error.code == Errc::kBusy && error.message.rfind("lease_lost", 0) == 0) {
      report_.status = RunStatus::kAborted;
      report_.reason = "lease_lost: another holder has taken over";
    }
    again = !cancelled_ && WorthRetrying(error);
  } else if (report_.status == RunStatus::kPartial && report_.reason == "lease_lost") {
    report_.status = RunStatus::kAborted;
    report_.reason = "lease_lost: it could not be renewed, or another holder has taken over";
    again = true;
  } else if (report_.status == RunStatus::kPartial && report_.reason == "cancelled") {
    report_.status = RunStatus::kCancelled;
  }
  // Nobody failed: whoever runs the jobs next goes on at once.
  const bool handed_over = stop_reason_ == "shutdown" && report_.status == RunStatus::kPartial;
  if (handed_over && record_.due) record_.retry_at = record_.finished;
  if (again && record_.due && record_.attempt <= request_.policy->retries) {
    record_.retry_at =
        record_.finished + std::chrono::duration_cast<WallTime::duration>(BackoffPause(
                               request_.policy->retry_pause, record_.attempt, RandomFraction()));
  }
  record_.report = report_;
  if (request_.confirmed_plan == request_.policy->PlanHash()) {
    record_.accepted_plan = request_.confirmed_plan;
  }
}

Task<void> JobExecution::Keep() {
  auto saved = co_await journal_.Save();
  if (!saved) {
    Log(LogLevel::kWarning, "journal of jobs", WithError({{"job", record_.job}}, saved.error()));
  }
}

Task<void> JobExecution::Tell(RunOutcome& outcome) {
  // First to the journal: whatever happens while the database is told, the end is not lost.
  journal_.AddUntold(record_);
  co_await Keep();
  const SteadyTime give_up = SteadyNow() + kTellWithin;
  for (;;) {
    Result<void> told;
    auto reached = co_await OpenPrimary(db_, journal_.Check());
    if (!reached) told = reached.error();
    if (told) told = co_await FinishRun(db_, record_);
    if (told) {
      outcome.told = true;
      break;
    }
    if (SteadyNow() + kTellPause >= give_up || !stop_reason_.empty()) break;
    co_await SleepUntil(SteadyNow() + kTellPause);
  }
  if (outcome.told) {
    journal_.Told(record_.run_id);
    co_await Keep();
  }
  keeper_.Remove(grants_);
  // When this fails the leases end by themselves.
  if (db_.open()) co_await ReleaseLeases(db_, grants_, keeper_.holder());
}

}  // namespace pgsteward
