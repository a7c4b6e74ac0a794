#include "collectors/blocking_facts.h"

#include <gmock/gmock.h>

#include "tests/support/fake_database.h"
#include "tests/support/make_result.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

const std::vector<std::string> kColumns = {
    "id",       "gid",      "datname",     "usename", "application_name", "state",  "xact_seconds",
    "query",    "known",    "locktype",    "mode",    "relation",         "object", "wait_seconds",
    "blockers", "prepared", "not_examined"};

Result<BlockingFacts> Load(FakeDatabase& db, bool with_query_text = false) {
  Runtime runtime;
  return RunCoro(runtime, LoadBlockingFacts(db, std::chrono::seconds(1), with_query_text));
}

TEST(LoadBlockingFacts, AsksOnceWhileNobodyWaits) {
  FakeDatabase db;
  db.Answer(MakeResult({"exists"}, {{"f"}}));
  const auto facts = Load(db);
  ASSERT_TRUE(facts);
  EXPECT_TRUE(facts->waits.empty());
  EXPECT_EQ(db.calls().size(), 1U);
}

TEST(LoadBlockingFacts, ReadsWaitsAndParties) {
  FakeDatabase db;
  db.Answer(MakeResult({"exists"}, {{"t"}}));
  const std::optional<std::string> null;
  db.Answer(MakeResult(
      kColumns, {{"12", null, "hub", "alice", "psql", "active", "3.5", "SELECT 1", "t", "relation",
                  "AccessShareLock", "public.t", null, "2.25", "{11,0,11,0}", "{752,753}", null},
                 {"13", null, "hub", null, null, null, null, null, "t", "tuple", "ExclusiveLock",
                  null, "(0,1)", "-0.5", "{0}", "{}", null},
                 {"11", null, null, null, null, null, null, null, "f", null, null, null, null, null,
                  null, "{}", null},
                 {"-752", "tx 1", "hub", "bob", null, null, "9", null, "t", null, null, null, null,
                  null, null, null, null},
                 {null, null, null, null, null, null, null, null, null, null, "ShareLock", null,
                  null, null, null, null, "41"}}));
  const auto facts = Load(db, true);
  ASSERT_TRUE(facts);

  ASSERT_EQ(facts->waits.size(), 2U);
  EXPECT_EQ(facts->waits[0].id, 12);
  EXPECT_EQ(facts->waits[0].lock_type, "relation");
  EXPECT_EQ(facts->waits[0].mode, "AccessShareLock");
  EXPECT_EQ(facts->waits[0].relation, "public.t");
  EXPECT_EQ(facts->waits[0].object, "");
  EXPECT_EQ(facts->waits[0].seconds, 2.25);
  EXPECT_THAT(facts->waits[0].blockers, ElementsAre(11, 11, -752, -753));
  EXPECT_EQ(facts->waits[1].object, "(0,1)");
  EXPECT_EQ(facts->waits[1].seconds, 0);  // the clock was set back
  EXPECT_THAT(facts->waits[1].blockers, ElementsAre(0));

  // 11 ended before its session was read.
  ASSERT_EQ(facts->parties.size(), 3U);
  EXPECT_EQ(facts->parties[0].id, 12);
  EXPECT_EQ(facts->parties[0].database, "hub");
  EXPECT_EQ(facts->parties[0].user, "alice");
  EXPECT_EQ(facts->parties[0].application, "psql");
  EXPECT_EQ(facts->parties[0].state, "active");
  EXPECT_EQ(facts->parties[0].xact_seconds, 3.5);
  EXPECT_EQ(facts->parties[0].query, "SELECT 1");
  EXPECT_EQ(facts->parties[1].xact_seconds, std::nullopt);
  EXPECT_EQ(facts->parties[2].id, -752);
  EXPECT_EQ(facts->parties[2].gid, "tx 1");
  EXPECT_THAT(facts->not_examined, ElementsAre(Pair("ShareLock", 41)));
}

TEST(LoadBlockingFacts, FitsTheServersVersion) {
  for (const int version : {130023, 140000}) {
    FakeDatabase db(version);
    db.Answer(MakeResult({"exists"}, {{"t"}}));
    db.Answer(MakeResult(kColumns, {}));
    ASSERT_TRUE(Load(db, version == 140000));
    ASSERT_EQ(db.calls().size(), 2U);
    const auto& call = db.calls()[1];
    if (version < 140000) {
      EXPECT_THAT(call.sql, Not(HasSubstr("waitstart")));
      EXPECT_THAT(call.values, ElementsAre("false", "200"));
    } else {
      EXPECT_THAT(call.sql, HasSubstr("waitstart"));
      EXPECT_THAT(call.values, ElementsAre("true", "200"));
    }
  }
}

TEST(LoadBlockingFacts, HandsErrorsOn) {
  FakeDatabase first;
  first.Fail(Error(Errc::kTimeout, "slow"));
  EXPECT_EQ(Load(first).error().message, "slow");
  FakeDatabase second;
  second.Answer(MakeResult({"exists"}, {{"t"}}));
  second.Fail(Error(Errc::kConnectionLost, "gone"));
  EXPECT_EQ(Load(second).error().message, "gone");
}

}  // namespace
}  // namespace pgsteward
