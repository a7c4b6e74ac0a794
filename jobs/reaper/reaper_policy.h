// Which sessions are ended, which are spared, and why: pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteward {

enum class ReaperMode { kObserve, kDryRun, kCancel, kTerminate };
enum class ReaperRule { kRootBlocker, kIdleInTx, kLongActive };
// Column `action` of pgsteward.remediation_log.
enum class ReaperAction { kObserve, kDryRun, kCancel, kTerminate, kRefused };

std::string_view ReaperModeName(ReaperMode mode);        // "dry_run"
std::string_view ReaperRuleName(ReaperRule rule);        // "long_active"
std::string_view ReaperActionName(ReaperAction action);  // "terminate"
std::optional<ReaperMode> FindReaperMode(std::string_view name);

// One row of pg_stat_activity. Ages are the server's, at the moment of the look.
struct ReaperSession {
  long long pid = 0;
  // timestamptz text, empty for none.
  std::string backend_start;
  std::string xact_start;
  std::string query_start;
  std::string state_change;
  std::string state;  // empty when the server does not say
  std::string backend_type;
  std::string user;  // empty when its role is gone
  std::string database;
  std::string application;
  std::string query_digest;
  double query_s = 0;  // since query_start
  double state_s = 0;  // since state_change
  bool self = false;
  bool superuser = false;
  bool excluded_role = false;  // of a role that the policy spares, or a member of one
  bool tagged = false;         // /* no-kill */
  bool waiting = false;        // for a lock, itself or one of its parallel workers
};

// A session that waits for a lock.
struct ReaperWait {
  long long pid = 0;
  double seconds = 0;
  // As pg_blocking_pids says: repeated, 0 for a prepared transaction.
  std::vector<long long> blockers;
};

struct ReaperFacts {
  std::string database;  // ours
  std::vector<ReaperSession> sessions;
  std::vector<ReaperWait> waits;
};

struct ReaperPolicy {
  ReaperMode mode = ReaperMode::kDryRun;
  // Seconds; 0 switches the rule off.
  double long_active_s = 300;
  double idle_in_tx_s = 1800;
  int root_blocker_victims = 5;  // 0: off
  double root_blocker_s = 60;    // each victim has waited for so long
  // The server says since when a session waits, as from PostgreSQL 14 on; else root_blocker is off:
  // the age of a statement is no time of waiting, and somebody would be ended for it.
  bool knows_waits = true;
  bool all_databases = false;
  // Patterns: see MatchesPattern().
  std::vector<std::string> exclude_users;
  std::vector<std::string> exclude_databases;
  std::vector<std::string> exclude_applications;
  int most_per_minute = 3;
  int most_per_hour = 10;
  int breaker = 5;  // more candidates than this at once: nothing is done
};

// The whole text, case included; "*" stands for any characters, "?" for one byte.
bool MatchesPattern(std::string_view pattern, std::string_view text);

// The same text: the same statement, or the same rest between two statements, of the same session.
// A pid is used again, so it is not enough.
std::string ReaperIdentity(const ReaperSession& session);

struct ReaperDecision {
  ReaperSession session;
  ReaperRule rule = ReaperRule::kLongActive;
  double age_s = 0;  // of what the rule measures: statement, idling, or the longest wait for it
  int victims = 0;   // sessions that wait for it for root_blocker_s or longer
  ReaperAction action = ReaperAction::kObserve;
  // Of what is not done: "candidate", "seen_once", "would_cancel", "would_terminate"; refused:
  // "breaker", "needs_terminate", "rate_limit". Empty when a signal is to be sent.
  std::string result;
};

struct ReaperSpared {
  ReaperSession session;
  ReaperRule rule = ReaperRule::kLongActive;
  double age_s = 0;
  int victims = 0;
  std::string_view why;  // "superuser"
};

struct ReaperVerdict {
  // All candidates: who blocks most first, then the oldest.
  std::vector<ReaperDecision> decisions;
  std::vector<ReaperSpared> spared;
  bool breaker = false;
  // Sessions that prepared transactions keep waiting: no session to end there.
  int prepared_victims = 0;
};

// `recent`: seconds since each statement that was signalled within the last hour, by anybody.
// `seen`: identities of an earlier look; null: one look is enough.
ReaperVerdict DecideReaping(const ReaperFacts& facts, const ReaperPolicy& policy,
                            const std::vector<double>& recent,
                            const std::vector<std::string>* seen);

bool WithinReaperRate(const ReaperPolicy& policy, const std::vector<double>& recent);

}  // namespace pgsteward
