#include "jobs/reaper/reaper_policy.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace pgsteward {

namespace {

// Dumps and restores take as long as they take; the last is ourselves.
constexpr std::string_view kSparedApplications[] = {"pg_dump", "pg_dumpall", "pg_basebackup",
                                                    "pg_restore", "pgsteward"};

template <class Enum, std::size_t kCount>
std::string_view NameOf(const std::array<std::pair<Enum, std::string_view>, kCount>& names,
                        Enum value) {
  for (const auto& [each, name] : names) {
    if (each == value) return name;
  }
  return "";
}

constexpr std::array<std::pair<ReaperMode, std::string_view>, 4> kModes = {{
    {ReaperMode::kObserve, "observe"},
    {ReaperMode::kDryRun, "dry_run"},
    {ReaperMode::kCancel, "cancel"},
    {ReaperMode::kTerminate, "terminate"},
}};

constexpr std::array<std::pair<ReaperRule, std::string_view>, 3> kRules = {{
    {ReaperRule::kRootBlocker, "root_blocker"},
    {ReaperRule::kIdleInTx, "idle_in_tx"},
    {ReaperRule::kLongActive, "long_active"},
}};

constexpr std::array<std::pair<ReaperAction, std::string_view>, 5> kActions = {{
    {ReaperAction::kObserve, "observe"},
    {ReaperAction::kDryRun, "dry_run"},
    {ReaperAction::kCancel, "cancel"},
    {ReaperAction::kTerminate, "terminate"},
    {ReaperAction::kRefused, "refused"},
}};

struct Blocked {
  int victims = 0;
  double longest_s = 0;
};

// By pid: who waits, directly or behind others, for a session that itself waits for nobody, and has
// done so for `least_s`.
std::map<long long, Blocked> BlockedByRoots(const std::vector<ReaperWait>& waits, double least_s) {
  std::map<long long, std::set<const ReaperWait*>> waiters;
  std::set<long long> waiting;
  for (const ReaperWait& wait : waits) {
    waiting.insert(wait.pid);
    for (const long long blocker : wait.blockers) {
      if (blocker != wait.pid) waiters[blocker].insert(&wait);
    }
  }
  std::map<long long, Blocked> roots;
  for (const auto& [pid, direct] : waiters) {
    if (waiting.count(pid) > 0) continue;
    std::set<const ReaperWait*> behind = direct;
    std::vector<const ReaperWait*> open(direct.begin(), direct.end());
    while (!open.empty()) {
      const long long through = open.back()->pid;
      open.pop_back();
      const auto next = waiters.find(through);
      if (next == waiters.end()) continue;
      for (const ReaperWait* wait : next->second) {
        if (behind.insert(wait).second) open.push_back(wait);
      }
    }
    Blocked blocked;
    for (const ReaperWait* wait : behind) {
      if (wait->seconds < least_s) continue;
      ++blocked.victims;
      blocked.longest_s = std::max(blocked.longest_s, wait->seconds);
    }
    roots[pid] = blocked;
  }
  return roots;
}

bool IdlesInTransaction(const ReaperSession& session) {
  return session.state == "idle in transaction" || session.state == "idle in transaction (aborted)";
}

std::optional<ReaperSpared> MatchRule(const ReaperSession& session, const ReaperPolicy& policy,
                                      const Blocked& blocked) {
  ReaperSpared match;
  match.victims = blocked.victims;
  if (policy.knows_waits && policy.root_blocker_victims > 0 &&
      blocked.victims >= policy.root_blocker_victims) {
    match.rule = ReaperRule::kRootBlocker;
    match.age_s = blocked.longest_s;
  } else if (policy.idle_in_tx_s > 0 && IdlesInTransaction(session) &&
             session.state_s >= policy.idle_in_tx_s) {
    match.rule = ReaperRule::kIdleInTx;
    match.age_s = session.state_s;
  } else if (policy.long_active_s > 0 && session.state == "active" &&
             session.query_s >= policy.long_active_s) {
    match.rule = ReaperRule::kLongActive;
    match.age_s = session.query_s;
  } else {
    return std::nullopt;
  }
  match.session = session;
  return match;
}

bool MatchesAny(const std::vector<std::string>& patterns, std::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [text](const std::string& pattern) { return MatchesPattern(pattern, text); });
}

// Empty: it is not spared.
std::string_view WhySpared(const ReaperSession& session, const ReaperFacts& facts,
                           const ReaperPolicy& policy) {
  if (session.backend_type != "client backend") return "not_a_client";
  if (session.self) return "ourselves";
  if (!policy.all_databases && session.database != facts.database) return "other_database";
  for (const std::string_view spared : kSparedApplications) {
    if (session.application.starts_with(spared)) return "dump_or_pgsteward";
  }
  if (session.superuser) return "superuser";
  if (session.user.empty() || session.state.empty()) return "unknown";
  if (MatchesAny(policy.exclude_users, session.user)) return "excluded_user";
  if (session.excluded_role) return "excluded_role";
  if (MatchesAny(policy.exclude_databases, session.database)) return "excluded_database";
  if (MatchesAny(policy.exclude_applications, session.application)) return "excluded_application";
  if (session.tagged) return "no_kill_tag";
  if (session.waiting) return "waits_for_lock";
  return "";
}

// A session between two statements takes no notice of a cancel.
bool CanBeCancelled(const ReaperSession& session) {
  return session.state == "active" || session.state == "fastpath function call";
}

// What is done about a candidate of a verdict without breaker; a limit of the rate aside.
void Choose(ReaperDecision& decision, const ReaperPolicy& policy) {
  const bool cancel = CanBeCancelled(decision.session);
  if (policy.mode == ReaperMode::kDryRun) {
    decision.action = ReaperAction::kDryRun;
    decision.result = cancel ? "would_cancel" : "would_terminate";
  } else if (policy.mode == ReaperMode::kCancel && !cancel) {
    decision.action = ReaperAction::kRefused;
    decision.result = "needs_terminate";
  } else {
    decision.action = cancel ? ReaperAction::kCancel : ReaperAction::kTerminate;
  }
}

bool GoesBefore(const ReaperDecision& a, const ReaperDecision& b) {
  return std::tuple(static_cast<int>(a.rule), -a.victims, -a.age_s, a.session.pid) <
         std::tuple(static_cast<int>(b.rule), -b.victims, -b.age_s, b.session.pid);
}

}  // namespace

std::string_view ReaperModeName(ReaperMode mode) { return NameOf(kModes, mode); }
std::string_view ReaperRuleName(ReaperRule rule) { return NameOf(kRules, rule); }
std::string_view ReaperActionName(ReaperAction action) { return NameOf(kActions, action); }

std::optional<ReaperMode> FindReaperMode(std::string_view name) {
  for (const auto& [mode, each] : kModes) {
    if (each == name) return mode;
  }
  return std::nullopt;
}

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  // Where to go on when what followed the last star does not fit.
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  std::size_t p = 0;
  for (std::size_t t = 0; t < text.size();) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string ReaperIdentity(const ReaperSession& session) {
  std::string identity = std::to_string(session.pid);
  for (const std::string* part : {&session.backend_start, &session.xact_start, &session.query_start,
                                  &session.state_change, &session.state}) {
    identity += "|" + *part;
  }
  return identity;
}

bool WithinReaperRate(const ReaperPolicy& policy, const std::vector<double>& recent) {
  const auto within = [&recent](double seconds) {
    return std::count_if(recent.begin(), recent.end(),
                         [seconds](double age_s) { return age_s < seconds; });
  };
  return within(60) < policy.most_per_minute && within(3600) < policy.most_per_hour;
}

ReaperVerdict DecideReaping(const ReaperFacts& facts, const ReaperPolicy& policy,
                            const std::vector<double>& recent,
                            const std::vector<std::string>* seen) {
  ReaperVerdict verdict;
  auto roots = BlockedByRoots(facts.waits, policy.root_blocker_s);
  if (const auto prepared = roots.find(0); prepared != roots.end()) {
    verdict.prepared_victims = prepared->second.victims;
  }
  for (const ReaperSession& session : facts.sessions) {
    auto match = MatchRule(session, policy, roots[session.pid]);
    if (!match) continue;
    match->why = WhySpared(session, facts, policy);
    if (match->why.empty()) {
      ReaperDecision decision;
      decision.session = session;
      decision.rule = match->rule;
      decision.age_s = match->age_s;
      decision.victims = match->victims;
      decision.result = "candidate";
      verdict.decisions.push_back(std::move(decision));
    } else {
      verdict.spared.push_back(std::move(*match));
    }
  }
  std::sort(verdict.decisions.begin(), verdict.decisions.end(), &GoesBefore);
  verdict.breaker = verdict.decisions.size() > static_cast<std::size_t>(policy.breaker);
  if (policy.mode == ReaperMode::kObserve) return verdict;

  std::vector<double> counted = recent;
  for (ReaperDecision& decision : verdict.decisions) {
    if (verdict.breaker) {
      decision.action = ReaperAction::kRefused;
      decision.result = "breaker";
      continue;
    }
    if (seen &&
        std::find(seen->begin(), seen->end(), ReaperIdentity(decision.session)) == seen->end()) {
      decision.result = "seen_once";
      continue;
    }
    decision.result.clear();
    Choose(decision, policy);
    if (decision.action == ReaperAction::kRefused) continue;
    if (WithinReaperRate(policy, counted)) {
      counted.push_back(0);
    } else {
      decision.action = ReaperAction::kRefused;
      decision.result = "rate_limit";
    }
  }
  return verdict;
}

}  // namespace pgsteward
