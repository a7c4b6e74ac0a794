// When a job must hold back: what is measured, against which limits. Reading it from a server is
// throttle_facts.h, holding a run throttle_watch.h.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "jobs/job_options.h"

namespace pgsteward {

// A gate with an empty limit, or false, is switched off and costs nothing.
struct ThrottlePolicy {
  // Of any standby or subscriber. PostgreSQL's replay_lag stands still while a standby replays
  // nothing at all, so that both are needed.
  std::optional<std::chrono::seconds> max_replica_lag = std::chrono::seconds(30);
  std::optional<long long> max_replica_lag_bytes = 1024LL << 20;
  // WAL that any replication slot keeps. A slot that is about to lose WAL (wal_status unreserved)
  // closes the gate as well; one that has lost it (lost) does not: waiting helps it no more.
  std::optional<long long> max_slot_retained_bytes = 8192LL << 20;
  std::optional<long long> max_archiver_backlog = 64;  // WAL files that wait for archive_command
  std::optional<long long> max_active_sessions = 50;   // of clients, ours not counted
  // What holds dead rows back: they cannot be removed, and moving rows makes more of them.
  std::optional<std::chrono::seconds> max_xmin_age = std::chrono::hours(1);
  std::optional<long long> max_xmin_xids = 10'000'000;
  bool own_victims = true;     // clients that wait for a lock of a job
  bool running_dump = true;    // pg_dump of this database
  bool vacuum_running = true;  // on the job's table, autovacuum included
  // One SELECT of the operator's, with names qualified by schema; true holds the run. Empty: off.
  std::string query = {};

  bool operator==(const ThrottlePolicy&) const = default;
};

// Why a gate could not be looked at; it counts as open.
struct UnknownGate {
  std::string_view reason;
  Error error;
};

// Empty: not asked, not known, or there is none (no standby).
struct ThrottleFacts {
  std::optional<double> replica_lag_s = {};
  std::string replica_lag_name = {};  // application_name of the standby, which is plain ASCII
  std::optional<long long> replica_lag_bytes = {};
  std::string replica_lag_bytes_name = {};
  std::optional<long long> slot_retained_bytes = {};
  std::string slot_name = {};
  std::string unreserved_slot_name = {};
  std::optional<long long> archiver_backlog = {};
  std::optional<long long> active_sessions = {};
  std::optional<double> oldest_transaction_s = {};
  std::optional<long long> oldest_xid_age = {};
  std::optional<long long> own_victims = {};
  std::optional<long long> running_dumps = {};
  bool vacuum_running = false;
  bool query = false;
  std::vector<UnknownGate> unknown = {};
};

inline constexpr std::array<std::string_view, 9> kThrottleGates = {
    "replica_lag",     "slot_backlog",   "archiver_backlog",
    "active_sessions", "old_xmin",       "own_victims",
    "running_dump",    "vacuum_running", "query"};

struct ClosedGate {
  // One of kThrottleGates: label of metrics, part of the history.
  std::string_view reason;
  std::string text;  // for people
};

// In the order of the words above, each at most once. Only facts close a gate.
std::vector<ClosedGate> ClosedGates(const ThrottlePolicy& policy, const ThrottleFacts& facts);

// Before a run: a gate that the policy asks for and that cannot be looked at (a missing privilege,
// a throttle_query that fails) is an error, which says how to mend it.
Result<void> CheckThrottle(const ThrottleFacts& facts);

// Options of every job that is throttled. 0 or false: the gate is off.
inline constexpr std::array<JobOption, 11> kThrottleOptions = {{
    {.name = "throttle_replica_lag",
     .kind = OptionKind::kDuration,
     .fallback = "30s",
     .help = "Hold while a standby replays later than this; 0s: never."},
    {.name = "throttle_replica_lag_mb",
     .kind = OptionKind::kInteger,
     .fallback = "1024",
     .help = "Hold while a standby is behind by more MiB of WAL; 0: never.",
     .most = 1e12},
    {.name = "throttle_slot_retained_mb",
     .kind = OptionKind::kInteger,
     .fallback = "8192",
     .help = "Hold while a replication slot keeps more MiB of WAL or is about to lose some; 0: "
             "never.",
     .most = 1e12},
    {.name = "throttle_archiver_files",
     .kind = OptionKind::kInteger,
     .fallback = "64",
     .help = "Hold while more WAL files wait to be archived; 0: never."},
    {.name = "throttle_active_sessions",
     .kind = OptionKind::kInteger,
     .fallback = "50",
     .help = "Hold while more sessions of clients are active on the server; 0: never."},
    {.name = "throttle_xmin_age",
     .kind = OptionKind::kDuration,
     .fallback = "1h",
     .help = "Hold while a transaction that keeps dead rows from being removed is older; 0s: "
             "never."},
    {.name = "throttle_xmin_xids",
     .kind = OptionKind::kInteger,
     .fallback = "10000000",
     .help = "Hold while dead rows of more transactions than these cannot be removed; 0: never."},
    {.name = "throttle_own_victims",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "Hold while a client waits for a lock of a job."},
    {.name = "throttle_running_dump",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "Hold while pg_dump reads this database."},
    {.name = "throttle_vacuum_running",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "Hold while the job's table is being vacuumed."},
    {.name = "throttle_query",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "A SELECT that gives true to hold; its names must be qualified by schema."},
}};

// The policy that `options`, declared with kThrottleOptions among others, say.
ThrottlePolicy ThrottlePolicyOf(const JobOptions& options);

}  // namespace pgsteward
