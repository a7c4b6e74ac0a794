#include "collectors/blocking_report.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace pgsteward {
namespace {

LockParty Session(PartyId id, std::string state, double xact_seconds, std::string query) {
  return {.id = id,
          .gid = "",
          .database = "hub",
          .user = "alice",
          .application = "psql",
          .state = std::move(state),
          .xact_seconds = xact_seconds,
          .query = std::move(query)};
}

LockParty Prepared(PartyId id, std::string gid, double seconds) {
  LockParty party = Session(id, "", seconds, "");
  party.gid = std::move(gid);
  party.application = "";
  return party;
}

LockWait Wait(PartyId id, double seconds, std::vector<PartyId> blockers) {
  return {.id = id,
          .lock_type = "relation",
          .mode = "AccessShareLock",
          .relation = "public.messages",
          .object = "",
          .seconds = seconds,
          .blockers = std::move(blockers)};
}

BlockingFacts Scenario() {
  BlockingFacts facts;
  facts.parties = {
      Session(10, "idle in transaction", 125, "UPDATE messages SET content = ''"),
      Session(20, "active", 12, "ALTER TABLE messages\n  ADD COLUMN x int"),
      Session(31, "active", 11, "SELECT 1"),
      Session(32, "active", 10, ""),
      Prepared(-752, "order 5", 4000),
      Session(40, "active", 3, ""),
  };
  facts.waits = {Wait(20, 12, {10}), Wait(31, 11, {20}), Wait(32, 10, {20}),
                 Wait(40, 3, {-752, 0})};
  facts.waits[0].mode = "AccessExclusiveLock";
  facts.waits[3].lock_type = "transactionid";
  facts.waits[3].mode = "ShareLock";
  facts.waits[3].relation = "public.orders";
  facts.waits[3].object = "752";
  return facts;
}

TEST(RenderBlockingTree, ShowsWhoWaitsForWhom) {
  EXPECT_EQ(RenderBlockingTree(Scenario(), 0, false),
            R"(4 sessions wait, the longest for 12s, up to 2 in a chain

pid 10 blocks 3 (alice@hub, psql, idle in transaction, transaction 2m05s)
│  UPDATE messages SET content = ''
└─ pid 20 waits 12s for AccessExclusiveLock on relation public.messages (alice@hub, psql, active, transaction 12s)
   │  ALTER TABLE messages ADD COLUMN x int
   ├─ pid 31 waits 11s for AccessShareLock on relation public.messages (alice@hub, psql, active, transaction 11s)
   │     SELECT 1
   └─ pid 32 waits 10s for AccessShareLock on relation public.messages (alice@hub, psql, active, transaction 10s)

prepared transaction 'order 5' blocks 1 (alice@hub, prepared 1h06m ago)
└─ pid 40 waits 3.0s for ShareLock on transactionid 752 (row of public.orders), also behind a prepared transaction (alice@hub, psql, active, transaction 3.0s)

a prepared transaction blocks 1 (ended meanwhile)
└─ pid 40 too, see above
)");
}

TEST(RenderBlockingTree, SaysWhenNobodyWaits) {
  EXPECT_EQ(RenderBlockingTree({}, 80, true), "no session waits for a lock\n");
}

TEST(RenderBlockingTree, CutsToTheWidth) {
  EXPECT_EQ(RenderBlockingTree(Scenario(), 40, false),
            R"(4 sessions wait, the longest for 12s, u…

pid 10 blocks 3 (alice@hub, psql, idle …
│  UPDATE messages SET content = ''
└─ pid 20 waits 12s for AccessExclusive…
│  ALTER TABLE messages ADD COLUMN x int
├─ pid 31 waits 11s for AccessShareLock…
│  SELECT 1
└─ pid 32 waits 10s for AccessShareLock…

prepared transaction 'order 5' blocks 1…
└─ pid 40 waits 3.0s for ShareLock on t…

a prepared transaction blocks 1 (ended …
└─ pid 40 too, see above
)");
}

TEST(RenderBlockingTree, ColoursOnlyWithoutTouchingTheText) {
  BlockingFacts facts = Scenario();
  const std::string plain = RenderBlockingTree(facts, 60, false);
  std::string colored = RenderBlockingTree(facts, 60, true);
  EXPECT_NE(colored.find("\x1b[1mpid 10 blocks 3"), std::string::npos);
  EXPECT_NE(colored.find("│  \x1b[2mUPDATE messages SET content = ''\x1b[0m\n"), std::string::npos);
  for (const std::string_view code : {"\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"}) {
    for (std::size_t at; (at = colored.find(code)) != std::string::npos;) {
      colored.erase(at, code.size());
    }
  }
  EXPECT_EQ(colored, plain);
}

TEST(RenderBlockingTree, MarksADeadlock) {
  BlockingFacts facts;
  facts.waits = {Wait(1, 0.5, {2}), Wait(2, 0.3, {1})};
  EXPECT_EQ(RenderBlockingTree(facts, 0, false),
            R"(2 sessions wait, the longest for 0.5s

pid 1 blocks 1, waits 0.5s for AccessShareLock on relation public.messages, behind pid 2, DEADLOCK (ended meanwhile)
└─ pid 2 waits 0.3s for AccessShareLock on relation public.messages, DEADLOCK (ended meanwhile)
)");
}

TEST(RenderBlockingTree, NamesAFewOfManyBlockers) {
  BlockingFacts facts;
  for (PartyId waiter = 2; waiter <= 7; ++waiter) {
    std::vector<PartyId> blockers;
    for (PartyId blocker = 1; blocker < waiter; ++blocker) blockers.push_back(blocker);
    facts.waits.push_back(Wait(waiter, 8 - static_cast<double>(waiter), blockers));
    facts.parties.push_back({.id = waiter,
                             .gid = "",
                             .database = "",
                             .user = "",
                             .application = "",
                             .state = "",
                             .xact_seconds = std::nullopt,
                             .query = ""});
  }
  facts.not_examined = {{"ShareLock", 5}};
  EXPECT_EQ(RenderBlockingTree(facts, 0, false),
            R"(11 sessions wait, the longest for 6.0s, up to 6 in a chain

pid 1 blocks 6 (ended meanwhile)
├─ pid 2 waits 6.0s for AccessShareLock on relation public.messages
├─ pid 3 waits 5.0s for AccessShareLock on relation public.messages, also behind pid 2
├─ pid 4 waits 4.0s for AccessShareLock on relation public.messages, also behind pid 2, pid 3
├─ pid 5 waits 3.0s for AccessShareLock on relation public.messages, also behind pid 2, pid 3, pid 4
├─ pid 6 waits 2.0s for AccessShareLock on relation public.messages, also behind pid 2, pid 3, pid 4 and 1 more
└─ pid 7 waits 1.0s for AccessShareLock on relation public.messages, also behind pid 2, pid 3, pid 4 and 2 more

5 more wait; only the longest waits are followed to their blockers
)");
}

TEST(RenderBlockingTree, SurvivesHostileValues) {
  const std::string evil = "a\x1b[2J\nb\xE2\x80\xAE\xFF";
  const std::string shown = "a\\x1b[2J\\x0ab\\u202e\xEF\xBF\xBD";
  BlockingFacts facts;
  LockParty blocker = Prepared(-5, evil, 1);
  LockParty waiter = Session(2, evil, 1, evil);
  waiter.application = waiter.user = waiter.database = evil;
  facts.parties = {blocker, waiter};
  LockWait wait = Wait(2, 1, {-5});
  wait.lock_type = wait.mode = wait.relation = wait.object = evil;
  facts.waits = {wait};
  EXPECT_EQ(RenderBlockingTree(facts, 0, false),
            "1 session waits, the longest for 1.0s\n\n"
            "prepared transaction '" +
                shown +
                "' blocks 1 (alice@hub, prepared 1.0s ago)\n"
                "└─ pid 2 waits 1.0s for " +
                shown + " on " + shown + " " + shown + " of " + shown + " (" + shown + "@" + shown +
                ", " + shown + ", " + shown +
                ", transaction 1.0s)\n"
                "      a\\x1b[2J b\\u202e\xEF\xBF\xBD\n");
}

// A chain deeper than the terminal is wide goes on at the last indentation.
TEST(RenderBlockingTree, DeepChainsStayReadable) {
  BlockingFacts facts;
  for (PartyId waiter = 2; waiter <= 30; ++waiter) {
    facts.waits.push_back(Wait(waiter, 1, {waiter - 1}));
  }
  std::istringstream lines(RenderBlockingTree(facts, 60, false));
  std::string last;
  for (std::string line; std::getline(lines, line);) last = line;
  EXPECT_EQ(last, "                  └─ pid 30 waits 1.0s for AccessShareLock …");
}

TEST(BlockingJson, HoldsEverything) {
  BlockingFacts facts = Scenario();
  facts.parties[0].query = "say \"hi\"\n\\ \x1b \xFF";
  facts.waits.erase(facts.waits.begin() + 1, facts.waits.begin() + 3);
  facts.waits[0].seconds = 12.3456;
  facts.waits[1].seconds.reset();
  facts.not_examined = {{"ShareLock", 3}};
  EXPECT_EQ(
      BlockingJson(facts),
      R"({"schema_version":1,"blocked_sessions":5,"not_examined":3,"longest_chain":1,)"
      R"("longest_wait_seconds":12.346,"roots":[)"
      R"({"pid":0,"gid":"order 5","blocked_sessions":1},)"
      R"({"pid":0,"gid":null,"blocked_sessions":1},)"
      R"({"pid":10,"gid":null,"blocked_sessions":1}],"sessions":[)"
      R"({"pid":10,"gid":null,"database":"hub","user":"alice","application":"psql",)"
      R"("state":"idle in transaction","transaction_seconds":125,)"
      R"("query":"say \"hi\"\n\\ \u001b )"
      "\xEF\xBF\xBD"
      R"(","ended":false,"deadlock":false,"wait":null},)"
      R"({"pid":20,"gid":null,"database":"hub","user":"alice","application":"psql",)"
      R"("state":"active","transaction_seconds":12,)"
      R"("query":"ALTER TABLE messages\n  ADD COLUMN x int","ended":false,"deadlock":false,)"
      R"("wait":{"lock_type":"relation","mode":"AccessExclusiveLock",)"
      R"("relation":"public.messages","object":null,"seconds":12.346,"chain":1,)"
      R"("blocked_by":[{"pid":10,"gid":null}]}},)"
      R"({"pid":0,"gid":"order 5","database":"hub","user":"alice","application":null,)"
      R"("state":"prepared","transaction_seconds":4000,"query":null,"ended":false,)"
      R"("deadlock":false,"wait":null},)"
      R"({"pid":0,"gid":null,"database":null,"user":null,"application":null,)"
      R"("state":"prepared","transaction_seconds":null,"query":null,"ended":true,)"
      R"("deadlock":false,"wait":null},)"
      R"({"pid":40,"gid":null,"database":"hub","user":"alice","application":"psql",)"
      R"("state":"active","transaction_seconds":3,"query":null,"ended":false,"deadlock":false,)"
      R"("wait":{"lock_type":"transactionid","mode":"ShareLock","relation":"public.orders",)"
      R"("object":"752","seconds":null,"chain":1,)"
      R"("blocked_by":[{"pid":0,"gid":"order 5"},{"pid":0,"gid":null}]}}]})");
}

TEST(BlockingJson, IsCompleteWhenNobodyWaits) {
  EXPECT_EQ(BlockingJson({}),
            R"({"schema_version":1,"blocked_sessions":0,"not_examined":0,"longest_chain":0,)"
            R"("longest_wait_seconds":null,"roots":[],"sessions":[]})");
}

}  // namespace
}  // namespace pgsteward
