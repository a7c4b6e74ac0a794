// Who waits for whom: from what the server says to a forest. Pure.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pgsteward {

// A session by its pid; a prepared transaction, which has none, by its negative transaction id;
// 0 is a prepared transaction that was gone before it could be named.
using PartyId = long long;

struct LockParty {
  PartyId id = 0;
  std::string gid;  // of a prepared transaction
  std::string database;
  std::string user;
  std::string application;
  std::string state;  // as in pg_stat_activity; empty when the role may not see it
  std::optional<double> xact_seconds;
  std::string query;
};

struct LockWait {
  PartyId id = 0;
  std::string lock_type;  // "relation", "transactionid", "advisory", ...
  std::string mode;       // "AccessExclusiveLock"
  std::string relation;   // "public.messages", "oid 16422" in another database; may be empty
  std::string object;     // what else names it: transaction, row, advisory key; may be empty
  std::optional<double> seconds;
  std::vector<PartyId> blockers;  // as pg_blocking_pids says: repeated, with itself among them
};

struct BlockingFacts {
  std::vector<LockWait> waits;
  std::vector<LockParty> parties;  // waiters and blockers; one that ended meanwhile is missing
  // By mode: sessions that wait, but whose blockers were not asked for because too many wait.
  std::map<std::string, int> not_examined;
};

struct BlockingNode {
  PartyId id = 0;
  const LockParty* party = nullptr;   // of the facts; null when it ended meanwhile
  const LockWait* wait = nullptr;     // of the facts; null when it does not wait
  std::vector<std::size_t> blockers;  // nodes, each once
  std::vector<std::size_t> waiters;   // nodes, the longest wait first
  int chain = 0;                      // waits that end one after the other until it can go on
  bool deadlock = false;              // waits for itself by way of others
};

struct BlockingRoot {
  std::size_t node = 0;
  int blocked = 0;  // distinct sessions that wait for it, directly or not
};

struct BlockingTree {
  std::vector<BlockingNode> nodes;
  // Those that wait for nobody; and of each deadlock that nobody else blocks the longest waiter.
  // The one that blocks most comes first.
  std::vector<BlockingRoot> roots;
  int waiting = 0;       // nodes with a wait
  int not_examined = 0;  // more that wait and are not in the tree
  int chain = 0;         // the longest
  std::optional<double> longest_seconds;
};

// Points into `facts`, which must outlive the tree. A wait without a blocker has ended between the
// server's two looks and is left out.
BlockingTree BuildBlockingTree(const BlockingFacts& facts);

}  // namespace pgsteward
