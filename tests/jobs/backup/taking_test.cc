#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "tests/jobs/backup/taking_fixture.h"
#include "tests/support/spawn.h"

namespace pgsteward {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(TakingTest, PublishesAWholeBackup) {
  const RunResult result = Take();
  ASSERT_EQ(result.Text(), "ok");
  const auto backups = Backups();
  ASSERT_EQ(backups.size(), 1U);
  EXPECT_EQ(Whole(backups[0]), "");
  const Manifest& manifest = *backups[0].manifest;
  const std::string oid = Value("SELECT oid FROM pg_database WHERE datname = current_database()");
  const std::string dump = hub_ + "-" + oid + ".dump.zst.age";
  EXPECT_EQ(ListOf(backups[0].folder),
            "RESTORE.txt SHA256SUMS globals.sql.zst.age " + dump + " manifest.json");
  EXPECT_EQ(manifest.server, "hub/1");
  EXPECT_EQ(manifest.job, "nightly");
  EXPECT_EQ(manifest.run_id, run_id_);
  EXPECT_EQ(manifest.compression, "zstd:3");
  EXPECT_EQ(manifest.encryption, "age");
  EXPECT_EQ(manifest.recipients.size(), 2U);
  EXPECT_TRUE(manifest.role_passwords);
  ASSERT_EQ(manifest.databases.size(), 1U);
  const BackupDatabase& database = manifest.databases[0];
  EXPECT_EQ(database.name, hub_);
  EXPECT_EQ(std::to_string(database.oid), oid);
  EXPECT_EQ(database.format, "custom");
  EXPECT_EQ(database.encoding, "UTF8");
  std::map<std::string, long long> rows;
  for (const BackupTable& table : database.tables) {
    rows[table.schema + "." + table.name] = table.rows;
  }
  EXPECT_EQ(std::to_string(rows.at("public.users")), Value("SELECT count(*) FROM users"));
  EXPECT_EQ(
      std::to_string(rows.size()),
      Value("SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON "
            "n.oid = relnamespace WHERE relkind = 'r' AND nspname IN ('public', 'pgsteward')"));
  EXPECT_EQ(result.report.details.at("backup"), manifest.id);
  EXPECT_EQ(result.report.details.at("databases"), "1");
  EXPECT_EQ(result.report.details.count("table"), 0U);
  EXPECT_THAT(Opened(backups[0], manifest.globals), HasSubstr("CREATE ROLE hub_owner"));
  struct stat status {};
  for (const BackupFile& file : manifest.files) {
    ASSERT_EQ(::stat((backups[0].folder + "/" + file.name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0600U) << file.name;
  }
  ASSERT_EQ(::stat(backups[0].folder.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
}

// The counts are of the dump's moment, whatever comes meanwhile.
TEST_F(TakingTest, CountsInTheDumpsSnapshot) {
  std::thread writer([this] {
    try {
      Exec(
          "DO $$ BEGIN FOR i IN 1 .. 100000 LOOP INSERT INTO public.users (email, first_name, "
          "last_name) VALUES (i || '@late', 'a', 'b'); COMMIT; END LOOP; END $$");
    } catch (const std::exception&) {
      // It is ended below.
    }
  });
  const std::string taken = Take().Text();
  Postgres().Exec(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO $$ BEGIN FOR%'");
  writer.join();
  ASSERT_EQ(taken, "ok");
  const auto backups = Backups();
  ASSERT_EQ(backups.size(), 1U);
  const std::string text = Shell(
      "set -o pipefail; age -d -i " + identity_ + " " + backups[0].folder + "/*.dump.zst.age | " +
      "zstd -dc | " + Postgres().binaries() + "/pg_restore -a -t users -f - | grep -c '@'");
  long long rows = -1;
  for (const BackupTable& table : backups[0].manifest->databases[0].tables) {
    if (table.name == "users") rows = table.rows;
  }
  EXPECT_EQ(std::to_string(rows) + "\n", text);
  EXPECT_NE(std::to_string(rows), Value("SELECT count(*) FROM public.users"));
}

TEST_F(TakingTest, PlainFormat) {
  ASSERT_EQ(Take({{"format", "plain"}}).Text(), "ok");
  const auto backups = Backups();
  ASSERT_EQ(backups.size(), 1U);
  EXPECT_EQ(Whole(backups[0]), "");
  const std::string text = Opened(backups[0], backups[0].manifest->databases[0].file);
  EXPECT_THAT(text, HasSubstr("DROP DATABASE IF EXISTS " + hub_));
  EXPECT_THAT(text, HasSubstr("-- PostgreSQL database dump complete"));
}

TEST_F(TakingTest, DryRunChangesNothing) {
  const RunResult result = Take({}, true);
  ASSERT_EQ(result.Text(), "ok");
  EXPECT_EQ(ListOf(target_), "PGSTEWARD-BACKUPS");
  EXPECT_THAT(result.report.plan.front(), HasSubstr("dump " + hub_ + " ("));
}

TEST_F(TakingTest, WhatADumpDoesNotSay) {
  Exec("ALTER DATABASE " + hub_ + " SET work_mem = '5MB'");
  Exec("ALTER ROLE hub_owner IN DATABASE " + hub_ + " SET jit = off");
  Exec("GRANT CONNECT ON DATABASE " + hub_ + " TO hub_owner");
  Exec(
      "CREATE TABLE odd (a int); INSERT INTO odd VALUES (1), (1);"
      "ALTER TABLE odd ADD CONSTRAINT positive CHECK (a > 5) NOT VALID");
  try {
    Exec("CREATE UNIQUE INDEX CONCURRENTLY odd_a ON odd (a)");
  } catch (const std::exception&) {
  }
  ASSERT_EQ(Take().Text(), "ok");
  const auto backups = Backups();
  const BackupDatabase& database = backups.at(0).manifest->databases.at(0);
  ASSERT_EQ(database.settings.size(), 2U);
  EXPECT_EQ(database.settings[0].name + "|" + database.settings[0].text, "|work_mem=5MB");
  EXPECT_EQ(database.settings[1].name + "|" + database.settings[1].text, "hub_owner|jit=off");
  EXPECT_EQ(database.invalid_indexes, std::vector<std::string>{"public.odd_a"});
  EXPECT_EQ(database.unvalidated_constraints, std::vector<std::string>{"public.odd.positive"});
  EXPECT_THAT(database.acl, HasSubstr("GRANT CONNECT ON DATABASE " + hub_ + " TO hub_owner;"));
}

TEST_F(TakingTest, HostileNames) {
  const std::string name = "a/b '\"\n=c\\";
  Postgres().Exec("CREATE DATABASE \"a/b '\"\"\n=c\\\"");
  Postgres().Exec(
      "CREATE SCHEMA \"s.\n'\"; CREATE TABLE \"s.\n'\".\"t\"\"/..\" (a int);"
      "INSERT INTO \"s.\n'\".\"t\"\"/..\" VALUES (1), (2)",
      name);
  Postgres().Exec("SELECT 1");
  const RunResult result = Take({{"databases", "*"}});
  EXPECT_EQ(result.Text(), "ok");
  const auto backups = Backups();
  ASSERT_EQ(backups.size(), 1U);
  EXPECT_EQ(Whole(backups[0]), "");
  bool found = false;
  for (const BackupDatabase& database : backups[0].manifest->databases) {
    if (database.name != name) continue;
    found = true;
    EXPECT_EQ(database.file,
              "a%2Fb%20%27%22%0A%3Dc%5C-" + std::to_string(database.oid) + ".dump.zst.age");
    ASSERT_EQ(database.tables.size(), 1U);
    EXPECT_EQ(database.tables[0].schema, "s.\n'");
    EXPECT_EQ(database.tables[0].name, "t\"/..");
    EXPECT_EQ(database.tables[0].rows, 2);
  }
  EXPECT_TRUE(found);
  Postgres().Exec("DROP DATABASE \"a/b '\"\"\n=c\\\"");
}

// Neither arguments nor environment of any process show the password.
TEST_F(TakingTest, NoSecretInArgumentsOrEnvironment) {
  const std::string secret = "s3cr:et\\x";
  Postgres().Exec("DROP ROLE IF EXISTS pw_user; CREATE ROLE pw_user SUPERUSER LOGIN PASSWORD '" +
                  secret + "'");
  password_conninfo_ = Postgres().TcpConninfo(hub_, "pw_user") + " password='s3cr:et\\\\x'";
  std::string seen;
  int looks = 0;
  control_.on_progress = [&](const JobReport&) {
    ++looks;
    seen += Shell(
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | "
        "grep 's3c[r]:et' || true");
  };
  EXPECT_EQ(Take().Text(), "ok");
  EXPECT_GT(looks, 0);
  EXPECT_EQ(seen, "");
  EXPECT_EQ(Backups().size(), 1U);
  Postgres().Exec("DROP ROLE pw_user");
}

// ---- what stands in the way, and its cure ----

TEST_F(TakingTest, NoTarget) {
  const RunResult result = Take({{"target", folder_ + "/none"}});
  ASSERT_FALSE(result.outcome);
  EXPECT_THAT(result.outcome.error().message, HasSubstr("the target of backups is not there"));
  EXPECT_THAT(result.outcome.error().hint, HasSubstr("pgsteward backup init"));
}

TEST_F(TakingTest, UnmountedTarget) {
  ASSERT_EQ(Take().Text(), "ok");
  fs::rename(target_, target_ + ".mounted");
  fs::create_directory(target_);
  const RunResult result = Take();
  ASSERT_FALSE(result.outcome);
  EXPECT_THAT(result.outcome.error().message, HasSubstr("has no file"));
  EXPECT_EQ(ListOf(target_), "");
  fs::remove(target_);
  fs::rename(target_ + ".mounted", target_);
  EXPECT_EQ(Take().Text(), "ok");
  EXPECT_EQ(Backups().size(), 2U);
}

TEST_F(TakingTest, OpenTarget) {
  ::chmod(target_.c_str(), 0755);
  const RunResult result = Take();
  ASSERT_FALSE(result.outcome);
  EXPECT_EQ(result.outcome.error().message, "others may look into the target " + target_);
  EXPECT_EQ(result.outcome.error().hint, "Close it: chmod 700 " + target_ + ".");
  ::chmod(target_.c_str(), 0700);
  EXPECT_EQ(Take().Text(), "ok");
}

TEST_F(TakingTest, RightsAndTheirCures) {
  Postgres().Exec("DROP ROLE IF EXISTS saver; CREATE ROLE saver LOGIN");
  Exec(
      "GRANT USAGE ON SCHEMA pgsteward TO saver; GRANT SELECT ON ALL TABLES IN SCHEMA pgsteward "
      "TO saver; GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgsteward TO saver");
  user_ = "saver";
  RunResult result = Take();
  ASSERT_FALSE(result.outcome);
  EXPECT_THAT(result.outcome.error().message, HasSubstr("the role \"saver\" may not read "));
  EXPECT_THAT(result.outcome.error().hint, HasSubstr("GRANT pg_read_all_data TO \"saver\";"));
  Exec("GRANT pg_read_all_data TO saver");
  Exec("ALTER TABLE public.users ENABLE ROW LEVEL SECURITY");
  result = Take();
  ASSERT_FALSE(result.outcome);
  EXPECT_THAT(result.outcome.error().message, HasSubstr("row level security would hide rows"));
  EXPECT_EQ(result.outcome.error().hint, "ALTER ROLE \"saver\" BYPASSRLS;");
  EXPECT_EQ(Backups().size(), 0U);
  Exec("ALTER ROLE saver BYPASSRLS");
  result = Take();
  EXPECT_EQ(result.Text(), "ok");
  const auto backups = Backups();
  ASSERT_EQ(backups.size(), 1U);
  EXPECT_EQ(Whole(backups[0]), "");
  // Who may read all data may read pg_authid; who may not takes the roles without passwords.
  EXPECT_TRUE(backups[0].manifest->role_passwords);
  Exec(
      "REVOKE pg_read_all_data FROM saver; GRANT USAGE ON SCHEMA public TO saver; GRANT SELECT ON "
      "ALL TABLES IN SCHEMA public TO saver; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, "
      "pgsteward TO saver");
  result = Take();
  EXPECT_EQ(result.Text(), "ok");
  // Within one second ids do not sort by time.
  int without = 0;
  for (const FoundBackup& each : Backups()) without += each.manifest->role_passwords ? 0 : 1;
  EXPECT_EQ(without, 1);
  EXPECT_EQ(result.report.details["role_passwords"], "no: pg_authid may not be read");
  user_ = "postgres";
  Exec("DROP OWNED BY saver");
  Postgres().Exec("DROP ROLE saver");
}

TEST_F(TakingTest, WrongMajor) {
  const std::string fake = folder_ + "/bin";
  fs::create_directory(fake);
  for (const std::string name : {"pg_dump", "pg_dumpall", "pg_restore"}) {
    Shell("printf '#!/bin/sh\\necho \"" + name + " (PostgreSQL) 9.6.24\"\\n' > " + fake + "/" +
          name + "; chmod +x " + fake + "/" + name);
  }
  EXPECT_EQ(Shell(fake + "/pg_dump --version"), "pg_dump (PostgreSQL) 9.6.24\n");
  // It stands first, and is passed over.
  EXPECT_EQ(Take({{"tools", fake}}).Text(), "ok");
  ASSERT_EQ(Backups().size(), 1U);
  EXPECT_EQ(Whole(Backups()[0]), "");
  EXPECT_EQ(
      Backups()[0].manifest->pg_dump_version,
      Shell(Postgres().binaries() + "/pg_dump --version | sed 's/[^0-9]*\\([0-9.]*\\).*/\\1/' | "
                                    "tr -d '\\n'"));
}

TEST_F(TakingTest, NoSuchDatabase) {
  const RunResult result = Take({{"databases", "nonexistent"}});
  ASSERT_FALSE(result.outcome);
  EXPECT_THAT(result.outcome.error().message, HasSubstr("there is no database \"nonexistent\""));
}

TEST_F(TakingTest, OneRecipientOnly) {
  const std::string one = recipients_.substr(0, recipients_.find('\n'));
  const RunResult result = Take({{"recipients", one}});
  ASSERT_FALSE(result.outcome);
  EXPECT_EQ(result.outcome.error().code, Errc::kBadConfig);
  EXPECT_EQ(Take({{"recipients", one}, {"allow_one_recipient", "true"}}).Text(), "ok");
}

TEST_F(TakingTest, RestoreTextNamesWhatIsNeeded) {
  ASSERT_EQ(Take().Text(), "ok");
  const auto backups = Backups();
  const std::string text = Shell("cat " + backups.at(0).folder + "/RESTORE.txt");
  for (const char* part : {"age -d -i \"$KEY\" 'globals.sql.zst.age' | zstd -dc | psql",
                           "sha256sum -c SHA256SUMS", "pg_restore --create --exit-on-error"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

}  // namespace
}  // namespace pgsteward
