#include "collectors/blocking_tree.h"

#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Edge {
  PartyId waiter;
  std::vector<PartyId> blockers;
  double seconds = 1;
};

BlockingFacts Facts(const std::vector<Edge>& edges) {
  BlockingFacts facts;
  for (const Edge& edge : edges) {
    LockWait wait;
    wait.id = edge.waiter;
    wait.mode = "ExclusiveLock";
    wait.seconds = edge.seconds;
    wait.blockers = edge.blockers;
    facts.waits.push_back(wait);
  }
  return facts;
}

// "root:blocked" in the tree's order, "!" at a deadlock's.
std::vector<std::string> Roots(const BlockingTree& tree) {
  std::vector<std::string> roots;
  for (const BlockingRoot& root : tree.roots) {
    const BlockingNode& node = tree.nodes[root.node];
    roots.push_back(std::to_string(node.id) + ":" + std::to_string(root.blocked) +
                    (node.deadlock ? "!" : ""));
  }
  return roots;
}

// "waiter<blocker,blocker chain", "!" in a deadlock, by the order of the waits.
std::vector<std::string> Waits(const BlockingFacts& facts, const BlockingTree& tree) {
  std::vector<std::string> waits;
  for (const LockWait& wait : facts.waits) {
    for (const BlockingNode& node : tree.nodes) {
      if (node.wait != &wait) continue;
      std::string text = std::to_string(node.id);
      for (const std::size_t blocker : node.blockers) {
        text += (text.find('<') == std::string::npos ? "<" : ",");
        text += std::to_string(tree.nodes[blocker].id);
      }
      waits.push_back(text + " " + std::to_string(node.chain) + (node.deadlock ? "!" : ""));
    }
  }
  return waits;
}

struct Case {
  const char* name;
  std::vector<Edge> edges;
  std::vector<std::string> roots;
  std::vector<std::string> waits;
  int chain;
};

class BlockingTreeTest : public ::testing::TestWithParam<Case> {};

TEST_P(BlockingTreeTest, IsBuiltFromEdges) {
  const Case& c = GetParam();
  const BlockingFacts facts = Facts(c.edges);
  const BlockingTree tree = BuildBlockingTree(facts);
  EXPECT_EQ(Roots(tree), c.roots);
  EXPECT_EQ(Waits(facts, tree), c.waits);
  EXPECT_EQ(tree.chain, c.chain);
  EXPECT_EQ(tree.waiting, static_cast<int>(c.waits.size()));
}

INSTANTIATE_TEST_SUITE_P(
    Tables, BlockingTreeTest,
    ::testing::Values(
        Case{"nothing", {}, {}, {}, 0}, Case{"one", {{2, {1}}}, {"1:1"}, {"2<1 1"}, 1},
        Case{"chain", {{4, {3}}, {3, {2}}, {2, {1}}}, {"1:3"}, {"4<3 3", "3<2 2", "2<1 1"}, 3},
        // Parallel queries repeat a blocker; a relation extension can name the waiter itself.
        Case{"repeated_and_self", {{2, {1, 1, 2, 1}}}, {"1:1"}, {"2<1 1"}, 1},
        Case{"only_self_has_ended", {{2, {2}}, {3, {}}}, {}, {}, 0},
        Case{"several_roots",
             {{11, {1}}, {12, {1}}, {21, {2}}, {31, {3}}, {32, {31}}, {33, {31}}},
             {"3:3", "1:2", "2:1"},
             {"11<1 1", "12<1 1", "21<2 1", "31<3 1", "32<31 2", "33<31 2"},
             2},
        // Both roots block 3 and 4: counted for each, and once as a session that waits.
        Case{"diamond", {{3, {1, 2}}, {4, {3}}}, {"1:2", "2:2"}, {"3<1,2 1", "4<3 2"}, 2},
        Case{"diamond_below_one_root",
             {{2, {1}}, {3, {1}}, {4, {2, 3}}},
             {"1:3"},
             {"2<1 1", "3<1 1", "4<2,3 2"},
             2},
        // Readers queue behind an ALTER that waits: soft blocks, they do not conflict with the
        // root.
        Case{"soft_blocks",
             {{2, {1}}, {3, {2}}, {4, {2}}, {5, {2}}},
             {"1:4"},
             {"2<1 1", "3<2 2", "4<2 2", "5<2 2"},
             2},
        // Who updates a row queues behind all who came before.
        Case{"queue",
             {{2, {1}}, {3, {1, 2}}, {4, {1, 2, 3}}, {5, {1, 2, 3, 4}}},
             {"1:4"},
             {"2<1 1", "3<1,2 2", "4<1,2,3 3", "5<1,2,3,4 4"},
             4},
        Case{"prepared",
             {{2, {-752, -753}}, {3, {-752}}},
             {"-752:2", "-753:1"},
             {"2<-752,-753 1", "3<-752 1"},
             1},
        Case{"prepared_without_name", {{2, {0}}}, {"0:1"}, {"2<0 1"}, 1},
        Case{"deadlock", {{1, {2}, 3}, {2, {1}, 5}}, {"2:1!"}, {"1<2 1!", "2<1 0!"}, 1},
        Case{"deadlock_of_three_with_a_victim",
             {{1, {2}, 9}, {2, {3}, 5}, {3, {1}, 5}, {4, {3}, 99}},
             {"1:3!"},
             {"1<2 0!", "2<3 2!", "3<1 1!", "4<3 2"},
             2},
        Case{"deadlock_below_a_root", {{2, {1, 3}}, {3, {2}}}, {"1:2"}, {"2<1,3 1!", "3<2 2!"}, 2},
        Case{"deadlock_below_a_deadlock",
             {{1, {2}, 1}, {2, {1}, 1}, {3, {2, 4}, 9}, {4, {3}, 9}},
             {"1:3!"},
             {"1<2 0!", "2<1 1!", "3<2,4 2!", "4<3 3!"},
             3},
        Case{"two_deadlocks",
             {{1, {2}}, {2, {1}}, {3, {4}}, {4, {3}}},
             {"1:1!", "3:1!"},
             {"1<2 0!", "2<1 1!", "3<4 0!", "4<3 1!"},
             1}),
    [](const auto& tested) { return tested.param.name; });

TEST(BlockingTree, KnowsWhoIsStillThere) {
  BlockingFacts facts = Facts({{2, {1}}, {4, {3}}});
  LockParty idle;
  idle.id = 1;
  idle.state = "idle in transaction";
  LockParty unrelated;
  unrelated.id = 77;
  facts.parties = {idle, unrelated};
  const BlockingTree tree = BuildBlockingTree(facts);
  ASSERT_THAT(Roots(tree), ElementsAre("1:1", "3:1"));
  ASSERT_NE(tree.nodes[tree.roots[0].node].party, nullptr);
  EXPECT_EQ(tree.nodes[tree.roots[0].node].party->state, "idle in transaction");
  EXPECT_EQ(tree.nodes[tree.roots[1].node].party, nullptr);
}

TEST(BlockingTree, SortsWaitersByTimeThenPid) {
  const BlockingFacts facts = Facts({{5, {1}, 2}, {4, {1}, 7}, {3, {1}, 2}});
  const BlockingTree tree = BuildBlockingTree(facts);
  std::vector<PartyId> waiters;
  for (const std::size_t waiter : tree.nodes[tree.roots[0].node].waiters) {
    waiters.push_back(tree.nodes[waiter].id);
  }
  EXPECT_THAT(waiters, ElementsAre(4, 3, 5));
  EXPECT_EQ(tree.longest_seconds, 7);
}

TEST(BlockingTree, DoesNotInventAWaitingTime) {
  BlockingFacts facts = Facts({{2, {1}}});
  facts.waits[0].seconds.reset();
  EXPECT_EQ(BuildBlockingTree(facts).longest_seconds, std::nullopt);
}

TEST(BlockingTree, CountsThoseThatWereNotExamined) {
  BlockingFacts facts = Facts({{2, {1}}});
  facts.not_examined = {{"ShareLock", 7}, {"ExclusiveLock", 50}};
  const BlockingTree tree = BuildBlockingTree(facts);
  EXPECT_EQ(tree.waiting, 1);
  EXPECT_EQ(tree.not_examined, 57);
}

// 200 sessions that update one row: 20,100 edges, and two to the power of 200 paths.
TEST(BlockingTree, IsNotDrownedByAQueue) {
  BlockingFacts facts;
  for (PartyId waiter = 1; waiter <= 200; ++waiter) {
    LockWait wait;
    wait.id = waiter;
    for (PartyId blocker = 0; blocker < waiter; ++blocker) wait.blockers.push_back(1000 - blocker);
    wait.id = 1000 - waiter;
    facts.waits.push_back(wait);
  }
  const BlockingTree tree = BuildBlockingTree(facts);
  EXPECT_THAT(Roots(tree), ElementsAre("1000:200"));
  EXPECT_EQ(tree.chain, 200);
}

}  // namespace
}  // namespace pgsteward
