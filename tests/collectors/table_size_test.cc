#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "tests/collectors/locks_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const CollectorSpec kTableSize;

namespace {

using ::testing::ElementsAre;

struct Exported {
  double total = -1;
  double heap = -1;
  double index = -1;
  double toast = -1;
  double table_size = -1;
  double index_size = -1;
  auto operator<=>(const Exported&) const = default;
};

class TableSizeTest : public LocksTest {
 protected:
  // By "schema/table".
  std::map<std::string, Exported> Sizes(const Families& families) {
    std::map<std::string, Exported> sizes;
    for (const auto& family : families) {
      if (family.name == "pg_table_size_skipped_tables") continue;
      for (const auto& metric : family.metric) {
        std::map<std::string, std::string> labels;
        for (const auto& label : metric.label) labels[label.name] = label.value;
        EXPECT_EQ(labels["datname"], dbname_);
        Exported& table = sizes[labels["schemaname"] + "/" + labels["relname"]];
        double& size = family.name == "pg_table_total_size_bytes"              ? table.total
                       : family.name == "pg_stat_user_tables_table_size_bytes" ? table.table_size
                       : family.name == "pg_stat_user_tables_index_size_bytes" ? table.index_size
                       : labels["part"] == "heap"                              ? table.heap
                       : labels["part"] == "index"                             ? table.index
                                                                               : table.toast;
        EXPECT_EQ(size, -1) << family.name << " twice";
        size = metric.gauge.value;
      }
    }
    return sizes;
  }
  std::map<std::string, Exported> Sizes() { return Sizes(Collect(kTableSize)); }

  std::vector<std::string> Names(const Families& families) {
    std::vector<std::string> names;
    for (const auto& [name, sizes] : Sizes(families)) names.push_back(name);
    return names;
  }

  void ExpectSkipped(const Families& families, int count) {
    EXPECT_THAT(LinesOf(families, "pg_table_size_skipped_tables"),
                ElementsAre("pg_table_size_skipped_tables{datname=\"" + dbname_ + "\"} " +
                            std::to_string(count)));
  }

  // Runs once with an endless lock_timeout: meeting a lock would fail by statement_timeout.
  Families CollectWithoutWaiting() {
    MeasuringDatabase db(Conninfo(), std::chrono::hours(1));
    return Collect(kTableSize, db);
  }

  void MakeTables() {
    Exec(
        "CREATE TABLE a (id int PRIMARY KEY, body text);"
        "CREATE TABLE b (id int PRIMARY KEY, body text);"
        "CREATE TABLE c (id int PRIMARY KEY, body text);"
        "INSERT INTO b SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 1000) AS i");
  }
};

constexpr char kCreateOddTables[] = R"sql(
CREATE SCHEMA "S ch""ema";
CREATE TABLE plain (id int);
CREATE TABLE "Mixed Case" (id int PRIMARY KEY, body text);
CREATE TABLE "S ch""ema"."we""ird 'name'" (id int PRIMARY KEY);
CREATE TABLE "new
line" (id int);
CREATE TABLE "ünï😀\" (id int);
CREATE UNLOGGED TABLE unlogged (id int);
CREATE MATERIALIZED VIEW materialized AS SELECT generate_series(1, 5000) AS i;
CREATE VIEW nothing AS SELECT 1 AS one;
CREATE SEQUENCE nothing_either;
CREATE TABLE parted (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (1000) TO (9000);
INSERT INTO "Mixed Case"
  SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 200) AS j)
  FROM generate_series(1, 100) AS i;
INSERT INTO parted SELECT i, 'text' FROM generate_series(1, 5000) AS i;
VACUUM "Mixed Case";
)sql";

TEST_F(TableSizeTest, MeasuresEveryTableOfUsers) {
  PgClient client = Connect();
  std::string script = kCreateOddTables;
  // VACUUM must be alone.
  const std::size_t vacuum = script.find("VACUUM");
  client.Exec(script.substr(0, vacuum));
  client.Exec(script.substr(vacuum));
  client.Exec("CREATE TEMP TABLE temporary (id int)");

  const auto sizes = Sizes();
  std::vector<std::string> names;
  for (const auto& [name, size] : sizes) names.push_back(name);
  EXPECT_THAT(names,
              ElementsAre("S ch\"ema/we\"ird 'name'", "public/Mixed Case", "public/materialized",
                          "public/new\nline", "public/parted_high", "public/parted_low",
                          "public/plain", "public/unlogged", "public/ünï😀\\"));

  const PgResult truth = client.Exec(
      "SELECT n.nspname || '/' || c.relname, pg_total_relation_size(c.oid), pg_table_size(c.oid),"
      "       pg_indexes_size(c.oid),"
      "       CASE WHEN c.reltoastrelid <> 0 THEN pg_total_relation_size(c.reltoastrelid)"
      "            ELSE 0 END"
      " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname IN ('public', 'S ch\"ema') AND c.relkind IN ('r', 'm')");
  ASSERT_EQ(truth.rows(), 9);
  for (int row = 0; row < truth.rows(); ++row) {
    const std::string name(truth.Text(row, 0));
    SCOPED_TRACE(name);
    const double toast = *truth.Number(row, 4);
    EXPECT_EQ(sizes.at(name).total, *truth.Number(row, 1));
    EXPECT_EQ(sizes.at(name).table_size, *truth.Number(row, 2));
    EXPECT_EQ(sizes.at(name).index_size, *truth.Number(row, 3));
    EXPECT_EQ(sizes.at(name).index, *truth.Number(row, 3));
    EXPECT_EQ(sizes.at(name).toast, toast);
    EXPECT_EQ(sizes.at(name).heap, *truth.Number(row, 2) - toast);
    EXPECT_EQ(sizes.at(name).heap + sizes.at(name).index + sizes.at(name).toast,
              sizes.at(name).total);
  }
  EXPECT_GT(sizes.at("public/Mixed Case").toast, 500000);
  EXPECT_GT(sizes.at("public/Mixed Case").index, 0);
  EXPECT_GT(sizes.at("public/materialized").heap, 100000);
  EXPECT_EQ(sizes.at("public/plain"), (Exported{0, 0, 0, 0, 0, 0}));
}

TEST_F(TableSizeTest, OneStatementIsEnoughForAFewTables) {
  MakeTables();
  MeasuringDatabase db(Conninfo());
  Collect(kTableSize, db);
  EXPECT_EQ(db.TakeStatements(), 1);
}

TEST_F(TableSizeTest, GetsPastATableThatIsBeingAltered) {
  MakeTables();
  const auto before = Sizes();
  PgClient holder = Connect();
  holder.Exec("BEGIN; ALTER TABLE b ADD COLUMN extra int DEFAULT 0; INSERT INTO a VALUES (1, '')");

  const Families during = CollectWithoutWaiting();
  ExpectSkipped(during, 1);
  const auto sizes = Sizes(during);
  EXPECT_EQ(sizes.at("public/b"), before.at("public/b"));
  EXPECT_GT(sizes.at("public/a").total, before.at("public/a").total);

  // A daemon that has just been started knows no size.
  memory_.reset();
  const Families fresh = CollectWithoutWaiting();
  EXPECT_THAT(Names(fresh), ElementsAre("public/a", "public/c"));
  ExpectSkipped(fresh, 1);

  holder.Exec("INSERT INTO b SELECT i, repeat('x', 200) FROM generate_series(2000, 4000) AS i");
  holder.Exec("COMMIT");
  const Families after = CollectWithoutWaiting();
  ExpectSkipped(after, 0);
  EXPECT_GT(Sizes(after).at("public/b").total, before.at("public/b").total);
}

// The lock is only asked for, but everybody else queues behind it.
TEST_F(TableSizeTest, GetsPastATableWhoseAlterWaitsForAReader) {
  MakeTables();
  PgClient reader = Connect();
  reader.Exec("BEGIN; SELECT count(*) FROM b");
  PgClient alter = Connect();
  alter.ExecAsync("ALTER TABLE b ADD COLUMN extra int");
  WaitForWaiters(1);
  const Families during = CollectWithoutWaiting();
  EXPECT_THAT(Names(during), ElementsAre("public/a", "public/c"));
  ExpectSkipped(during, 1);
  reader.Exec("COMMIT");
  alter.Get();
  ExpectSkipped(CollectWithoutWaiting(), 0);
}

TEST_F(TableSizeTest, GetsPastLockedIndexes) {
  MakeTables();
  PgClient table_index = Connect();
  table_index.Exec("BEGIN; REINDEX INDEX a_pkey");
  PgClient toast_index = Connect();
  const std::string toast =
      toast_index.Value("SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 'c'");
  toast_index.Exec("BEGIN; REINDEX TABLE " + toast);
  const Families during = CollectWithoutWaiting();
  EXPECT_THAT(Names(during), ElementsAre("public/b"));
  ExpectSkipped(during, 2);
}

TEST_F(TableSizeTest, OtherLocksDoNotMatter) {
  MakeTables();
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE a IN EXCLUSIVE MODE");
  // Nor do another database's, whose tables may have the same oids.
  PgClient elsewhere = Postgres().Connect("postgres");
  elsewhere.Exec("BEGIN; CREATE TABLE unrelated (id int); LOCK TABLE unrelated");
  const Families during = CollectWithoutWaiting();
  EXPECT_THAT(Names(during), ElementsAre("public/a", "public/b", "public/c"));
  ExpectSkipped(during, 0);
}

TEST_F(TableSizeTest, ForgetsADroppedTable) {
  MakeTables();
  Sizes();
  PgClient holder = Connect();
  holder.Exec("BEGIN; DROP TABLE b");
  const Families during = CollectWithoutWaiting();
  EXPECT_THAT(Names(during), ElementsAre("public/a", "public/b", "public/c"));
  ExpectSkipped(during, 1);
  holder.Exec("COMMIT");
  const Families after = CollectWithoutWaiting();
  EXPECT_THAT(Names(after), ElementsAre("public/a", "public/c"));
  ExpectSkipped(after, 0);
}

// The catalog as the statement sees it still holds the table, the size function finds none.
TEST_F(TableSizeTest, ATableThatIsDroppedMeanwhileHasNoSize) {
  MakeTables();
  MeasuringDatabase db(Conninfo());
  const auto run = [&](std::string sql) {
    const auto done = RunCoro(db.runtime(), db.Query(std::move(sql), {}, std::chrono::seconds(5)));
    EXPECT_TRUE(done);
  };
  run("BEGIN ISOLATION LEVEL REPEATABLE READ");
  run("SELECT 1");
  Exec("DROP TABLE b");
  const Families families = Collect(kTableSize, db);
  EXPECT_THAT(Names(families), ElementsAre("public/a", "public/c"));
  ExpectSkipped(families, 0);
}

// A lock that comes between the look at pg_locks and the reading: here pg_locks is never asked for
// the right mode, so that each reading of b ends in lock_timeout.
TEST_F(TableSizeTest, FindsALockThatItsLookMissed) {
  MakeTables();
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE b");
  MeasuringDatabase db(Conninfo(), std::chrono::milliseconds(10));
  db.rewrite = [](std::string sql) {
    const std::string mode = "AccessExclusiveLock";
    return sql.replace(sql.find(mode), mode.size(), "NoSuchLock");
  };
  const Families during = Collect(kTableSize, db);
  EXPECT_THAT(Names(during), ElementsAre("public/a", "public/c"));
  ExpectSkipped(during, 1);
  EXPECT_GT(db.TakeStatements(), 10);

  holder.Exec("COMMIT");
  const Families after = Collect(kTableSize, db);
  EXPECT_THAT(Names(after), ElementsAre("public/a", "public/b", "public/c"));
  EXPECT_EQ(db.TakeStatements(), 1);
}

}  // namespace
}  // namespace pgsteward
