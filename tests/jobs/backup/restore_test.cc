#include "jobs/backup/restore.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "core/utf8.h"
#include "jobs/backup/database_statements.h"
#include "jobs/backup/plain_dump.h"
#include "jobs/backup/restore_target.h"
#include "tests/jobs/backup/hand_made.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

// A backup of the hub with 200 users, whose live ones are fewer since.
class RestoreTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    Exec(
        "INSERT INTO users (email, first_name, last_name) SELECT n || '@example.org', 'A', 'B' "
        "FROM generate_series(1, 200) AS n");
    before_ = Databases();
    HandMadeOptions options;
    options.databases = {hub_};
    id_ = world_.Make(options);
    Exec("DELETE FROM users WHERE email LIKE '___@example.org'");
  }
  void TearDown() override {
    for (const std::string& name : NewDatabases()) Postgres().DropDatabase(name);
    JobTest::TearDown();
  }

  RestoreRequest Request() {
    RestoreRequest request;
    request.folder = world_.Folder(id_);
    request.identity = world_.identity();
    request.target.conninfo = Postgres().Conninfo(hub_);
    request.target.database = hub_;
    request.tool_directories = {Postgres().binaries()};
    request.note = [this](const std::string& text) {
      notes_.push_back(text);
      if (on_note_) on_note_(text);
    };
    request.stop_wanted = [this] { return stop_.load(); };
    return request;
  }
  RestoreRequest As(const std::string& name) {
    RestoreRequest request = Request();
    request.as = name;
    return request;
  }
  RestoreRequest Over() {
    RestoreRequest request = As(hub_);
    request.overwrite = hub_;
    return request;
  }
  // "ok" and its problems, or the error as a person reads it.
  std::string Restore(RestoreRequest request) {
    Runtime runtime;
    auto done = RunCoro(runtime, RestoreIntoServer(runtime, std::move(request)));
    if (!done) return ToText(done.error());
    std::string text = "ok";
    for (const std::string& problem : done->problems) text += "; " + problem;
    outcome_ = std::move(*done);
    return text;
  }

  static std::set<std::string> Databases() {
    std::set<std::string> names;
    const PgResult rows = Postgres().Exec("SELECT datname FROM pg_database WHERE datallowconn");
    for (int row = 0; row < rows.rows(); ++row) names.emplace(rows.Text(row, 0));
    return names;
  }
  std::vector<std::string> NewDatabases() const {
    std::vector<std::string> names;
    for (const std::string& name : Databases()) {
      if (!before_.contains(name)) names.push_back(name);
    }
    return names;
  }
  static std::string Users(const std::string& database) {
    return Postgres().Value("SELECT count(*) FROM users WHERE email LIKE '%@example.org'",
                            database);
  }
  // Which database has it.
  std::string With(const std::string& word) const {
    std::string found;
    for (const std::string& name : NewDatabases()) {
      if (name.find(word) != std::string::npos) found += found.empty() ? name : " " + name;
    }
    return found;
  }

  BackupWorld world_;
  std::string id_;
  std::set<std::string> before_;
  std::vector<std::string> notes_;
  std::function<void(const std::string&)> on_note_;
  std::atomic<bool> stop_ = false;
  RestoreOutcome outcome_;
};

TEST_F(RestoreTest, BesideTheLiveOneWithAllThatBelongsToIt) {
  Manifest manifest = world_.Read(id_);
  BackupDatabase& database = manifest.databases.front();
  database.owner = "hub_owner";
  database.settings = {{"", "work_mem=7MB"}, {"hub_owner", "search_path=public, pg_catalog"}};
  database.properties = {
      {"comment", "it's the hub"}, {"connection_limit", "17"}, {"tablespace", "gone"}};
  database.acl = "REVOKE ALL ON DATABASE " + hub_ + " FROM PUBLIC;";
  world_.Write(id_, manifest);
  EXPECT_EQ(Restore(As("copy")), "ok");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{"copy"});
  EXPECT_EQ(Users("copy"), "200");
  EXPECT_EQ(Users(hub_), "99");
  EXPECT_EQ(Postgres().Value(
                "SELECT concat_ws('|', pg_get_userbyid(d.datdba), d.datconnlimit, "
                "shobj_description(d.oid, 'pg_database'), d.datacl, (SELECT "
                "string_agg(setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting WHERE "
                "setdatabase = d.oid)) FROM pg_database AS d WHERE datname = 'copy'"),
            "hub_owner|17|it's the hub|{hub_owner=CTc/hub_owner}|{work_mem=7MB} "
            "{\"search_path=public, pg_catalog\"}");
}

TEST_F(RestoreTest, ManyAtOnceFromAFileWithoutAName) {
  RestoreRequest request = As("copy");
  request.jobs = 2;
  request.spool = world_.scratch();
  std::string seen;
  on_note_ = [&](const std::string&) {
    for (const auto& each : fs::directory_iterator(world_.scratch())) seen += each.path();
  };
  EXPECT_EQ(Restore(std::move(request)), "ok");
  EXPECT_EQ(seen, "");
  EXPECT_EQ(Users("copy"), "200");
  EXPECT_TRUE(fs::is_empty(world_.scratch()));
  RestoreRequest nowhere = As("other");
  nowhere.jobs = 2;
  nowhere.spool = world_.scratch() + "/none";
  EXPECT_THAT(Restore(std::move(nowhere)),
              MatchesRegex(".*dump.zst.age cannot be decrypted to a file in .*/none: No such file "
                           "or directory.*"));
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{"copy"});
}

TEST_F(RestoreTest, OverTheLiveOneWhoseClientsComeBackAllTheTime) {
  std::atomic<bool> end = false;
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([this, &end] {
      while (!end) {
        try {
          PgClient client = Connect();
          while (!end) client.Exec("SELECT count(*) FROM users");
        } catch (const std::runtime_error&) {
        }
      }
    });
  }
  EXPECT_EQ(Restore(Over()), "ok");
  end = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(Users(hub_), "200");
  const std::string old = With("_before_");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{old});
  EXPECT_EQ(Users(old), "99");
  EXPECT_THAT(outcome_.notes.back(), "the database that was replaced is there as " + old +
                                         "; drop it when nobody needs it any more");
}

TEST_F(RestoreTest, WhatCannotBeReplacedStaysAsItIs) {
  PgClient client = Connect();
  client.Exec(
      "BEGIN; DELETE FROM users WHERE email = '1@example.org'; PREPARE TRANSACTION 'doubt'");
  EXPECT_EQ(Restore(Over()),
            hub_ +
                " has a prepared transaction doubt; hint: It would stay with the "
                "old database, under its new name: end it first, or restore beside "
                "it with --as OTHER_NAME.");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{});
  client.Exec("ROLLBACK PREPARED 'doubt'");
  // It comes while the backup is restored.
  on_note_ = [&](const std::string& text) {
    if (!text.starts_with("analyzing")) return;
    client.Exec(
        "BEGIN; DELETE FROM users WHERE email = '1@example.org'; PREPARE TRANSACTION 'doubt'");
  };
  const std::string error = Restore(Over());
  on_note_ = {};
  const std::string whole = With("_restoring_");
  EXPECT_EQ(error, hub_ + " was not replaced, and is as it was: " + hub_ +
                       " has a prepared transaction doubt; hint: What was restored is whole, and "
                       "there as " +
                       whole + ": put it in its place yourself, or drop it and try again.");
  EXPECT_EQ(Users(hub_), "99");
  EXPECT_EQ(Users(whole), "200");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{whole});
  // And it recovers.
  PgClient again = Connect();
  again.Exec("ROLLBACK PREPARED 'doubt'");
  EXPECT_EQ(Restore(Over()), "ok");
  EXPECT_EQ(Users(hub_), "200");
}

TEST_F(RestoreTest, WhenItsSessionIsKilledInTheMidstOfReplacing) {
  // In the way of the new name: the first of the two renamings is done, and waits with the second.
  PgClient blocker = Postgres().Connect("postgres");
  std::thread killer;
  on_note_ = [&](const std::string& text) {
    if (!text.starts_with("putting it")) return;
    const std::string whole = With("_restoring_");
    blocker.Exec("BEGIN; COMMENT ON DATABASE \"" + whole + "\" IS 'blocked'");
    killer = std::thread([] {
      const std::string ours =
          "application_name = 'pgsteward:restore' AND wait_event_type = 'Lock' AND query LIKE "
          "'ALTER DATABASE%'";
      for (int i = 0; i < 500 && Postgres().TerminateBackends(ours) == 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    });
  };
  const std::string error = Restore(Over());
  killer.join();
  EXPECT_THAT(error, StartsWith(hub_ + " was not replaced, and is as it was: "));
  EXPECT_EQ(Users(hub_), "99");
  EXPECT_EQ(NewDatabases().size(), 1u);
  // And it recovers.
  blocker.Exec("ROLLBACK");
  on_note_ = {};
  EXPECT_EQ(Restore(Over()), "ok");
  EXPECT_EQ(Users(hub_), "200");
}

TEST_F(RestoreTest, TwoAtOnceForOneName) {
  Runtime runtime;
  std::vector<std::string> ends;
  TaskGroup group(runtime);
  const auto restore = [this, &runtime, &ends]() -> Task<void> {
    auto done = co_await RestoreIntoServer(runtime, As("copy"));
    ends.push_back(done ? "ok" : ToText(done.error()));
  };
  const auto both = [&]() -> Task<void> {
    group.Spawn("one", restore());
    group.Spawn("two", restore());
    co_await group.Join(SteadyNow() + std::chrono::minutes(2));
  };
  RunCoro(runtime, both());
  std::sort(ends.begin(), ends.end());
  const std::string loser = With("_restoring_");
  EXPECT_EQ(ends, (std::vector<std::string>{
                      "ok",
                      "there is a database copy already; hint: What was restored is whole, "
                      "and there as " +
                          loser + ": rename it yourself, or drop it."}));
  EXPECT_EQ(Users("copy"), "200");
  EXPECT_EQ(Users(loser), "200");
}

TEST_F(RestoreTest, ADatabaseThatComesMeanwhileIsNotTouched) {
  on_note_ = [](const std::string& text) {
    if (text.starts_with("analyzing")) {
      Postgres().CreateDatabase("copy");
      Postgres().Exec("CREATE TABLE precious AS SELECT 1 AS a", "copy");
    }
  };
  EXPECT_THAT(Restore(As("copy")),
              StartsWith("there is a database copy already; hint: What was restored is whole"));
  EXPECT_EQ(Postgres().Value("SELECT count(*) FROM precious", "copy"), "1");
}

TEST_F(RestoreTest, NamesThatTheServerWouldCutOff) {
  const std::string precious(63, 'x');
  Postgres().CreateDatabase(precious);
  EXPECT_EQ(
      Restore(As(precious + "y")),
      "a database's name has at most 63 bytes, " + precious +
          "y has 64; hint: PostgreSQL would cut it off, to that of another database perhaps.");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{precious});
  EXPECT_THAT(Restore(As(precious)), StartsWith("there is a database " + precious + " already"));
  Postgres().DropDatabase(precious);
  EXPECT_EQ(Restore(As(precious)), "ok");
  EXPECT_EQ(Users(precious), "200");
}

TEST_F(RestoreTest, StoppedItLeavesNothing) {
  on_note_ = [this](const std::string& text) {
    if (text.starts_with("analyzing")) stop_ = true;
  };
  EXPECT_EQ(Restore(As("copy")), "stopped");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{});
  // And it recovers.
  stop_ = false;
  on_note_ = {};
  EXPECT_EQ(Restore(As("copy")), "ok");
}

TEST_F(RestoreTest, TheServerRestartsMeanwhile) {
  on_note_ = [](const std::string& text) {
    if (text.starts_with("analyzing")) Postgres().Restart(PrivatePostgres::StopMode::kImmediate);
    if (text.starts_with("counting")) Postgres().TerminateBackends("application_name ~ 'restore'");
  };
  // All its sessions are new ones then.
  EXPECT_EQ(Restore(As("copy")), "ok");
  EXPECT_EQ(NewDatabases(), std::vector<std::string>{"copy"});
}

TEST_F(RestoreTest, WhatItCannotRemoveItNames) {
  on_note_ = [&](const std::string& text) {
    if (!text.starts_with("analyzing")) return;
    stop_ = true;
    Postgres().Exec("ALTER DATABASE \"" + With("_restoring_") + "\" IS_TEMPLATE true");
  };
  const std::string error = Restore(As("copy"));
  const std::string left = With("_restoring_");
  EXPECT_EQ(error,
            "stopped; and what was begun could not be removed: cannot drop a template database "
            "(SQLSTATE 42809); hint: Drop the database " +
                left + ".");
  Postgres().Exec("ALTER DATABASE \"" + left + "\" IS_TEMPLATE false");
}

TEST_F(RestoreTest, WhatDiffersReplacesNothing) {
  on_note_ = [&](const std::string& text) {
    if (text.starts_with("counting")) {
      Postgres().Exec("DELETE FROM users WHERE email = '7@example.org'", With("_restoring_"));
    }
  };
  EXPECT_THAT(Restore(Over()),
              MatchesRegex("ok; .*_restoring_.*: rows of public.users: 200 instead of 201"));
  const std::string beside = With("_restoring_");
  EXPECT_EQ(outcome_.notes.back(),
            hub_ + " was not replaced; what was restored is there as " + beside);
  EXPECT_EQ(Users(hub_), "99");
  EXPECT_EQ(Users(beside), "199");
}

TEST_F(RestoreTest, WhatIsWholeStaysWhenItsSettingsCannotBeMade) {
  Manifest manifest = world_.Read(id_);
  manifest.databases.front().settings = {{"nobody", "work_mem=7MB"}};
  world_.Write(id_, manifest);
  const std::string error = Restore(As("copy"));
  const std::string whole = With("_restoring_");
  EXPECT_EQ(error,
            "role \"nobody\" does not exist (see --globals) (SQLSTATE 42704); hint: What was "
            "restored is there as " +
                whole + ", not checked or without its settings: rename it yourself, or drop it.");
  EXPECT_EQ(Users(whole), "200");
}

TEST_F(RestoreTest, TemplatesAreNotReplaced) {
  EXPECT_EQ(Restore([this] {
              RestoreRequest request = As("template1");
              request.overwrite = "template1";
              return request;
            }()),
            "a template is not replaced: template1; hint: Restore beside it with --as OTHER_NAME.");
}

TEST_F(RestoreTest, PlainMakesItselfAndIsNeverDropped) {
  HandMadeOptions options;
  options.databases = {hub_};
  options.format = "plain";
  id_ = world_.Make(options);
  EXPECT_THAT(Restore(Request()), StartsWith("there is a database " + hub_ + " already"));
  Postgres().DropDatabase(hub_);
  // Somebody else is faster.
  on_note_ = [this](const std::string& text) {
    if (text.starts_with("restoring")) Postgres().CreateDatabase(hub_);
  };
  EXPECT_THAT(Restore(Request()), StartsWith("there is a database " + hub_ + " now"));
  EXPECT_TRUE(Databases().contains(hub_));
  Postgres().DropDatabase(hub_);
  // And it recovers.
  on_note_ = {};
  EXPECT_EQ(Restore(Request()), "ok");
  EXPECT_EQ(Users(hub_), "99");
}

TEST(PlainDump, DropsNothing) {
  const std::string head = "--\nSET a = 1;\n\n";
  const std::string create =
      "\nCREATE DATABASE \"a;b\" WITH TEMPLATE = template0;\nDROP DATABASE x;\n";
  const std::string drop = "DROP DATABASE IF EXISTS \"a;b\";";
  EXPECT_EQ(WithoutDropDatabase(head + drop + create),
            head + std::string(drop.size(), ' ') + create);
  const std::string no_template =
      "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = 'it;s';";
  EXPECT_EQ(
      WithoutDropDatabase(head + no_template + "\n" + drop + create),
      head + std::string(no_template.size(), ' ') + "\n" + std::string(drop.size(), ' ') + create);
  EXPECT_EQ(WithoutDropDatabase("\nDROP DATABASE x;"), "\nDROP DATABASE x;");
}

TEST(DatabaseStatements, CreatesWithTheLocaleItHad) {
  BackupDatabase database;
  database.encoding = "UTF8";
  database.collate = "C";
  database.ctype = "C.UTF-8";
  const std::string front =
      "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING E'UTF8' LC_COLLATE E'C' LC_CTYPE "
      "E'C.UTF-8'";
  EXPECT_EQ(CreateDatabaseStatement(database, "a\"b", {140010}), front);
  EXPECT_EQ(CreateDatabaseStatement(database, "a\"b", {150010}), front + " LOCALE_PROVIDER libc");
  database.properties = {{"icu_rules", "&a<b"}, {"locale", "de-DE"}, {"locale_provider", "icu"}};
  EXPECT_EQ(CreateDatabaseStatement(database, "a\"b", {160010}),
            front + " LOCALE_PROVIDER icu ICU_LOCALE E'de-DE' ICU_RULES E'&a<b'");
  database.properties = {
      {"locale", "C.UTF-8"}, {"locale_provider", "builtin"}, {"tablespace", "fast"}};
  EXPECT_EQ(CreateDatabaseStatement(database, "a\"b", {170010, true}),
            front + " LOCALE_PROVIDER builtin BUILTIN_LOCALE E'C.UTF-8' TABLESPACE \"fast\"");
}

TEST(NameBeside, StaysWithinTheServersLimitAndWithinCharacters) {
  EXPECT_THAT(NameBeside("hub", "before"), MatchesRegex("hub_before_[0-9a-f]*"));
  EXPECT_EQ(NameBeside(std::string(80, 'x'), "restoring").size(), kLongestName);
  std::string umlauts;
  for (int i = 0; i < 31; ++i) umlauts += "\xc3\xa4";
  const std::string name = NameBeside(umlauts + "x", "before");
  EXPECT_TRUE(IsUtf8(name));
  EXPECT_LE(name.size(), kLongestName);
}

}  // namespace

}  // namespace pgsteward
