#include "jobs/throttle/throttle.h"

#include <algorithm>

namespace pgsteward {

namespace {

constexpr long long kMiB = 1 << 20;

std::string MiB(long long bytes) { return std::to_string(bytes / kMiB) + " MiB"; }
std::string WholeSeconds(double seconds) {
  return std::to_string(static_cast<long long>(seconds)) + " s";
}

// "72 s, more than 30 s"
std::string Over(const std::string& what, const std::string& limit) {
  return what + ", more than " + limit;
}
std::string OverCount(long long count, long long limit, const std::string& what) {
  return Over(std::to_string(count) + what, std::to_string(limit));
}

template <class Fact, class Limit>
bool Exceeds(const std::optional<Fact>& fact, const std::optional<Limit>& limit) {
  return fact && limit && *fact > static_cast<Fact>(*limit);
}
bool Exceeds(const std::optional<double>& fact, const std::optional<std::chrono::seconds>& limit) {
  return fact && limit && *fact > static_cast<double>(limit->count());
}

std::string ReplicaText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  if (Exceeds(facts.replica_lag_s, policy.max_replica_lag)) {
    return "standby " + facts.replica_lag_name +
           Over(" replays late by " + WholeSeconds(*facts.replica_lag_s),
                WholeSeconds(static_cast<double>(policy.max_replica_lag->count())));
  }
  if (Exceeds(facts.replica_lag_bytes, policy.max_replica_lag_bytes)) {
    return "standby " + facts.replica_lag_bytes_name +
           Over(" is behind by " + MiB(*facts.replica_lag_bytes) + " of WAL",
                MiB(*policy.max_replica_lag_bytes));
  }
  return {};
}

std::string SlotText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  if (!policy.max_slot_retained_bytes) return {};
  if (!facts.unreserved_slot_name.empty()) {
    return "replication slot " + facts.unreserved_slot_name + " is about to lose WAL";
  }
  if (!Exceeds(facts.slot_retained_bytes, policy.max_slot_retained_bytes)) return {};
  return "replication slot " + facts.slot_name +
         Over(" keeps " + MiB(*facts.slot_retained_bytes) + " of WAL",
              MiB(*policy.max_slot_retained_bytes));
}

std::string XminText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  if (Exceeds(facts.oldest_transaction_s, policy.max_xmin_age)) {
    return Over(
        "the oldest transaction has been open for " + WholeSeconds(*facts.oldest_transaction_s),
        WholeSeconds(static_cast<double>(policy.max_xmin_age->count())));
  }
  if (Exceeds(facts.oldest_xid_age, policy.max_xmin_xids)) {
    return OverCount(*facts.oldest_xid_age, *policy.max_xmin_xids,
                     " transactions have begun since the oldest that still counts");
  }
  return {};
}

std::string ArchiverText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  if (!Exceeds(facts.archiver_backlog, policy.max_archiver_backlog)) return {};
  return OverCount(*facts.archiver_backlog, *policy.max_archiver_backlog,
                   " WAL files wait to be archived");
}

std::string SessionsText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  if (!Exceeds(facts.active_sessions, policy.max_active_sessions)) return {};
  return OverCount(*facts.active_sessions, *policy.max_active_sessions, " sessions are active");
}

std::string VictimsText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  if (!policy.own_victims || facts.own_victims.value_or(0) == 0) return {};
  return std::to_string(*facts.own_victims) + " sessions wait for locks of a job";
}

std::string DumpText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  const bool closed = policy.running_dump && facts.running_dumps.value_or(0) > 0;
  return closed ? "pg_dump reads this database" : "";
}

std::string VacuumText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  return policy.vacuum_running && facts.vacuum_running ? "the table is being vacuumed" : "";
}

std::string QueryText(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  return !policy.query.empty() && facts.query ? "throttle_query gives true" : "";
}

struct Gate {
  std::string_view reason;
  // Empty: open.
  std::string (*text)(const ThrottlePolicy&, const ThrottleFacts&);
};
constexpr std::array<Gate, 9> kGates = {{
    {"replica_lag", &ReplicaText},
    {"slot_backlog", &SlotText},
    {"archiver_backlog", &ArchiverText},
    {"active_sessions", &SessionsText},
    {"old_xmin", &XminText},
    {"own_victims", &VictimsText},
    {"running_dump", &DumpText},
    {"vacuum_running", &VacuumText},
    {"query", &QueryText},
}};

std::optional<long long> OrOff(long long limit) {
  return limit == 0 ? std::nullopt : std::optional(limit);
}
std::optional<std::chrono::seconds> OrOff(std::chrono::seconds limit) {
  return limit.count() == 0 ? std::nullopt : std::optional(limit);
}

}  // namespace

std::vector<ClosedGate> ClosedGates(const ThrottlePolicy& policy, const ThrottleFacts& facts) {
  std::vector<ClosedGate> closed;
  for (const Gate& gate : kGates) {
    std::string text = gate.text(policy, facts);
    if (!text.empty()) closed.push_back({gate.reason, std::move(text)});
  }
  return closed;
}

Result<void> CheckThrottle(const ThrottleFacts& facts) {
  if (facts.unknown.empty()) return {};
  std::string gates;
  for (const UnknownGate& gate : facts.unknown) {
    gates += (gates.empty() ? "" : ", ") + std::string(gate.reason);
  }
  const Error& first = facts.unknown.front().error;
  return Error(first.code, "throttle gates cannot be read (" + gates + "): " + first.message,
               first.sqlstate, first.hint);
}

ThrottlePolicy ThrottlePolicyOf(const JobOptions& options) {
  ThrottlePolicy policy;
  policy.max_replica_lag = OrOff(options.Duration("throttle_replica_lag"));
  policy.max_replica_lag_bytes = OrOff(options.Integer("throttle_replica_lag_mb") * kMiB);
  policy.max_slot_retained_bytes = OrOff(options.Integer("throttle_slot_retained_mb") * kMiB);
  policy.max_archiver_backlog = OrOff(options.Integer("throttle_archiver_files"));
  policy.max_active_sessions = OrOff(options.Integer("throttle_active_sessions"));
  policy.max_xmin_age = OrOff(options.Duration("throttle_xmin_age"));
  policy.max_xmin_xids = OrOff(options.Integer("throttle_xmin_xids"));
  policy.own_victims = options.Switch("throttle_own_victims");
  policy.running_dump = options.Switch("throttle_running_dump");
  policy.vacuum_running = options.Switch("throttle_vacuum_running");
  policy.query = options.Text("throttle_query");
  return policy;
}

}  // namespace pgsteward
