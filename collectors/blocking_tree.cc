#include "collectors/blocking_tree.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace pgsteward {

namespace {

using Nodes = std::vector<BlockingNode>;

bool WaitsLonger(const BlockingNode& a, const BlockingNode& b) {
  const double a_seconds = a.wait ? a.wait->seconds.value_or(0) : 0;
  const double b_seconds = b.wait ? b.wait->seconds.value_or(0) : 0;
  return a_seconds != b_seconds ? a_seconds > b_seconds : a.id < b.id;
}

Nodes MakeNodes(const BlockingFacts& facts) {
  Nodes nodes;
  std::unordered_map<PartyId, std::size_t> index;
  const auto node_of = [&](PartyId id) {
    const auto [position, is_new] = index.try_emplace(id, nodes.size());
    if (is_new) nodes.emplace_back().id = id;
    return position->second;
  };
  for (const LockWait& wait : facts.waits) {
    std::vector<std::size_t> blockers;
    for (const PartyId blocker : wait.blockers) {
      if (blocker != wait.id) blockers.push_back(node_of(blocker));
    }
    if (blockers.empty()) continue;
    std::sort(blockers.begin(), blockers.end());
    blockers.erase(std::unique(blockers.begin(), blockers.end()), blockers.end());
    BlockingNode& node = nodes[node_of(wait.id)];
    node.wait = &wait;
    node.blockers = std::move(blockers);
  }
  for (const LockParty& party : facts.parties) {
    const auto position = index.find(party.id);
    if (position != index.end()) nodes[position->second].party = &party;
  }
  return nodes;
}

void LinkWaiters(Nodes& nodes) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const std::size_t blocker : nodes[i].blockers) nodes[blocker].waiters.push_back(i);
  }
  for (BlockingNode& node : nodes) {
    std::sort(node.waiters.begin(), node.waiters.end(),
              [&](std::size_t a, std::size_t b) { return WaitsLonger(nodes[a], nodes[b]); });
  }
}

// Whom `start` blocks, directly or not; itself only when it is in a deadlock.
std::vector<bool> Blocked(const Nodes& nodes, std::size_t start) {
  std::vector<bool> blocked(nodes.size());
  std::deque<std::size_t> pending = {start};
  while (!pending.empty()) {
    const std::size_t node = pending.front();
    pending.pop_front();
    for (const std::size_t waiter : nodes[node].waiters) {
      if (blocked[waiter]) continue;
      blocked[waiter] = true;
      pending.push_back(waiter);
    }
  }
  return blocked;
}

// Without those that wait for nobody every path upwards ends in a circle.
void FindDeadlocks(Nodes& nodes) {
  std::vector<int> open(nodes.size());  // blockers that are not yet known to be free of circles
  std::deque<std::size_t> free;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    open[i] = static_cast<int>(nodes[i].blockers.size());
    if (open[i] == 0) free.push_back(i);
  }
  std::size_t left = nodes.size();
  for (; !free.empty(); free.pop_front(), --left) {
    for (const std::size_t waiter : nodes[free.front()].waiters) {
      if (--open[waiter] == 0) free.push_back(waiter);
    }
  }
  if (left == 0) return;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (open[i] > 0) nodes[i].deadlock = Blocked(nodes, i)[i];
  }
}

void AddRoot(BlockingTree& tree, std::size_t node, std::vector<bool>& reached) {
  std::vector<bool> blocked = Blocked(tree.nodes, node);
  blocked[node] = false;
  int count = 0;
  for (std::size_t i = 0; i < blocked.size(); ++i) {
    if (!blocked[i]) continue;
    ++count;
    reached[i] = true;
  }
  reached[node] = true;
  tree.roots.push_back({node, count});
}

// The deadlocks that no root reaches: a circle that hangs below another one is reached by it.
void AddDeadlockRoots(BlockingTree& tree, std::vector<bool>& reached) {
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
    if (tree.nodes[i].deadlock && !reached[i]) candidates.push_back(i);
  }
  std::sort(candidates.begin(), candidates.end(), [&](std::size_t a, std::size_t b) {
    return WaitsLonger(tree.nodes[a], tree.nodes[b]);
  });
  for (const std::size_t candidate : candidates) {
    if (reached[candidate]) continue;
    const std::vector<bool> blocked = Blocked(tree.nodes, candidate);
    const bool above = std::all_of(candidates.begin(), candidates.end(), [&](std::size_t other) {
      return !Blocked(tree.nodes, other)[candidate] || blocked[other];
    });
    if (above) AddRoot(tree, candidate, reached);
  }
}

enum class Visit : char { kNew, kOpen, kDone };

// A blocker that is being looked at closes a circle: cut there.
int Chain(Nodes& nodes, std::size_t i, std::vector<Visit>& visits) {
  BlockingNode& node = nodes[i];
  if (visits[i] == Visit::kDone) return node.chain;
  visits[i] = Visit::kOpen;
  int longest = node.wait ? 0 : -1;
  for (const std::size_t blocker : node.blockers) {
    if (visits[blocker] == Visit::kOpen) continue;
    longest = std::max(longest, Chain(nodes, blocker, visits));
  }
  node.chain = longest + 1;
  visits[i] = Visit::kDone;
  return node.chain;
}

}  // namespace

BlockingTree BuildBlockingTree(const BlockingFacts& facts) {
  BlockingTree tree;
  tree.nodes = MakeNodes(facts);
  LinkWaiters(tree.nodes);
  FindDeadlocks(tree.nodes);

  std::vector<bool> reached(tree.nodes.size());
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
    if (tree.nodes[i].blockers.empty()) AddRoot(tree, i, reached);
  }
  AddDeadlockRoots(tree, reached);

  std::vector<Visit> visits(tree.nodes.size(), Visit::kNew);
  // A deadlock's root first: its own wait is where the circle is cut.
  for (const BlockingRoot& root : tree.roots) visits[root.node] = Visit::kDone;
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
    const BlockingNode& node = tree.nodes[i];
    tree.chain = std::max(tree.chain, Chain(tree.nodes, i, visits));
    if (!node.wait) continue;
    ++tree.waiting;
    if (node.wait->seconds) {
      tree.longest_seconds = std::max(tree.longest_seconds.value_or(0), *node.wait->seconds);
    }
  }
  for (const auto& [mode, count] : facts.not_examined) tree.not_examined += count;

  std::stable_sort(tree.roots.begin(), tree.roots.end(),
                   [&](const BlockingRoot& a, const BlockingRoot& b) {
                     if (a.blocked != b.blocked) return a.blocked > b.blocked;
                     return tree.nodes[a.node].id < tree.nodes[b.node].id;
                   });
  return tree;
}

}  // namespace pgsteward
