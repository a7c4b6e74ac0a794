#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const JobSpec kEncryptPii;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kKey[] = "first-key-Wm9PqXv2LrTz";
constexpr char kNewKey[] = "second-key-Jc7HdYs4NbKe";

Task<Result<PgResult>> Witness(JobSession& db) {
  auto opened = co_await db.Open();
  if (!opened) co_return opened.error();
  PgValues values = {"witness-of-logging"};
  co_return co_await db.Query("SELECT $1::text", std::move(values), std::chrono::seconds(5));
}

class EncryptPiiTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    user_ = "pgsteward_jobs";
    directory_ = std::filesystem::path(Postgres().socket_dir()) / "keys";
    std::filesystem::create_directories(directory_);
    Write("key", kKey + std::string("\n"));
    Write("new", kNewKey);
    Exec(
        "DELETE FROM users; INSERT INTO users (id, email, first_name, last_name, updated_at) "
        "SELECT "
        "('00000000-0000-0000-0000-000000000' || n)::uuid, n || '@example.org', 'A', 'B', "
        "'2020-01-01' FROM generate_series(100, 219) AS n");
  }
  void TearDown() override {
    Postgres().Exec("ALTER ROLE pgsteward_jobs RESET ALL; ALTER ROLE postgres RESET ALL");
    JobTest::TearDown();
  }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(directory_ / name, std::ios::binary) << content;
  }
  std::string File(const std::string& name) const { return (directory_ / name).string(); }
  RunResult Encrypt(const std::string& key = "key", std::map<std::string, std::string> more = {}) {
    more["key_file"] = File(key);
    if (more.count("rotate_from")) more["rotate_from"] = File(more["rotate_from"]);
    return Run(kEncryptPii, more);
  }
  // How many rows the key gives the address of.
  std::string Readable(const std::string& key) const {
    PgClient client = Connect();
    client.Exec(
        "CREATE FUNCTION pg_temp.reads(bytea, text, text) RETURNS boolean LANGUAGE plpgsql AS "
        "$$BEGIN RETURN pgp_sym_decrypt($1, $2) = $3; EXCEPTION WHEN OTHERS THEN "
        "RETURN false; END$$");
    return client.Value("SELECT count(*) FROM users WHERE pg_temp.reads(email_encrypted, '" + key +
                        "', email)");
  }
  // The text of all that is encrypted, to see whether anything was changed.
  std::string Digest() const {
    return Value(
        "SELECT md5(string_agg(coalesce(email_encrypted::text, 'NULL') || email, ' ' "
        "ORDER BY id)) FROM users");
  }

  std::filesystem::path directory_;
};

TEST_F(EncryptPiiTest, EncryptsAndIsDone) {
  EXPECT_EQ(MeasureBacklog(kEncryptPii).value().rows, 120);
  const RunResult run = Encrypt();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 120);
  EXPECT_GE(run.report.batches, 2);
  EXPECT_EQ(run.report.details.at("not_encrypted"), "120");
  EXPECT_EQ(Readable(kKey), "120");
  EXPECT_EQ(
      Value("SELECT count(*) FROM users WHERE updated_at = '2020-01-01' AND email LIKE '%@%'"),
      "120");
  EXPECT_EQ(MeasureBacklog(kEncryptPii).value().rows, 0);
  const std::string before = Digest();
  const RunResult again = Encrypt();
  EXPECT_EQ(again.Text(), "ok");
  EXPECT_EQ(again.report.rows_done, 0);
  EXPECT_EQ(again.report.details.at("checked"), "120");
  EXPECT_EQ(Digest(), before);
}

TEST_F(EncryptPiiTest, AChangedAddressIsEncryptedAnew) {
  ASSERT_EQ(Encrypt().Text(), "ok");
  Exec(
      "UPDATE users SET email = 'new-' || email WHERE id < "
      "'00000000-0000-0000-0000-000000000103'");
  EXPECT_EQ(Encrypt("key", {{"verify", "false"}}).report.rows_done, 0);
  EXPECT_EQ(Readable(kKey), "117");
  const RunResult run = Encrypt();
  EXPECT_EQ(run.report.details.at("stale"), "3");
  EXPECT_EQ(run.report.rows_done, 3);
  EXPECT_EQ(Readable(kKey), "120");
}

TEST_F(EncryptPiiTest, AWrongKeyChangesNothing) {
  ASSERT_EQ(Encrypt().Text(), "ok");
  // The first are not encrypted: they would be the first to get the wrong key.
  Exec("UPDATE users SET email_encrypted = NULL WHERE id < '00000000-0000-0000-0000-000000000180'");
  const std::string before = Digest();
  for (const char* verify : {"true", "false"}) {
    const RunResult run = Encrypt("new", {{"verify", verify}});
    EXPECT_EQ(run.Text(),
              "error 39000 wrong key: it decrypts none of the addresses that are "
              "encrypted already");
  }
  EXPECT_EQ(Digest(), before);
  EXPECT_EQ(Encrypt("key").Text(), "ok");
  EXPECT_EQ(Readable(kKey), "120");
}

TEST_F(EncryptPiiTest, RotatesAndGoesOnAfterAnInterruption) {
  ASSERT_EQ(Encrypt().Text(), "ok");
  control_.on_progress = [&](const JobReport&) { control_.stop_reason = "shutdown"; };
  EXPECT_EQ(Encrypt("new", {{"rotate_from", "key"}}).Text(), "partial shutdown");
  control_.on_progress = nullptr;
  control_.stop_reason.clear();
  EXPECT_EQ(Readable(kNewKey), "50");
  EXPECT_EQ(Readable(kKey), "70");

  // Mixed: not a matter of a few damaged rows, and nothing is set aside.
  EXPECT_EQ(Encrypt("new").Text(),
            "error 39000 more than 10 encrypted addresses cannot be decrypted with this key");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.quarantine"), "0");

  Exec("UPDATE users SET email = 'x' || email WHERE id = '00000000-0000-0000-0000-000000000219'");
  const RunResult rest = Encrypt("new", {{"rotate_from", "key"}});
  EXPECT_EQ(rest.Text(), "ok");
  EXPECT_EQ(rest.report.details.at("rotated"), "70");
  EXPECT_EQ(rest.report.rows_done, 70);
  EXPECT_EQ(Readable(kNewKey), "120");
  EXPECT_EQ(Readable(kKey), "0");
  EXPECT_EQ(Encrypt("new", {{"rotate_from", "key"}}).report.rows_done, 0);
  EXPECT_EQ(Encrypt("key").Text().substr(0, 21), "error 39000 wrong key");
  EXPECT_EQ(Encrypt("new").Text(), "ok");
}

TEST_F(EncryptPiiTest, RotationWithTwoWrongKeysChangesNothing) {
  ASSERT_EQ(Encrypt().Text(), "ok");
  Write("other", "neither");
  const std::string before = Digest();
  EXPECT_EQ(Encrypt("new", {{"rotate_from", "other"}}).Text(),
            "error 39000 wrong keys: neither key_file nor rotate_from decrypts an address");
  EXPECT_EQ(Encrypt("key", {{"rotate_from", "key"}}).Text(),
            "error  key_file and rotate_from hold the same key");
  EXPECT_EQ(Digest(), before);
}

TEST_F(EncryptPiiTest, ADamagedRowIsSetAside) {
  Exec(
      "UPDATE users SET email_encrypted = '\\x00' WHERE id = "
      "'00000000-0000-0000-0000-000000000150';"
      "UPDATE users SET email_encrypted = pgp_sym_encrypt(email, '" +
      std::string(kKey) +
      "') "
      "WHERE id = '00000000-0000-0000-0000-000000000151'");
  const RunResult run = Encrypt();
  EXPECT_EQ(run.Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(run.report.rows_quarantined, 1);
  EXPECT_EQ(Readable(kKey), "119");
  EXPECT_EQ(
      Value("SELECT concat_ws('|', target, row_id, job, run_id = '" + run_id_ +
            "', reason) "
            "FROM pgsteward.quarantine"),
      "public.users|00000000-0000-0000-0000-000000000150|encrypt_pii|t|email_encrypted cannot "
      "be decrypted");
  EXPECT_EQ(Encrypt().Text(), "ok");
  Exec(
      "DELETE FROM pgsteward.quarantine; UPDATE users SET email_encrypted = NULL "
      "WHERE id = '00000000-0000-0000-0000-000000000150'");
  EXPECT_EQ(Encrypt().report.rows_done, 1);
  EXPECT_EQ(Readable(kKey), "120");
}

// What is known to be unreadable says nothing about the key.
TEST_F(EncryptPiiTest, TheKeyIsNotTriedOnWhatIsSetAside) {
  ASSERT_EQ(Encrypt().Text(), "ok");
  Exec(R"(
    CREATE TABLE damaged AS (SELECT id FROM users ORDER BY id LIMIT 10)
      UNION (SELECT id FROM users ORDER BY id DESC LIMIT 10);
    UPDATE users SET email_encrypted = 'x' WHERE id IN (SELECT id FROM damaged);
    INSERT INTO pgsteward.quarantine (target, row_id, job, run_id, reason)
    SELECT 'public.users', id, 'encrypt_pii', gen_random_uuid(), 'r' FROM damaged)");
  EXPECT_EQ(Encrypt().Text(), "ok");
  EXPECT_EQ(Readable(kKey), "100");
  Exec(
      "DELETE FROM pgsteward.quarantine; UPDATE users SET email_encrypted = NULL WHERE id IN "
      "(SELECT id FROM damaged)");
  EXPECT_EQ(Encrypt().Text(), "ok");
  EXPECT_EQ(Readable(kKey), "120");
}

TEST_F(EncryptPiiTest, WithoutTheRightsAlsoTheDryRunSaysSo) {
  Exec("REVOKE UPDATE (email_encrypted) ON users FROM pgsteward_jobs");
  const std::string refused =
      "error 42501 role \"pgsteward_jobs\" may not read and write the addresses of public.users";
  EXPECT_EQ(DryRun(kEncryptPii, {{"key_file", File("key")}}).Text(), refused);
  EXPECT_EQ(Encrypt().Text(), refused);
  Exec("GRANT UPDATE (email_encrypted) ON users TO pgsteward_jobs");
  EXPECT_EQ(Encrypt().Text(), "ok");
}

// A condition that only mentions the setting does not keep updated_at.
TEST_F(EncryptPiiTest, ATriggerIsGuardedOnlyWhenItsConditionIsTheGuard) {
  Exec(R"(
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
    CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW
      WHEN (current_setting('pgsteward.archiving', true) = 'on') EXECUTE FUNCTION touch())");
  EXPECT_EQ(Encrypt().report.details.at("updated_at"), "changed");
}

TEST_F(EncryptPiiTest, AHeldRowIsTakenLater) {
  PgClient holder = Connect();
  holder.Exec(
      "BEGIN; UPDATE users SET last_login = now() "
      "WHERE id = '00000000-0000-0000-0000-000000000107'");
  const RunResult run = Encrypt();
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(run.report.rows_done, 119);
  holder.Exec("COMMIT");
  EXPECT_EQ(Encrypt().report.rows_done, 1);
  EXPECT_EQ(Readable(kKey), "120");
}

TEST_F(EncryptPiiTest, ATerminatedBackendLosesOneBatch) {
  bool first = true;
  control_.on_progress = [&](const JobReport&) {
    if (!std::exchange(first, false)) return;
    Postgres().TerminateBackends("application_name = 'pgsteward:job/test'");
  };
  EXPECT_EQ(Encrypt().outcome.error().code, Errc::kConnectionLost);
  EXPECT_EQ(Readable(kKey), "50");
  EXPECT_EQ(Encrypt().Text(), "ok");
  EXPECT_EQ(Readable(kKey), "120");
}

TEST_F(EncryptPiiTest, TheDryRunTriesTheKeyAndChangesNothing) {
  ASSERT_EQ(Encrypt().Text(), "ok");
  Exec("UPDATE users SET email_encrypted = NULL WHERE id > '00000000-0000-0000-0000-000000000180'");
  const std::string before = Digest();
  const RunResult dry = DryRun(kEncryptPii, {{"key_file", File("key")}});
  EXPECT_THAT(dry.report.plan,
              ElementsAre("encrypt 39 addresses that are not", "decrypt and compare 81 that are",
                          "of a sample of those 20 can be decrypted with the keys given",
                          "users.email stays as it is; updated_at is kept"));
  EXPECT_EQ(DryRun(kEncryptPii, {{"key_file", File("new")}}).Text().substr(0, 21),
            "error 39000 wrong key");
  EXPECT_EQ(Digest(), before);
  EXPECT_EQ(Encrypt().report.rows_done, 39);
}

// Defect D8: the column that the document's UPDATE needs is missing, and so may be the extension.
TEST_F(EncryptPiiTest, D8WhatIsMissingIsSaid) {
  Exec("ALTER TABLE users DROP COLUMN email_encrypted");
  EXPECT_EQ(Encrypt().Text(),
            "error 42703 public.users has no column email_encrypted of type bytea");
  Exec(
      "ALTER TABLE users ADD COLUMN email_encrypted bytea; DROP EXTENSION pgcrypto;"
      "GRANT SELECT (email_encrypted), UPDATE (email_encrypted) ON users TO pgsteward_jobs");
  EXPECT_EQ(Encrypt().Text(), "error 42704 extension pgcrypto is not in this database");
  // Anywhere, and whatever else was put there.
  Exec(
      "CREATE SCHEMA \"Crypto x\"; CREATE EXTENSION pgcrypto SCHEMA \"Crypto x\";"
      "GRANT USAGE ON SCHEMA \"Crypto x\" TO PUBLIC;"
      "CREATE FUNCTION \"Crypto x\".pgp_sym_encrypt(varchar, text, text) RETURNS bytea "
      "LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'planted'; END$$");
  EXPECT_EQ(Encrypt().Text(), "ok");
  EXPECT_EQ(
      Value("SELECT count(*) FROM users WHERE \"Crypto x\".pgp_sym_decrypt(email_encrypted, '" +
            std::string(kKey) + "') = email"),
      "120");
}

// Defect D8: the key stands in pg_stat_activity for everybody who may look.
TEST_F(EncryptPiiTest, D8TheKeyIsNotInPgStatActivity) {
  PgClient holder = Connect();
  holder.Exec("BEGIN; LOCK TABLE users IN SHARE MODE");
  std::string seen;
  std::thread looks([&] {
    const std::string waiting =
        " FROM pg_stat_activity WHERE application_name = 'pgsteward:job/test' AND wait_event_type "
        "= "
        "'Lock' AND query LIKE '%pgp_sym_encrypt%'";
    WaitFor("SELECT count(*) = 1" + waiting);
    seen = Value("SELECT query" + waiting);
    holder.Exec("ROLLBACK");
  });
  EXPECT_EQ(Encrypt().Text(), "ok");
  looks.join();
  EXPECT_THAT(seen, HasSubstr("pgp_sym_encrypt(u.email::text, $2::text, $3::text)"));
  EXPECT_THAT(seen, Not(HasSubstr(kKey)));
  EXPECT_EQ(Readable(kKey), "120");
}

constexpr char kLoud[] = " SET log_statement = 'all'; ALTER ROLE ";

// Everything that makes a server write parameters, for one role.
void MakeLoud(const std::string& role) {
  const std::string alter = "ALTER ROLE " + role;
  Postgres().Exec(alter + kLoud + role + " SET log_parameter_max_length = -1; " + alter +
                  " SET log_parameter_max_length_on_error = -1; " + alter +
                  " SET log_min_duration_statement = 0; " + alter + " SET debug_print_plan = on");
}

TEST_F(EncryptPiiTest, D8ASuperusersServerThatLogsEverythingLogsNoKey) {
  user_ = "postgres";
  MakeLoud("postgres");
  Postgres().NewLogText();
  Runtime runtime;
  JobSession db(runtime, Target());
  ASSERT_TRUE(RunCoro(runtime, Witness(db)));
  EXPECT_THAT(Postgres().NewLogText(), HasSubstr("witness-of-logging"));
  EXPECT_EQ(Encrypt().Text(), "ok");
  EXPECT_EQ(Encrypt("new").Text().substr(0, 21), "error 39000 wrong key");
  EXPECT_EQ(Encrypt("new", {{"rotate_from", "key"}}).Text(), "ok");
  const std::string log = Postgres().NewLogText();
  EXPECT_THAT(log, HasSubstr("pgp_sym_encrypt"));
  EXPECT_THAT(log, HasSubstr("Wrong key or corrupt data"));
  EXPECT_THAT(log, Not(HasSubstr(kKey)));
  EXPECT_THAT(log, Not(HasSubstr(kNewKey)));
  Postgres().Exec("ALTER ROLE postgres RESET ALL");
}

TEST_F(EncryptPiiTest, D8ARoleThatCannotSilenceTheServerIsRefused) {
  MakeLoud("pgsteward_jobs");
  Postgres().NewLogText();
  const RunResult run = Encrypt();
  EXPECT_EQ(
      run.Text(),
      "error  the server would write the key into its log: log_parameter_max_length = -1 with "
      "log_min_duration_statement = 0, log_statement = all");
  EXPECT_THAT(run.outcome.error().hint,
              HasSubstr("ALTER ROLE pgsteward_jobs SET log_parameter_max_length = 0"));
  EXPECT_EQ(Readable(kKey), "0");
  Postgres().Exec("ALTER ROLE pgsteward_jobs SET log_parameter_max_length = 0");
  EXPECT_EQ(Encrypt().Text(), "ok");
  EXPECT_EQ(Encrypt("new").Text().substr(0, 21), "error 39000 wrong key");
  // Readable() has its key in a statement of its own.
  const std::string log = Postgres().NewLogText();
  EXPECT_THAT(log, HasSubstr("pgp_sym_encrypt"));
  EXPECT_THAT(log, Not(HasSubstr(kNewKey)));
  EXPECT_THAT(log, Not(HasSubstr(kKey)));
}

// Its plans show parameters as constants.
TEST_F(EncryptPiiTest, D8AutoExplainLogsNoKey) {
  for (const std::string role : {"pgsteward_jobs", "postgres"}) {
    Postgres().Exec("ALTER ROLE " + role + " SET session_preload_libraries = 'auto_explain'");
    Postgres().Exec("LOAD 'auto_explain'; ALTER ROLE " + role +
                    " SET auto_explain.log_min_duration = 0; ALTER ROLE " + role +
                    " SET auto_explain.log_verbose = on");
  }
  Postgres().NewLogText();
  EXPECT_EQ(
      Encrypt().Text(),
      "error  the server would write the key into its log: auto_explain.log_min_duration = 0");
  user_ = "postgres";
  EXPECT_EQ(Encrypt().Text(), "ok");
  const std::string log = Postgres().NewLogText();
  EXPECT_THAT(log, HasSubstr("Query Text"));
  EXPECT_THAT(log, Not(HasSubstr(kKey)));
}

}  // namespace
}  // namespace pgsteward
