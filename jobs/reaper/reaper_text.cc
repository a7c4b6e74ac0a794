#include "jobs/reaper/reaper_text.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/terminal_text.h"

namespace pgsteward {

namespace {

constexpr std::size_t kShownSessions = 30;  // of each kind
constexpr int kShownColumns = 40;           // of a name

constexpr std::pair<std::string_view, std::string_view> kVerbs[] = {
    {"candidate", "observe"},
    {"would_cancel", "cancel (mode dry_run: only say so)"},
    {"would_terminate", "terminate (mode dry_run: only say so)"},
    {"breaker", "leave alone (breaker)"},
    {"needs_terminate", "only report (a cancel does nothing to it, and mode is cancel)"},
    {"rate_limit", "leave for later (rate limit)"},
};

constexpr std::pair<std::string_view, std::string_view> kReasons[] = {
    {"not_a_client", "not a client backend"},
    {"ourselves", "it is this session"},
    {"other_database", "in another database"},
    {"dump_or_pgsteward", "a dump, a restore or pgsteward by its application_name"},
    {"superuser", "a superuser's"},
    {"unknown", "its role or state is not known"},
    {"excluded_user", "exclude_users"},
    {"excluded_role", "exclude_roles"},
    {"excluded_database", "exclude_databases"},
    {"excluded_application", "exclude_applications"},
    {"no_kill_tag", "tagged /* no-kill */"},
    {"waits_for_lock", "it waits for a lock itself"},
};

template <std::size_t kCount>
std::string_view Find(const std::pair<std::string_view, std::string_view> (&table)[kCount],
                      std::string_view word) {
  for (const auto& [each, text] : table) {
    if (each == word) return text;
  }
  return word;
}

std::string Name(const std::string& text) {
  return text.empty() ? "-" : CutToWidth(HarmlessLine(text), kShownColumns);
}

std::string CaseText(const ReaperSession& session, ReaperRule rule, double age_s, int victims) {
  std::string text = "pid " + std::to_string(session.pid) + " (" + Name(session.user) + "@" +
                     Name(session.database) + ", application " + Name(session.application) + "), ";
  text += std::string(ReaperRuleName(rule)) + ": ";
  switch (rule) {
    case ReaperRule::kRootBlocker:
      text += std::to_string(victims) + " sessions wait for it, the longest for ";
      break;
    case ReaperRule::kIdleInTx:
      text += "idle in its transaction for ";
      break;
    case ReaperRule::kLongActive:
      text += "active for ";
      break;
  }
  return text + ShortDuration(age_s);
}

std::string Threshold(double seconds) { return seconds > 0 ? ShortDuration(seconds) : "off"; }

std::string RulesLine(const ReaperPolicy& policy) {
  std::string text = "mode " + std::string(ReaperModeName(policy.mode)) + ", ";
  text += policy.all_databases ? "all databases" : "this database";
  text += "; long_active: " + Threshold(policy.long_active_s);
  text += "; idle_in_tx: " + Threshold(policy.idle_in_tx_s);
  text += "; root_blocker: ";
  if (policy.root_blocker_victims > 0 && !policy.knows_waits) return text + kReaperNoWaits;
  text += policy.root_blocker_victims > 0
              ? std::to_string(policy.root_blocker_victims) + " sessions for " +
                    ShortDuration(policy.root_blocker_s)
              : "off";
  return text;
}

std::string RateLine(const ReaperPolicy& policy, const std::vector<double>& recent) {
  const auto minute =
      std::count_if(recent.begin(), recent.end(), [](double age_s) { return age_s < 60; });
  return "statements signalled within the last minute: " + std::to_string(minute) + " of " +
         std::to_string(policy.most_per_minute) +
         ", within the last hour: " + std::to_string(recent.size()) + " of " +
         std::to_string(policy.most_per_hour);
}

template <class Item, class Line>
void AddLines(std::vector<std::string>& plan, const std::vector<Item>& items, Line line) {
  for (std::size_t i = 0; i < items.size() && i < kShownSessions; ++i) {
    plan.push_back(line(items[i]));
  }
  if (items.size() > kShownSessions) {
    plan.push_back("... and " + std::to_string(items.size() - kShownSessions) + " more");
  }
}

}  // namespace

std::string ReaperCaseText(const ReaperDecision& decision) {
  return CaseText(decision.session, decision.rule, decision.age_s, decision.victims);
}

std::vector<std::string> ReaperPlan(const ReaperAbility& ability, const ReaperPolicy& policy,
                                    const ReaperVerdict& verdict, const std::vector<double>& recent,
                                    long long confirm_after_s) {
  std::vector<std::string> plan = {RulesLine(policy), RateLine(policy, recent)};
  if (!ability.may_signal) {
    plan.push_back("modes cancel and terminate need: GRANT pg_signal_backend TO " +
                   HarmlessLine(ability.role) + ";");
  }
  for (const std::string& setting : ability.unset_timeouts) {
    plan.push_back(setting + " is 0: prefer server settings (ALTER ROLE ... SET " + setting +
                   "), which need no daemon");
  }
  if (verdict.decisions.empty()) plan.emplace_back("no session is a candidate");
  if (verdict.breaker && policy.mode != ReaperMode::kObserve) {
    plan.push_back("would do nothing: " + ReaperBreakerText(policy, verdict.decisions.size()));
  } else if (!verdict.decisions.empty() && policy.mode != ReaperMode::kObserve) {
    plan.push_back("those who still do the same " +
                   ShortDuration(static_cast<double>(confirm_after_s)) + " later:");
  }
  AddLines(plan, verdict.decisions, [](const ReaperDecision& decision) {
    std::string verb(decision.result.empty() ? ReaperActionName(decision.action)
                                             : Find(kVerbs, decision.result));
    return "would " + verb + ": " + ReaperCaseText(decision);
  });
  AddLines(plan, verdict.spared, [](const ReaperSpared& spared) {
    return "spares " + CaseText(spared.session, spared.rule, spared.age_s, spared.victims) + ": " +
           std::string(Find(kReasons, spared.why));
  });
  if (verdict.prepared_victims > 0) {
    plan.push_back("prepared transactions keep " + std::to_string(verdict.prepared_victims) +
                   " sessions waiting: no session to end, see pg_prepared_xacts");
  }
  return plan;
}

std::string ReaperBreakerText(const ReaperPolicy& policy, std::size_t candidates) {
  return "breaker: " + std::to_string(candidates) + " candidates at once, more than " +
         std::to_string(policy.breaker) + ": not one session is the problem";
}

}  // namespace pgsteward
