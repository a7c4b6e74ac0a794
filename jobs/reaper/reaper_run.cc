#include "jobs/reaper/reaper_run.h"

#include <algorithm>

#include "core/wait.h"
#include "jobs/reaper/reaper_facts.h"
#include "jobs/reaper/reaper_signal.h"
#include "jobs/reaper/reaper_text.h"

namespace pgsteward {

namespace {

// How long a terminated session may take to be gone: it rolls back first.
constexpr Duration kGoneWithin = std::chrono::seconds(5);
constexpr Duration kPoll = std::chrono::milliseconds(100);

// One run. What happens to a session is noted when it happens.
class Reaping {
 public:
  Reaping(JobContext& context, ReaperPolicy policy, JobReport& report)
      : context_(context), policy_(std::move(policy)), report_(report) {}

  Task<Result<void>> Run() {
    auto ability = co_await ReadReaperAbility(context_.db);
    if (!ability) co_return ability.error();
    auto able = CheckReaperAbility(*ability, policy_.mode);
    if (!able) co_return able;
    const std::vector<std::string> roles = context_.options.Texts("exclude_roles");
    auto facts = co_await LookAtSessions(context_.db, roles);
    if (!facts) co_return facts.error();
    auto recent = co_await ReadRecentSignals(context_.db);
    if (!recent) co_return recent.error();
    ReaperVerdict verdict = DecideReaping(*facts, policy_, *recent, nullptr);
    if (context_.dry_run) {
      Summarize(verdict);
      report_.plan = ReaperPlan(*ability, policy_, verdict, *recent,
                                context_.options.Duration("confirm_after").count());
      co_return Result<void>();
    }
    if (!verdict.decisions.empty() && policy_.mode != ReaperMode::kObserve) {
      std::vector<std::string> seen;
      for (const auto& decision : verdict.decisions)
        seen.push_back(ReaperIdentity(decision.session));
      co_await Rest(context_.options.Duration("confirm_after"));
      if (Stopped()) co_return Result<void>();
      facts = co_await LookAtSessions(context_.db, roles);
      if (!facts) co_return facts.error();
      recent = co_await ReadRecentSignals(context_.db);
      if (!recent) co_return recent.error();
      verdict = DecideReaping(*facts, policy_, *recent, &seen);
    }
    Summarize(verdict);
    auto treated = co_await Treat(verdict);
    co_return treated;
  }

 private:
  struct Sent {
    ReaperDecision decision;
    long long id = 0;
    bool ended = false;
  };

  void Count(const ReaperDecision& decision, ReaperAction action, std::string_view result) {
    std::string key(ReaperRuleName(decision.rule));
    key.append("/").append(ReaperActionName(action)).append("/").append(result);
    Add(key, 1);
  }

  void Add(const std::string& key, int number) {
    std::string& count = report_.details[key];
    count = std::to_string((count.empty() ? 0 : std::stoi(count)) + number);
  }

  void Note(const ReaperDecision& decision, ReaperAction action, std::string_view result) {
    std::string text(ReaperActionName(action));
    text.append(" ").append(result).append(": ").append(ReaperCaseText(decision));
    context_.control.Note(text);
  }

  // The first reason stays.
  void Partial(std::string reason) {
    if (report_.status == RunStatus::kPartial) return;
    report_.status = RunStatus::kPartial;
    report_.reason = std::move(reason);
  }

  // True when the run must end now; then the report says why.
  bool Stopped() {
    std::string reason = context_.control.StopReason();
    if (reason.empty()) return false;
    Partial(std::move(reason));
    return true;
  }

  Task<void> Rest(Duration duration) {
    const SteadyTime end = SteadyNow() + duration;
    while (SteadyNow() < end && context_.control.StopReason().empty()) {
      co_await SleepUntil(std::min(end, SteadyNow() + kPoll));
    }
  }

  void Summarize(const ReaperVerdict& verdict) {
    Add("candidates", static_cast<int>(verdict.decisions.size()));
    for (const ReaperSpared& spared : verdict.spared) {
      std::string key = "spared/";
      key.append(ReaperRuleName(spared.rule)).append("/").append(spared.why);
      Add(key, 1);
    }
    if (verdict.prepared_victims > 0) Add("prepared_victims", verdict.prepared_victims);
    if (verdict.breaker && policy_.mode != ReaperMode::kObserve) {
      Partial(ReaperBreakerText(policy_, verdict.decisions.size()));
    }
  }

  void Refused(const ReaperDecision& decision, std::string_view result) {
    Count(decision, ReaperAction::kRefused, result);
    Note(decision, ReaperAction::kRefused, result);
    if (result == "rate_limit") Partial("rate_limit: candidates are left for later");
    if (result == "not_permitted") Partial("not_permitted: the server refused a signal");
  }

  Task<Result<void>> Treat(const ReaperVerdict& verdict) {
    std::vector<ReaperDecision> unsignalled;
    std::vector<ReaperDecision> signalled;
    for (const ReaperDecision& decision : verdict.decisions) {
      (decision.result.empty() ? signalled : unsignalled).push_back(decision);
    }
    if (!unsignalled.empty()) {
      auto logged = co_await LogDecisions(context_, unsignalled);
      if (!logged) co_return logged.error();
      for (const ReaperDecision& decision : unsignalled) {
        if (decision.action == ReaperAction::kRefused) {
          Refused(decision, decision.result);
          continue;
        }
        Count(decision, decision.action, decision.result);
        Note(decision, decision.action, decision.result);
      }
    }
    auto survivors = co_await End(std::move(signalled), false);
    if (!survivors) co_return survivors.error();
    std::vector<ReaperDecision> stubborn;
    for (ReaperDecision& decision : *survivors) {
      if (decision.action != ReaperAction::kCancel) continue;
      decision.action = ReaperAction::kTerminate;
      stubborn.push_back(std::move(decision));
    }
    if (policy_.mode != ReaperMode::kTerminate || stubborn.empty() || Stopped()) {
      if (!survivors->empty()) Partial(SurvivedText(survivors->size()));
      co_return Result<void>();
    }
    const std::size_t terminated = survivors->size() - stubborn.size();
    auto left = co_await End(std::move(stubborn), true);
    if (!left) co_return left.error();
    if (terminated + left->size() > 0) Partial(SurvivedText(terminated + left->size()));
    co_return Result<void>();
  }

  static std::string SurvivedText(std::size_t number) {
    return "survived: " + std::to_string(number) + " took no notice of the signal so far";
  }

  // Signals them one by one, then waits for all; those that are still there.
  Task<Result<std::vector<ReaperDecision>>> End(std::vector<ReaperDecision> decisions,
                                                bool escalation) {
    std::vector<Sent> sent;
    std::optional<Error> failure;
    bool cancels = false;
    for (ReaperDecision& decision : decisions) {
      if (Stopped()) break;
      auto signal = co_await SignalSession(context_, policy_, decision, escalation);
      if (!signal) {
        failure = signal.error();
        break;
      }
      if (signal->action == ReaperAction::kRefused) {
        Refused(decision, signal->result);
        continue;
      }
      Note(decision, decision.action, "sent");
      if (decision.action == ReaperAction::kCancel) cancels = true;
      sent.push_back(Sent{std::move(decision), signal->id});
    }
    const Duration patience =
        cancels ? Duration(context_.options.Duration("cancel_wait")) : kGoneWithin;
    if (!failure) {
      auto watched = co_await Watch(sent, patience);
      if (!watched) failure = watched.error();
    }
    if (failure) {
      for (const Sent& one : sent) Count(one.decision, one.decision.action, "sent");
      co_return *failure;
    }
    auto survivors = co_await Settle(sent);
    co_return survivors;
  }

  // Until all have ended, or patience has.
  Task<Result<void>> Watch(std::vector<Sent>& sent, Duration patience) {
    const Deadline deadline = SteadyNow() + patience;
    for (;;) {
      std::vector<long long> pids;
      for (const Sent& one : sent) {
        if (!one.ended) pids.push_back(one.decision.session.pid);
      }
      if (pids.empty()) co_return Result<void>();
      auto there = co_await ReadReaperIdentities(context_.db, pids);
      if (!there) co_return there.error();
      for (Sent& one : sent) {
        const ReaperSession& session = one.decision.session;
        const std::string identity =
            one.decision.action == ReaperAction::kCancel
                ? ReaperIdentity(session)
                : std::to_string(session.pid) + "|" + session.backend_start;
        if (std::find(there->begin(), there->end(), identity) == there->end()) one.ended = true;
      }
      if (SteadyNow() >= deadline || !context_.control.StopReason().empty()) {
        co_return Result<void>();
      }
      co_await SleepUntil(SteadyNow() + kPoll);
    }
  }

  Task<Result<std::vector<ReaperDecision>>> Settle(const std::vector<Sent>& sent) {
    std::vector<ReaperDecision> survivors;
    std::vector<std::pair<long long, std::string>> results;
    for (const Sent& one : sent) {
      const std::string result = one.ended ? "ended" : "survived";
      results.emplace_back(one.id, result);
      Count(one.decision, one.decision.action, result);
      Note(one.decision, one.decision.action, result);
      if (one.ended) ++report_.rows_done;
      if (!one.ended) survivors.push_back(one.decision);
    }
    if (!results.empty()) {
      auto logged = co_await LogResults(context_, results);
      if (!logged) co_return logged.error();
    }
    context_.control.Progress(report_);
    co_return survivors;
  }

  JobContext& context_;
  const ReaperPolicy policy_;
  JobReport& report_;
};

}  // namespace

Task<Result<void>> Reap(JobContext& context, ReaperPolicy policy, JobReport& report) {
  Reaping reaping(context, std::move(policy), report);
  co_return co_await reaping.Run();
}

}  // namespace pgsteward
