// The lock wait tree in numbers. Who exactly waits for whom: `pgsteward locks`.
#include <algorithm>
#include <array>

#include "collectors/blocking_facts.h"
#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr std::string_view kMetrics[] = {
    "pg_blocked_sessions",          "pg_blocking_roots",
    "pg_blocked_by_root_max",       "pg_lock_wait_tree_depth_max",
    "pg_lock_wait_longest_seconds", "pg_lock_waiters"};

constexpr std::string_view kRootStates[] = {"active", "idle", "idle_in_tx", "prepared", "other"};

constexpr std::string_view kModes[] = {
    "accesssharelock", "rowsharelock",          "rowexclusivelock", "shareupdateexclusivelock",
    "sharelock",       "sharerowexclusivelock", "exclusivelock",    "accessexclusivelock"};

std::string_view RootState(const BlockingNode& node) {
  if (node.id <= 0) return "prepared";
  if (node.deadlock || !node.party) return "other";
  const std::string& state = node.party->state;
  if (state == "active" || state == "idle") return state;
  if (state.starts_with("idle in transaction")) return "idle_in_tx";
  return "other";
}

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

prometheus::MetricFamily Roots(const BlockingTree& tree) {
  auto family = GaugeFamily(
      kMetrics[1],
      "Sessions and prepared transactions that others wait for and that wait for no lock "
      "themselves, by what they do. \"other\": ended meanwhile, state not visible, or a deadlock "
      "that the server is about to resolve.");
  for (const std::string_view state : kRootStates) {
    const auto count = std::count_if(
        tree.roots.begin(), tree.roots.end(),
        [&](const BlockingRoot& root) { return RootState(tree.nodes[root.node]) == state; });
    AddSample(family, {{"state", std::string(state)}}, static_cast<double>(count));
  }
  return family;
}

prometheus::MetricFamily Waiters(const BlockingFacts& facts, const BlockingTree& tree) {
  std::map<std::string, double> by_mode;
  for (const std::string_view mode : kModes) by_mode[std::string(mode)] = 0;
  for (const BlockingNode& node : tree.nodes) {
    if (node.wait) ++by_mode[Lower(node.wait->mode)];
  }
  for (const auto& [mode, count] : facts.not_examined) by_mode[Lower(mode)] += count;
  auto family = GaugeFamily(kMetrics[5], "Sessions that wait for a lock, by the mode they want.");
  for (const auto& [mode, count] : by_mode) AddSample(family, {{"mode", mode}}, count);
  return family;
}

Task<Result<Families>> CollectBlocking(CollectorContext& context) {
  auto facts = co_await LoadBlockingFacts(context.db, context.timeout, false);
  if (!facts) co_return facts.error();
  const BlockingTree tree = BuildBlockingTree(*facts);

  Families families;
  const auto add = [&](std::string_view name, std::string_view help, std::optional<double> value) {
    auto& family = families.emplace_back(GaugeFamily(name, help));
    if (value) AddSample(family, {}, *value);
  };
  const int waiting = tree.waiting + tree.not_examined;
  add(kMetrics[0], "Sessions that wait for a lock which others hold or asked for earlier.",
      waiting);
  families.push_back(Roots(tree));
  add(kMetrics[2],
      "Most sessions that wait for one root of the tree, directly or behind others. At most the "
      "200 longest waits of the server are looked at.",
      tree.roots.empty() ? 0 : tree.roots.front().blocked);
  add(kMetrics[3],
      "Longest chain of lock waits: how many must end one after the other until the last session "
      "can go on.",
      tree.chain);
  // Waiting, but for how long is not known: no sample rather than 0.
  add(kMetrics[4],
      "Longest lock wait of now, 0 without one. Before PostgreSQL 14 counted from the start of "
      "the waiting statement.",
      waiting == 0 ? 0 : tree.longest_seconds);
  families.push_back(Waiters(*facts, tree));
  co_return families;
}

}  // namespace

extern const CollectorSpec kBlocking{
    .name = "blocking",
    .reads = "pg_stat_activity, pg_locks, pg_blocking_pids, pg_prepared_xacts",
    .collect = &CollectBlocking,
    .metrics = kMetrics,
};

}  // namespace pgsteward
