#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "collectors/blocking_facts.h"
#include "collectors/blocking_report.h"
#include "tests/collectors/locks_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const CollectorSpec kBlocking;

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class BlockingTest : public LocksTest {
 protected:
  void SetUp() override {
    LocksTest::SetUp();
    Exec(
        "CREATE TABLE messages (id int PRIMARY KEY, n int);"
        "INSERT INTO messages SELECT i, 0 FROM generate_series(1, 10) AS i;"
        "CREATE TABLE \"Other Table\" (id int)");
  }

  BlockingFacts Load(bool with_query_text = false) {
    MeasuringDatabase db(Conninfo());
    auto facts =
        RunCoro(db.runtime(), LoadBlockingFacts(db, std::chrono::seconds(5), with_query_text));
    if (facts) return *facts;
    ADD_FAILURE() << ToText(facts.error());
    return {};
  }

  // A session of the scenario, and the name it has in what the test expects.
  PgClient& Session(const std::string& name) {
    PgClient& client = sessions_.emplace_back(Connect());
    names_[client.pid()] = name;
    return client;
  }

  // Sends `sql`, and waits until it waits.
  PgClient& Waiter(const std::string& name, const std::string& sql) {
    PgClient& client = Session(name);
    client.ExecAsync(sql);
    WaitForWaiters(++waiters_);
    return client;
  }

  // "waiter > blocker", by the tree's edges.
  std::vector<std::string> Edges(const BlockingFacts& facts) const {
    const BlockingTree tree = BuildBlockingTree(facts);
    std::vector<std::string> edges;
    for (const BlockingNode& node : tree.nodes) {
      for (const std::size_t blocker : node.blockers) {
        edges.push_back(NameOf(node) + " > " + NameOf(tree.nodes[blocker]));
      }
    }
    return edges;
  }

  // "waiter: mode lock_type object relation".
  std::vector<std::string> Targets(const BlockingFacts& facts) const {
    std::vector<std::string> targets;
    for (const LockWait& wait : facts.waits) {
      std::string text = names_.at(wait.id) + ": " + wait.mode + " " + wait.lock_type;
      if (!wait.object.empty()) text += " " + wait.object;
      if (!wait.relation.empty()) text += " " + wait.relation;
      targets.push_back(text);
    }
    return targets;
  }

  // The values that say "nothing waits".
  void ExpectQuiet() {
    MeasuringDatabase db(Conninfo());
    db.TakeStatements();
    ExpectSamples(Collect(kBlocking, db), 0, {}, 0, 0, {});
    EXPECT_EQ(db.TakeStatements(), 1);
  }

  void ExpectSamples(const Families& families, int blocked, std::map<std::string, int> roots,
                     int by_root, int depth, std::map<std::string, int> waiters) {
    const auto plain = [&](const char* metric) { return LinesOf(families, metric).at(0); };
    EXPECT_EQ(plain("pg_blocked_sessions"), "pg_blocked_sessions " + std::to_string(blocked));
    EXPECT_EQ(plain("pg_blocked_by_root_max"), "pg_blocked_by_root_max " + std::to_string(by_root));
    EXPECT_EQ(plain("pg_lock_wait_tree_depth_max"),
              "pg_lock_wait_tree_depth_max " + std::to_string(depth));
    ExpectLongestWait(families, blocked);
    const auto labelled = [](const std::string& metric, const std::string& label,
                             const std::vector<std::string>& values,
                             std::map<std::string, int> counts) {
      std::vector<std::string> lines;
      for (const std::string& value : values) {
        lines.push_back(metric + "{" + label + "=\"" + value + "\"} " +
                        std::to_string(counts[value]));
      }
      return lines;
    };
    EXPECT_EQ(LinesOf(families, "pg_blocking_roots"),
              labelled("pg_blocking_roots", "state",
                       {"active", "idle", "idle_in_tx", "prepared", "other"}, std::move(roots)));
    EXPECT_EQ(
        LinesOf(families, "pg_lock_waiters"),
        labelled("pg_lock_waiters", "mode",
                 {"accessexclusivelock", "accesssharelock", "exclusivelock", "rowexclusivelock",
                  "rowsharelock", "sharelock", "sharerowexclusivelock", "shareupdateexclusivelock"},
                 std::move(waiters)));
  }

  void ExpectLongestWait(const Families& families, int blocked) {
    const std::string name = "pg_lock_wait_longest_seconds ";
    const auto lines = LinesOf(families, "pg_lock_wait_longest_seconds");
    if (wait_times_hidden_) {
      EXPECT_THAT(lines, IsEmpty());
    } else if (blocked == 0) {
      EXPECT_THAT(lines, ElementsAre(name + "0"));
    } else {
      ASSERT_EQ(lines.size(), 1U);
      const double longest = std::stod(lines[0].substr(name.size()));
      EXPECT_GT(longest, 0);
      EXPECT_LT(longest, 30);
    }
  }

  std::string NameOf(const BlockingNode& node) const {
    if (node.id <= 0) return node.party ? node.party->gid : "?";
    const auto name = names_.find(static_cast<int>(node.id));
    return name == names_.end() ? "pid " + std::to_string(node.id) : name->second;
  }

  std::deque<PgClient> sessions_;
  std::map<long long, std::string> names_;
  int waiters_ = 0;
  bool wait_times_hidden_ = false;
};

TEST_F(BlockingTest, IsQuietAtFirst) {
  ExpectQuiet();
  EXPECT_THAT(Load().waits, IsEmpty());
  EXPECT_EQ(RenderBlockingTree(Load(), 80, false), "no session waits for a lock\n");
}

// A prepared transaction, a forgotten transaction behind which a migration and then all readers
// queue, and an application lock: 9 edges. Joining pg_locks to itself finds up to 299 of them.
TEST_F(BlockingTest, FindsTheNineEdges) {
  Session("preparer")
      .Exec("BEGIN; LOCK TABLE \"Other Table\"; PREPARE TRANSACTION 'it''s \"two\" phase'");
  Session("forgotten").Exec("BEGIN; SELECT count(*) FROM messages");
  Session("app").Exec("SELECT pg_advisory_lock(-42)");
  Waiter("other reader", "SELECT count(*) FROM \"Other Table\"");
  Waiter("migration", "ALTER TABLE messages ADD COLUMN extra int");
  for (int reader = 1; reader <= 6; ++reader) {
    Waiter("reader " + std::to_string(reader), "SELECT count(*) FROM messages");
  }
  Waiter("worker", "SELECT pg_advisory_lock(-42)");

  const BlockingFacts facts = Load(true);
  EXPECT_THAT(Edges(facts),
              UnorderedElementsAre("other reader > it's \"two\" phase", "migration > forgotten",
                                   "reader 1 > migration", "reader 2 > migration",
                                   "reader 3 > migration", "reader 4 > migration",
                                   "reader 5 > migration", "reader 6 > migration", "worker > app"));
  EXPECT_THAT(Targets(facts),
              UnorderedElementsAre("other reader: AccessShareLock relation public.\"Other Table\"",
                                   "migration: AccessExclusiveLock relation public.messages",
                                   "reader 1: AccessShareLock relation public.messages",
                                   "reader 2: AccessShareLock relation public.messages",
                                   "reader 3: AccessShareLock relation public.messages",
                                   "reader 4: AccessShareLock relation public.messages",
                                   "reader 5: AccessShareLock relation public.messages",
                                   "reader 6: AccessShareLock relation public.messages",
                                   "worker: ExclusiveLock advisory -42"));
  ExpectSamples(Collect(kBlocking), 9, {{"idle", 1}, {"idle_in_tx", 1}, {"prepared", 1}}, 7, 2,
                {{"accesssharelock", 7}, {"accessexclusivelock", 1}, {"exclusivelock", 1}});

  for (const LockParty& party : facts.parties) {
    const bool in_transaction = party.id < 0 || names_.at(party.id) != "app";
    EXPECT_EQ(party.xact_seconds.has_value(), in_transaction) << party.id;
  }

  const std::string text = RenderBlockingTree(facts, 0, false);
  EXPECT_THAT(text, HasSubstr("9 sessions wait, "));
  EXPECT_THAT(text, HasSubstr(" blocks 7 (postgres@" + dbname_));
  EXPECT_THAT(text, HasSubstr(", idle in transaction, transaction "));
  EXPECT_THAT(text, HasSubstr("│  BEGIN; SELECT count(*) FROM messages\n└─ pid "));
  EXPECT_THAT(text, HasSubstr("prepared transaction 'it's \"two\" phase' blocks 1 (postgres@" +
                              dbname_ + ", prepared "));

  // Once the roots let go everybody gets through, and nothing is left.
  sessions_[1].Exec("COMMIT");
  Postgres().Exec("ROLLBACK PREPARED 'it''s \"two\" phase'", dbname_);
  sessions_[2].Exec("SELECT pg_advisory_unlock(-42)");
  for (std::size_t i = 3; i < sessions_.size(); ++i) sessions_[i].Get();
  ExpectQuiet();
}

// Who updates a row waits for the transaction of its owner; the next one waits for the row.
TEST_F(BlockingTest, SeesRowLocks) {
  PgClient& owner = Session("owner");
  owner.Exec("BEGIN; UPDATE messages SET n = 1 WHERE id = 3");
  const std::string xid = owner.Value("SELECT pg_current_xact_id()");
  Waiter("first", "UPDATE messages SET n = 2 WHERE id = 3");
  Waiter("second", "UPDATE messages SET n = 3 WHERE id = 3");
  Waiter("third", "UPDATE messages SET n = 4 WHERE id = 3");

  const BlockingFacts facts = Load();
  EXPECT_THAT(Edges(facts), UnorderedElementsAre("first > owner", "second > first", "third > first",
                                                 "third > second"));
  EXPECT_THAT(Targets(facts),
              UnorderedElementsAre("first: ShareLock transactionid " + xid + " public.messages",
                                   "second: ExclusiveLock tuple (0,3) public.messages",
                                   "third: ExclusiveLock tuple (0,3) public.messages"));
  ExpectSamples(Collect(kBlocking), 3, {{"idle_in_tx", 1}}, 3, 3,
                {{"sharelock", 1}, {"exclusivelock", 2}});
  for (const LockParty& party : facts.parties) EXPECT_EQ(party.query, "");

  owner.Exec("COMMIT");
  for (std::size_t i = 1; i < sessions_.size(); ++i) sessions_[i].Get();
  ExpectQuiet();
}

TEST_F(BlockingTest, TellsPreparedTransactionsApart) {
  const auto prepare = [&](const std::string& gid, const std::string& sql) {
    Exec("BEGIN; " + sql + "; PREPARE TRANSACTION '" + gid + "'");
  };
  prepare("reads", "SELECT count(*) FROM messages");
  prepare("reads, too", "SELECT count(*) FROM messages");
  prepare("elsewhere", "LOCK TABLE \"Other Table\"");
  prepare("row", "UPDATE messages SET n = 1 WHERE id = 1");
  Waiter("index", "CREATE INDEX ON messages (n)");  // SHARE: readers do not disturb it
  Waiter("row waiter", "UPDATE messages SET n = 2 WHERE id = 1");
  Waiter("migration", "ALTER TABLE messages ADD COLUMN extra int");

  const auto edges = UnorderedElementsAre("index > row", "row waiter > index", "migration > index",
                                          "migration > row waiter", "migration > reads",
                                          "migration > reads, too", "migration > row");
  EXPECT_THAT(Edges(Load()), edges);
  ExpectSamples(Collect(kBlocking), 3, {{"prepared", 3}}, 3, 3,
                {{"sharelock", 1}, {"rowexclusivelock", 1}, {"accessexclusivelock", 1}});

  // The server numbers their locks in another way after a restart.
  sessions_.clear();
  Postgres().Restart();
  waiters_ = 0;
  Waiter("index", "CREATE INDEX ON messages (n)");
  Waiter("row waiter", "UPDATE messages SET n = 2 WHERE id = 1");
  Waiter("migration", "ALTER TABLE messages ADD COLUMN extra int");
  EXPECT_THAT(Edges(Load()), edges);

  sessions_.clear();
  for (const char* gid : {"reads", "reads, too", "elsewhere", "row"}) {
    Exec("ROLLBACK PREPARED '" + std::string(gid) + "'");
  }
  WaitForWaiters(0);
  ExpectQuiet();
}

TEST_F(BlockingTest, MarksADeadlock) {
  PgClient& one = Session("one");
  PgClient& two = Session("two");
  for (PgClient* client : {&one, &two}) {
    // Long enough to be looked at.
    client->Exec("SET deadlock_timeout = '1h'; BEGIN");
    client->Exec("UPDATE messages SET n = 1 WHERE id = " + std::to_string(client == &one ? 1 : 2));
  }
  one.ExecAsync("UPDATE messages SET n = 1 WHERE id = 2");
  WaitForWaiters(1);
  two.ExecAsync("UPDATE messages SET n = 1 WHERE id = 1");
  WaitForWaiters(2);
  waiters_ = 2;
  Waiter("victim", "BEGIN; LOCK TABLE messages IN SHARE MODE");

  const BlockingFacts facts = Load();
  EXPECT_THAT(Edges(facts),
              UnorderedElementsAre("one > two", "two > one", "victim > one", "victim > two"));
  ExpectSamples(Collect(kBlocking), 3, {{"other", 1}}, 2, 2, {{"sharelock", 3}});
  const std::string text = RenderBlockingTree(facts, 0, false);
  EXPECT_THAT(text, HasSubstr("behind pid " + std::to_string(two.pid()) + ", DEADLOCK ("));

  Postgres().Exec("SELECT pg_cancel_backend(" + std::to_string(two.pid()) + ")");
  EXPECT_THROW(two.Get(), std::runtime_error);
  two.Exec("ROLLBACK");
  one.Get();
  one.Exec("COMMIT");
}

TEST_F(BlockingTest, NamesWhatIsWaitedFor) {
  PgClient& holder = Session("holder");
  holder.Exec(
      "SELECT pg_advisory_lock(9223372036854775807), pg_advisory_lock(-1, 7);"
      "BEGIN; INSERT INTO messages VALUES (99, 1); LOCK TABLE \"Other Table\"");
  const std::string xid = holder.Value("SELECT pg_current_xact_id()");
  const std::string oid = holder.Value("SELECT '\"Other Table\"'::regclass::oid");
  Waiter("big key", "SELECT pg_advisory_lock(9223372036854775807)");
  Waiter("two keys", "SELECT pg_advisory_lock_shared(-1, 7)");
  Waiter("same key", "INSERT INTO messages VALUES (99, 2)");
  Waiter("table", "SELECT FROM \"Other Table\"");
  EXPECT_THAT(Targets(Load()),
              UnorderedElementsAre("big key: ExclusiveLock advisory 9223372036854775807",
                                   "two keys: ShareLock advisory (-1,7)",
                                   "same key: ShareLock transactionid " + xid,
                                   "table: AccessShareLock relation public.\"Other Table\""));

  // From another database the table has no name.
  MeasuringDatabase elsewhere(Postgres().Conninfo("postgres"));
  auto facts =
      RunCoro(elsewhere.runtime(), LoadBlockingFacts(elsewhere, std::chrono::seconds(5), false));
  ASSERT_TRUE(facts);
  EXPECT_THAT(Targets(*facts), ::testing::Contains("table: AccessShareLock relation oid " + oid));
}

// pg_locks shows every wait to everybody, pg_stat_activity does not show what the sessions do.
TEST_F(BlockingTest, NeedsNoPrivilegesToCount) {
  Postgres().Exec("DROP ROLE IF EXISTS nobody_special");
  Postgres().Exec("CREATE ROLE nobody_special LOGIN");
  Session("holder").Exec("BEGIN; LOCK TABLE messages");
  Waiter("waiter", "SELECT FROM messages");
  MeasuringDatabase db(Conninfo() + " user=nobody_special");
  // Before waitstart only pg_stat_activity knows times: then there is no sample rather than 0.
  wait_times_hidden_ = db.server_version() < 140000;
  ExpectSamples(Collect(kBlocking, db), 1, {{"other", 1}}, 1, 1, {{"accesssharelock", 1}});
}

TEST_F(BlockingTest, CountsMoreThanItExamines) {
  Session("holder").Exec("SELECT pg_advisory_lock(1)");
  constexpr int kWaiters = kMaxExaminedWaits + 5;
  for (int i = 0; i < kWaiters; ++i) Session("waiter").ExecAsync("SELECT pg_advisory_lock(1)");
  WaitForWaiters(kWaiters);

  const BlockingFacts facts = Load();
  EXPECT_EQ(facts.waits.size(), 200U);
  EXPECT_THAT(facts.not_examined, ElementsAre(::testing::Pair("ExclusiveLock", 5)));
  ExpectSamples(Collect(kBlocking), kWaiters, {{"idle", 1}}, 200, 200,
                {{"exclusivelock", kWaiters}});
  EXPECT_THAT(RenderBlockingTree(facts, 80, false),
              HasSubstr("205 sessions wait, the longest for "));
}

}  // namespace
}  // namespace pgsteward
