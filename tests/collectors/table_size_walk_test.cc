// How table_size gets past locks that were taken after its look at pg_locks.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <thread>

#include "collectors/collector.h"
#include "tests/support/make_result.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const CollectorSpec kTableSize;

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Tables 1 to `count`; sizes: heap 100, index 10, toast 1 times the oid.
class FakeTables : public Database {
 public:
  explicit FakeTables(int count) : count_(count) {}

  std::set<int> seen_locks;    // pg_locks shows them
  std::set<int> unseen_locks;  // only reading the size meets them
  int appear_after = 0;        // so many collisions later pg_locks shows them, too; 0: never
  Duration collision{};        // how long one takes
  std::vector<std::string> asked;

  Task<Result<PgResult>> Query(std::string, PgValues values, Duration) override {
    const int after = std::stoi(*values[0]);
    const int last = std::min<long long>(count_, after + std::stoll(*values[1]));
    const bool measure = *values[2] == "true";
    asked.push_back(std::to_string(after) + "+" + *values[1] + (measure ? "" : " names"));
    std::vector<ResultRow> rows;
    bool collided = false;
    for (int oid = after + 1; oid <= last; ++oid) {
      const bool readable = measure && !seen_locks.contains(oid);
      if (readable && unseen_locks.contains(oid)) collided = true;
      const auto size = [&](int factor) {
        return readable ? std::optional(std::to_string(factor * oid)) : std::nullopt;
      };
      rows.push_back({std::to_string(oid), "public", "t" + std::to_string(oid),
                      readable ? "t" : "f", size(101), size(10), size(1)});
    }
    if (collided) {
      std::this_thread::sleep_for(collision);
      if (--appear_after == 0) seen_locks.merge(unseen_locks);
      co_return Error(Errc::kBusy, "canceling statement due to lock timeout", "55P03");
    }
    co_return MakeResult({"oid", "nspname", "relname", "readable", "with_toast", "index", "toast"},
                         rows);
  }
  int server_version() const override { return 150000; }
  std::string database() const override { return "hub"; }

 private:
  int count_;
};

class TableSizeWalk : public ::testing::Test {
 protected:
  // The oids whose total is exported, and how many were skipped.
  std::pair<std::vector<int>, double> Collect(
      FakeTables& db, std::chrono::seconds timeout = std::chrono::seconds(30)) {
    Runtime runtime;
    CollectorContext context{db, options_, timeout, memory_};
    const auto families = RunCoro(runtime, kTableSize.collect(context));
    if (!families) {
      ADD_FAILURE() << ToText(families.error());
      return {};
    }
    std::vector<int> oids;
    for (const auto& metric : families->front().metric) {
      const int oid = std::stoi(metric.label[2].value.substr(1));
      EXPECT_EQ(metric.gauge.value, 111 * oid);
      oids.push_back(oid);
    }
    return {oids, families->back().metric.at(0).gauge.value};
  }

  CollectorOptions options_;
  std::any memory_;
};

TEST_F(TableSizeWalk, ReadsInChunks) {
  FakeTables db(450);
  const auto [oids, skipped] = Collect(db);
  EXPECT_EQ(oids.size(), 450U);
  EXPECT_EQ(skipped, 0);
  EXPECT_THAT(db.asked, ElementsAre("0+200", "200+200", "400+200"));
}

TEST_F(TableSizeWalk, AsksOnceMoreAfterAFullChunk) {
  FakeTables db(200);
  EXPECT_EQ(Collect(db).first.size(), 200U);
  EXPECT_THAT(db.asked, ElementsAre("0+200", "200+200"));
}

TEST_F(TableSizeWalk, HasNoTables) {
  FakeTables db(0);
  const auto [oids, skipped] = Collect(db);
  EXPECT_THAT(oids, IsEmpty());
  EXPECT_EQ(skipped, 0);
}

// The second look at pg_locks sees the lock that the first reading met.
TEST_F(TableSizeWalk, LooksAgainAfterACollision) {
  FakeTables db(5);
  db.unseen_locks = {3};
  db.appear_after = 1;
  const auto [oids, skipped] = Collect(db);
  EXPECT_THAT(oids, ElementsAre(1, 2, 4, 5));
  EXPECT_EQ(skipped, 1);
  EXPECT_THAT(db.asked, ElementsAre("0+200", "0+200"));
}

TEST_F(TableSizeWalk, FindsTheLockedTableByHalves) {
  FakeTables db(5);
  db.unseen_locks = {3};
  const auto [oids, skipped] = Collect(db);
  EXPECT_THAT(oids, ElementsAre(1, 2, 4, 5));
  EXPECT_EQ(skipped, 1);
  EXPECT_THAT(db.asked,
              ElementsAre("0+200", "0+200", "0+100", "0+50", "0+25", "0+12", "0+6", "0+3", "0+1",
                          "1+2", "1+2", "1+1", "2+2", "2+2", "2+1", "2+1 names", "3+2", "5+4"));
}

TEST_F(TableSizeWalk, ALockedTableKeepsItsLastSize) {
  FakeTables db(5);
  Collect(db);
  db.seen_locks = {2};
  db.unseen_locks = {4};
  const auto [oids, skipped] = Collect(db);
  EXPECT_THAT(oids, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(skipped, 2);
  // And keeps it for as long as it is locked.
  EXPECT_THAT(Collect(db).first, ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(TableSizeWalk, AForgottenTableIsForgotten) {
  FakeTables five(5);
  Collect(five);
  FakeTables three(3);
  EXPECT_THAT(Collect(three).first, ElementsAre(1, 2, 3));
  FakeTables again(5);
  again.seen_locks = {4, 5};
  EXPECT_THAT(Collect(again).first, ElementsAre(1, 2, 3));
}

TEST_F(TableSizeWalk, StopsMeasuringWhenItsTimeIsUp) {
  FakeTables db(500);
  Collect(db);
  db.asked.clear();
  for (int oid = 1; oid <= 500; ++oid) db.unseen_locks.insert(oid);
  // Longer than 100 ms: the collector's timeout is in whole seconds.
  db.collision = std::chrono::milliseconds(600);
  const auto [oids, skipped] = Collect(db, std::chrono::seconds(1));
  EXPECT_EQ(oids.size(), 500U);
  EXPECT_EQ(skipped, 500);
  EXPECT_THAT(db.asked, ElementsAre("0+200", "0+200", "0+2147483647 names"));
}

TEST_F(TableSizeWalk, HandsOtherErrorsOn) {
  class Broken : public FakeTables {
   public:
    Broken() : FakeTables(1) {}
    Task<Result<PgResult>> Query(std::string, PgValues, Duration) override {
      co_return Error(Errc::kConnectionLost, "gone");
    }
  } db;
  Runtime runtime;
  CollectorContext context{db, options_, std::chrono::seconds(30), memory_};
  const auto families = RunCoro(runtime, kTableSize.collect(context));
  ASSERT_FALSE(families);
  EXPECT_EQ(families.error().message, "gone");
}

}  // namespace
}  // namespace pgsteward
