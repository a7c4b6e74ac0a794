#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "jobs/backup/drill.h"
#include "jobs/backup/drill_metrics.h"
#include "jobs/backup/pins.h"
#include "jobs/backup/scratch_cluster.h"
#include "tests/jobs/backup/hand_made.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const JobSpec kRestoreDrill;

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

class RestoreDrillTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    Exec(
        "INSERT INTO users (email, first_name, last_name) SELECT n || '@example.org', 'A', 'B' "
        "FROM generate_series(1, 200) AS n");
  }
  std::string Make(const std::string& format = "custom", bool encrypted = true) {
    HandMadeOptions options;
    options.databases = {hub_};
    options.format = format;
    options.encrypted = encrypted;
    return world_.Make(options);
  }
  std::map<std::string, std::string> Options() const {
    return {{"target", world_.target()},
            {"identity_file", world_.key().file},
            {"scratch_directory", world_.scratch()}};
  }
  RunResult Drill(std::map<std::string, std::string> more = {},
                  std::map<std::string, std::string> arguments = {}) {
    auto options = Options();
    for (auto& [name, value] : more) options[name] = value;
    return Run(kRestoreDrill, options, arguments);
  }
  // What is left where it was: nothing, whatever the outcome.
  std::string Left() const {
    std::string names;
    for (const auto& entry : fs::directory_iterator(world_.scratch())) {
      names += entry.path().filename().string() + " ";
    }
    return names;
  }
  std::string Verdicts(const std::string& id) const {
    std::string text;
    for (const BackupProof& proof : world_.Read(id).proofs) text += proof.verdict + " ";
    return text;
  }

  BackupWorld world_;
};

TEST_F(RestoreDrillTest, ProvesAHubAndSaysHowLongItTook) {
  const std::string id = Make();
  const RunResult run = Drill();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("backup"), id);
  EXPECT_EQ(run.report.details.at("verdict"), "proven");
  EXPECT_EQ(run.report.rows_done,
            std::stoll(Value("SELECT sum((xpath('/row/c/text()', query_to_xml(format('SELECT "
                             "count(*) AS c FROM ONLY %I.%I', schemaname, tablename), false, true, "
                             "'')))[1]::text::bigint) FROM pg_tables WHERE schemaname NOT IN "
                             "('pg_catalog', 'information_schema') AND tablename <> "
                             "'proven_backup'")));
  // From then on purging may rely on it.
  EXPECT_EQ(Value("SELECT string_agg(backup_id, ' ') FROM pgsteward.proven_backup"), id);
  const Manifest manifest = world_.Read(id);
  ASSERT_EQ(manifest.proofs.size(), 1u);
  EXPECT_TRUE(manifest.proven());
  std::string phases;
  for (const NamedText& phase : manifest.proofs[0].phases) phases += phase.name + " ";
  EXPECT_EQ(phases, "verify cluster globals databases analyze checks amcheck ");
  EXPECT_GT(manifest.proofs[0].restore_seconds, 0);
  EXPECT_EQ(Left(), "");
  // The manifest is whole after it was added to.
  EXPECT_EQ(Drill().Text(), "ok");
  EXPECT_EQ(Verdicts(id), "proven proven ");
  EXPECT_THAT(run.report.details.count("problems"), 0);
}

TEST_F(RestoreDrillTest, RestoresWhatIsOddInServers) {
  const std::string odd = "x/y \"z\"\n'w'";
  Postgres().CreateDatabase(odd);
  Postgres().Exec(
      "CREATE ROLE \"o'wner \"\"1\"\"\"; ALTER ROLE \"o'wner \"\"1\"\"\" SET search_path = 'a b';"
      "CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore;"
      "CREATE SCHEMA \"s.p\"; CREATE TABLE \"s.p\".\"t\nab'\"(id int PRIMARY KEY, v text);"
      "ALTER TABLE \"s.p\".\"t\nab'\" OWNER TO \"o'wner \"\"1\"\"\";"
      "INSERT INTO \"s.p\".\"t\nab'\" SELECT i, repeat('x', 3000) FROM generate_series(1, 50) AS i;"
      "CREATE TABLE parts (d int) PARTITION BY RANGE (d);"
      "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);"
      "INSERT INTO parts SELECT i FROM generate_series(0, 9) AS i;"
      "CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);"
      "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2), (3);"
      "CREATE TABLE doubtful (a int); INSERT INTO doubtful VALUES (-1);"
      "ALTER TABLE doubtful ADD CONSTRAINT positive CHECK (a > 0) NOT VALID;"
      "CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM parts;"
      "SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));",
      odd);
  Postgres().Exec(
      "ALTER DATABASE "
      "\"x/y \"\"z\"\"\n'w'\""
      " SET default_transaction_read_only = on");
  HandMadeOptions options;
  options.databases = {odd, "postgres", "template1"};
  const std::string id = world_.Make(options);
  Manifest manifest = world_.Read(id);
  manifest.databases[0].unvalidated_constraints = {"public.doubtful.positive"};
  world_.Write(id, manifest);
  const RunResult run = Drill();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 50 + 10 + 1 + 2 + 1);

  // The same with a file and two jobs.
  EXPECT_EQ(Drill({{"restore_jobs", "2"}}).Text(), "ok");
  // A constraint of which nobody knew that it was not valid.
  manifest.databases[0].unvalidated_constraints.clear();
  world_.Write(id, manifest);
  EXPECT_THAT(Drill().Text(),
              HasSubstr("constraint that is not valid any more: public.doubtful.positive"));
  EXPECT_EQ(Verdicts(id), "failed ");
  EXPECT_EQ(Left(), "");
  Postgres().DropDatabase(odd);
  Postgres().Exec("DROP ROLE \"o'wner \"\"1\"\"\"");
}

TEST_F(RestoreDrillTest, PlainDumpsAndTablespaces) {
  const std::string space = world_.folder() + "/its; own";
  fs::create_directory(space);
  Shell("chown postgres \"" + space + "\" 2>/dev/null || true");
  Postgres().Exec("CREATE TABLESPACE \"fast;\" LOCATION '" + world_.folder() + "/its; own'");
  Exec("CREATE TABLE placed (i int) TABLESPACE \"fast;\"; INSERT INTO placed VALUES (1)");
  const auto before = std::distance(fs::recursive_directory_iterator(space), {});
  Make("plain");
  const RunResult run = Drill();
  EXPECT_EQ(run.Text(), "ok");
  const std::string open = Make("custom", false);
  EXPECT_EQ(Drill().Text(), "ok");
  EXPECT_EQ(Verdicts(open), "proven ");
  // Nothing of it went to where the live server keeps its own.
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(space), {}), before);
  EXPECT_EQ(Left(), "");
  Exec("DROP TABLE placed");
  Postgres().Exec("DROP TABLESPACE \"fast;\"");
}

TEST_F(RestoreDrillTest, WhatDiffersIsNamedAndRecorded) {
  const std::string id = Make();
  Manifest manifest = world_.Read(id);
  for (BackupTable& table : manifest.databases[0].tables) {
    if (table.name == "users") ++table.rows;
  }
  manifest.databases[0].tables.push_back({"public", "lost", 5, 0});
  manifest.databases[0].extensions.push_back({"nonesuch", "1"});
  world_.Write(id, manifest);
  const RunResult run = Drill();
  EXPECT_EQ(run.Text(),
            "error  backup " + id + " is not proven: rows of public.users: 201 instead of 202");
  EXPECT_EQ(
      run.report.details.at("problems"),
      "rows of public.users: 201 instead of 202; missing table public.lost; missing extension "
      "nonesuch");
  EXPECT_EQ(Verdicts(id), "failed ");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.proven_backup"), "0");
  EXPECT_EQ(world_.Read(id).proofs[0].reason, "rows of public.users: 201 instead of 202");
  EXPECT_EQ(Left(), "");

  // And it recovers: the next one is another backup.
  const std::string next = Make();
  EXPECT_EQ(Drill().Text(), "ok");
  EXPECT_EQ(Verdicts(next), "proven ");
  EXPECT_EQ(Verdicts(id), "failed ");
  // By name the older one.
  EXPECT_THAT(Drill({}, {{"id", id}}).Text(), HasSubstr("is not proven"));
  EXPECT_THAT(Drill({}, {{"id", "20000101T000000Z-0000"}}).Text(),
              HasSubstr("no backup 20000101T"));
}

TEST_F(RestoreDrillTest, AChangedBackupIsRefusedAndNamed) {
  const std::string id = Make();
  const std::string other = Make();
  fs::rename(world_.Folder(other), world_.folder() + "/other");
  const std::string folder = world_.Folder(id);
  const std::string pristine = world_.folder() + "/pristine";
  fs::copy(folder, pristine, fs::copy_options::recursive);
  const std::string dump = world_.Read(id).databases[0].file;
  const auto mutate = [&](const std::string& name,
                          const std::function<void(std::string&)>& change) {
    fs::remove_all(folder);
    fs::copy(pristine, folder, fs::copy_options::recursive);
    std::string text = ReadFile(folder + "/" + name);
    change(text);
    WriteFile(folder + "/" + name, text);
    EXPECT_THAT(Drill().Text(), HasSubstr("backup " + id + " is not proven: " + name)) << name;
    EXPECT_EQ(Left(), "");
  };
  mutate(dump, [](std::string& text) { text[text.size() / 3] ^= 1; });
  EXPECT_EQ(Verdicts(id), "failed ");
  mutate(dump, [](std::string& text) { text.resize(text.size() - 1); });
  mutate(dump, [](std::string& text) {
    std::swap(text[1000], text[2000]);
    text[0] ^= 32;
  });
  mutate("globals.sql.zst.age", [](std::string& text) { text += "x"; });
  mutate("SHA256SUMS", [](std::string& text) { text[0] = text[0] == 'a' ? 'b' : 'a'; });
  mutate("RESTORE.txt", [](std::string& text) { text += "rm -rf /\n"; });
  mutate("manifest.json", [](std::string& text) { text[text.find("\"rows\": ") + 8] ^= 1; });
  mutate("manifest.json",
         [&](std::string& text) { text = ReadFile(world_.folder() + "/other/manifest.json"); });
  mutate(dump, [&](std::string& text) { text = ReadFile(world_.folder() + "/other/" + dump); });
  mutate("globals.sql.zst.age", [&](std::string& text) { text = ReadFile(folder + "/" + dump); });
  fs::remove_all(folder);
  fs::copy(pristine, folder, fs::copy_options::recursive);
  EXPECT_EQ(Drill().Text(), "ok");
}

TEST_F(RestoreDrillTest, TheMachineIsNotTheBackup) {
  const std::string id = Make();
  EXPECT_THAT(Drill({{"scratch_directory", "/nonexistent"}}).Text(),
              HasSubstr("no folder /nonexistent for the scratch cluster"));
  EXPECT_THAT(Drill({{"server_settings", "shared_buffers=nonsense"}}).Text(),
              HasSubstr("the scratch server did not start: "));
  EXPECT_THAT(Drill({{"identity_file", ""}}).Text(), HasSubstr("there is no identity"));
  Shell("umask 077; age-keygen -o " + world_.folder() + "/wrong.key 2>/dev/null");
  EXPECT_THAT(Drill({{"identity_file", world_.folder() + "/wrong.key"}}).Text(),
              HasSubstr("no identity matched"));
  ::chmod(world_.key().file.c_str(), 0640);
  EXPECT_THAT(Drill().Text(), HasSubstr("is open to its group or to others"));
  ::chmod(world_.key().file.c_str(), 0600);
  EXPECT_THAT(Drill({{"target", world_.folder()}}).outcome.error().message,
              HasSubstr(world_.folder()));
  EXPECT_THAT(Drill({{"run_as", "root"}}).Text(),
              ::geteuid() == 0 ? HasSubstr("user root is root") : HasSubstr("ok"));
  Manifest manifest = world_.Read(id);
  const Manifest whole = manifest;
  manifest.databases[0].database_bytes = std::uint64_t{1} << 60;
  world_.Write(id, manifest);
  EXPECT_THAT(Drill().Text(), HasSubstr("too little space below " + world_.scratch()));
  manifest = whole;
  manifest.server_version = 120000;
  world_.Write(id, manifest);
  EXPECT_THAT(Drill().Text(), HasSubstr("initdb"));
  // None of them has come to a verdict.
  EXPECT_EQ(Verdicts(id), "");
  EXPECT_EQ(Left(), "");
  world_.Write(id, whole);
  EXPECT_EQ(Drill().Text(), "ok");
}

TEST_F(RestoreDrillTest, StopsInTheMiddleAndLeavesNothing) {
  Exec("CREATE TABLE large AS SELECT i, repeat('x', 500) FROM generate_series(1, 200000) AS i");
  const std::string id = Make();
  bool restoring = false;
  control_.on_stop_reason = [&]() -> std::string {
    for (const std::string& note : control_.notes)
      restoring = restoring || note.starts_with("restoring jobs");
    return restoring ? "cancelled" : "";
  };
  EXPECT_EQ(Drill().Text(), "partial cancelled");
  EXPECT_EQ(Left(), "");
  EXPECT_EQ(Verdicts(id), "");
  // Who never ends in time has not ended well.
  for (const std::string reason : {"deadline", "window"}) {
    restoring = false;
    control_.notes.clear();
    control_.on_stop_reason = [&]() -> std::string {
      for (const std::string& note : control_.notes)
        restoring = restoring || note.starts_with("restoring jobs");
      return restoring ? reason : "";
    };
    EXPECT_EQ(Drill().Text(), "error  stopped");
  }
  control_.on_stop_reason = {};
  Exec("DROP TABLE large");
  Make();
  EXPECT_EQ(Drill().Text(), "ok");
}

// Somebody pins a backup, or expires some, at the moment of the verdict.
TEST_F(RestoreDrillTest, WaitsForThoseWhoChangeThePlace) {
  const std::string id = Make();
  auto lock = PlaceLock::Take(world_.place());
  ASSERT_TRUE(lock);
  BackupProof proof;
  EXPECT_EQ(AddProof(world_.place(), id, proof).error().code, Errc::kBusy);
  std::optional<PlaceLock> held(std::move(*lock));
  std::thread release([&] {
    while (!fs::exists(world_.scratch()) || Left().empty()) std::this_thread::yield();
    while (!Left().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::seconds(1));
    held.reset();
  });
  EXPECT_EQ(Drill().Text(), "ok");
  release.join();
  EXPECT_EQ(Verdicts(id), "proven ");
}

TEST_F(RestoreDrillTest, ADryRunChangesNothing) {
  const std::string id = Make();
  const RunResult run = DryRun(kRestoreDrill, Options());
  EXPECT_EQ(run.Text(), "ok");
  ASSERT_FALSE(run.report.plan.empty());
  EXPECT_EQ(run.report.plan[0],
            "restore backup " + id + " into a scratch cluster below " + world_.scratch());
  EXPECT_EQ(Verdicts(id), "");
  EXPECT_EQ(Left(), "");
  fs::remove_all(world_.Folder(id));
  EXPECT_THAT(Drill().Text(), HasSubstr("no backup of server main"));
}

// A drill that was killed leaves its folder and perhaps a server; the next one removes both.
TEST_F(RestoreDrillTest, SweepsWhatADeadOneLeft) {
  Make();
  const std::string left = world_.scratch() + "/pgsteward-scratch.dead00";
  fs::create_directory(left);
  std::ofstream(left + "/in-use");
  fs::create_directory(left + "/data");
  // A process that has the number of its server, and is another's.
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    ::execlp("sleep", "sleep", "60", nullptr);
    ::_exit(1);
  }
  std::ofstream(left + "/data/postmaster.pid") << stranger << "\n";
  EXPECT_EQ(Drill().Text(), "ok");
  EXPECT_EQ(Left(), "");
  EXPECT_EQ(::kill(stranger, 0), 0);
  ::kill(stranger, SIGKILL);
  ::waitpid(stranger, nullptr, 0);
}

TEST_F(RestoreDrillTest, TheScratchServerIsAlone) {
  Runtime runtime;
  ScratchOptions options;
  options.base = world_.scratch();
  options.run_as = *RunAsOf("postgres");
  options.initdb = Postgres().binaries() + "/initdb";
  options.postgres = Postgres().binaries() + "/postgres";
  auto made = RunCoro(runtime, ScratchCluster::Make(runtime, options));
  ASSERT_TRUE(made.has_value()) << ToText(made.error());
  {
    PgClient client((*made)->Conninfo("template1"));
    EXPECT_EQ(client.Value("SHOW listen_addresses"), "");
    EXPECT_EQ(client.Value("SHOW archive_mode"), "off");
    EXPECT_EQ(client.Value("SHOW shared_preload_libraries"), "");
    EXPECT_EQ(client.Value("SHOW max_logical_replication_workers"), "0");
    EXPECT_EQ(client.Value("SHOW fsync"), "off");
    // Nor does ALTER SYSTEM win against the command line.
    client.Exec("ALTER SYSTEM SET archive_mode = on");
    client.Exec("SELECT pg_reload_conf()");
    EXPECT_EQ(client.Value("SHOW archive_mode"), "off");
  }
  struct stat folder {};
  ASSERT_EQ(::stat((*made)->folder().c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 0777, 0700u);
  // Nobody sweeps what is in use.
  SweepScratch(world_.scratch());
  EXPECT_NE(Left(), "");
  // A last resort is one.
  made->reset();
  EXPECT_EQ(Left(), "");
}

TEST_F(RestoreDrillTest, ItsSubjectIsWhatTheManifestsSay) {
  Make();
  EXPECT_EQ(Drill().Text(), "ok");
  Runtime runtime;
  JobOptions values(kRestoreDrill.options);
  values.Set("target", world_.target());
  SubjectContext context{runtime, values, "main", "restore_drill"};
  const auto families = RunCoro(runtime, kRestoreDrill.subject(std::move(context)));
  ASSERT_TRUE(families.has_value());
  std::string page;
  for (const auto& family : *families) page += RenderSamples(family, {}).text;
  EXPECT_THAT(page, HasSubstr("pgsteward_restore_drill_last_verdict 1\n"));
  EXPECT_THAT(page, HasSubstr("pgsteward_restore_drill_phase_seconds{phase=\"amcheck\"} "));
  EXPECT_THAT(page, HasSubstr("pgsteward_restore_drill_data_at_risk_seconds "));
}

}  // namespace
}  // namespace pgsteward
