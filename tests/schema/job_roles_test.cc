// job_roles.sql: what a plain login as pgsteward_jobs can do, and what it cannot.
#include <gmock/gmock.h>

#include "tests/schema/schema_fixture.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

namespace {

class JobRolesTest : public SchemaTest {
 protected:
  void SetUp() override {
    SchemaTest::SetUp();
    UseAppliedHub();
    const Applied applied = Apply(Conninfo(), "", QuickOptions(), StewardSchema());
    ASSERT_TRUE(applied.report) << ToText(applied.report.error());
    Postgres().Psql("hub", {"-q", "-f", PGSTEWARD_SCHEMA "/job_roles.sql"});
    Postgres().Exec(
        "DELETE FROM users; INSERT INTO users (id, email, first_name, last_name, password_hash) "
        "VALUES ('00000000-0000-0000-0000-000000000001', 'a@example.org', 'A', 'B', 'secret');"
        "INSERT INTO sessions (user_id) SELECT id FROM users;"
        "INSERT INTO chat_sessions (id, user_id) SELECT id, id FROM users;"
        "INSERT INTO messages (session_id, user_id, content) SELECT id, id, 'hello' FROM users",
        "hub");
  }

  void TearDown() override {
    SchemaTest::TearDown();
    Postgres().Exec("DROP ROLE IF EXISTS pgsteward_jobs");
  }
};

std::string Value(const std::string& sql) { return Postgres().Value(sql, "hub"); }

// "permission denied for table users", "" when it is allowed.
std::string Denial(PgClient& client, const std::string& sql) {
  try {
    client.Exec(sql);
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    for (const char* known : {"permission denied", "must be owner"}) {
      const auto begin = text.find(known);
      if (begin != text.npos) return text.substr(begin, text.find('\n', begin) - begin);
    }
    return text;
  }
  return "";
}

TEST_F(JobRolesTest, TheFileCanBeRunAgain) {
  const std::string acls =
      "SELECT string_agg(c.oid::regclass || ' ' || c.relacl::text, ' ' ORDER BY c.oid) "
      "FROM pg_class AS c";
  const std::string before = Value(acls);
  Postgres().Psql("hub", {"-q", "-f", PGSTEWARD_SCHEMA "/job_roles.sql"});
  EXPECT_EQ(Value(acls), before);
  EXPECT_EQ(Value("SELECT concat_ws(' ', rolcanlogin, rolbypassrls, rolconnlimit, rolsuper, "
                  "rolcreaterole, rolcreatedb) FROM pg_roles WHERE rolname = 'pgsteward_jobs'"),
            "t t 30 f f f");
  EXPECT_EQ(Value("SELECT string_agg(m.roleid::regrole::text, ' ') FROM pg_auth_members AS m "
                  "WHERE m.member = 'pgsteward_jobs'::regrole"),
            "pg_monitor");
}

TEST_F(JobRolesTest, MovesMessagesToTheArchiveAndBack) {
  PgClient jobs(Conninfo("pgsteward_jobs"));
  jobs.Exec("SET row_security = off");
  const std::string locked =
      "WITH old AS (SELECT id FROM public.messages ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP "
      "LOCKED), gone AS (DELETE FROM public.messages AS m USING old WHERE m.id = old.id RETURNING "
      "m.*) INSERT INTO public.messages_archive (id, session_id, user_id, content, is_from_user, "
      "metadata, created_at, archive_run) SELECT id, session_id, user_id, content, is_from_user, "
      "metadata, created_at, gen_random_uuid() FROM gone ON CONFLICT (id) DO NOTHING";
  // The trigger keeps the count: with its rights.
  jobs.Exec(locked);
  EXPECT_EQ(Value("SELECT concat_ws(' ', (SELECT count(*) FROM messages), (SELECT count(*) FROM "
                  "messages_archive), (SELECT message_count FROM chat_sessions))"),
            "0 1 0");
  // Back, past the trigger.
  jobs.Exec(
      "BEGIN; SET LOCAL pgsteward.archiving = 'on';"
      "SELECT id FROM public.messages_archive FOR UPDATE;"
      "WITH back AS (DELETE FROM public.messages_archive RETURNING *) "
      "INSERT INTO public.messages (id, session_id, user_id, content, is_from_user, metadata, "
      "created_at) SELECT id, session_id, user_id, content, is_from_user, metadata, created_at "
      "FROM back;"
      "UPDATE public.chat_sessions SET message_count = message_count + 1, updated_at = updated_at "
      "WHERE id = '00000000-0000-0000-0000-000000000001'; COMMIT");
  EXPECT_EQ(Value("SELECT concat_ws(' ', (SELECT count(*) FROM messages), (SELECT count(*) FROM "
                  "messages_archive), (SELECT message_count FROM chat_sessions))"),
            "1 0 1");
  jobs.Exec("DELETE FROM public.messages");
}

// Both tables have policies that show a role nothing.
TEST_F(JobRolesTest, SeesRowsInSpiteOfPolicies) {
  PgClient jobs(Conninfo("pgsteward_jobs"));
  jobs.Exec("SET row_security = off");
  EXPECT_EQ(jobs.Value("WITH s AS (SELECT id FROM public.sessions FOR UPDATE SKIP LOCKED), done AS "
                       "(UPDATE public.sessions SET active = false FROM s WHERE s.id = sessions.id "
                       "RETURNING 1) SELECT count(*) FROM done"),
            "1");
  EXPECT_EQ(jobs.Value("WITH done AS (DELETE FROM public.sessions WHERE NOT active RETURNING 1) "
                       "SELECT count(*) FROM done"),
            "1");
  EXPECT_EQ(jobs.Value("WITH done AS (UPDATE public.users SET email_encrypted = "
                       "public.pgp_sym_encrypt(email, 'key') WHERE email_encrypted IS NULL "
                       "RETURNING id) SELECT count(*) FROM done"),
            "1");
  EXPECT_EQ(Value("SELECT pgp_sym_decrypt(email_encrypted, 'key') FROM users"), "a@example.org");
}

TEST_F(JobRolesTest, KeepsItsOwnTables) {
  PgClient jobs(Conninfo("pgsteward_jobs"));
  jobs.Exec(
      "INSERT INTO pgsteward.lease VALUES ('jobs', 1, 'a', now(), now(), now(), 1, 7);"
      "BEGIN; SELECT FROM pgsteward.lease WHERE name = 'jobs' FOR KEY SHARE; COMMIT;"
      "UPDATE pgsteward.lease SET epoch = epoch + 1;"
      "INSERT INTO pgsteward.job_state (job, type, timetable) VALUES ('a', 'b', 'c');"
      "UPDATE pgsteward.job_state SET paused_until = 'infinity';"
      "INSERT INTO pgsteward.retention_hold (user_id, reason) VALUES (gen_random_uuid(), 'r');"
      "INSERT INTO pgsteward.quarantine VALUES ('public.messages', '1', 'a', gen_random_uuid(), "
      "'r');"
      "INSERT INTO pgsteward.remediation_log (job, rule, action, result, pid) VALUES "
      "('a', 'r', 'observe', 'ok', 1);"
      "INSERT INTO pgsteward.proven_backup VALUES ('s', '/t', 'b', now(), now());"
      "INSERT INTO pgsteward.job_run (run_id, job, type, trigger, started_at, host, pid, holder, "
      "lease_epoch, timeline, status) VALUES (gen_random_uuid(), 'a', 'b', 'manual', now(), 'h', "
      "1, 'a', 1, 1, 'ok')");
  EXPECT_EQ(jobs.Value("SELECT created_by FROM pgsteward.retention_hold"), "pgsteward_jobs");
  for (const SchemaVersion& version : StewardSchema().versions) {
    for (const std::string_view relation : version.relations) {
      const std::string table = "pgsteward." + std::string(relation);
      EXPECT_EQ(jobs.Value("WITH gone AS (DELETE FROM " + table +
                           " RETURNING 1) SELECT count(*) FROM gone"),
                "1")
          << table;
    }
  }
  EXPECT_EQ(jobs.Value("SELECT count(*) FROM pgsteward.schema_version"), "5");
}

TEST_F(JobRolesTest, CanDoNothingElse) {
  PgClient jobs(Conninfo("pgsteward_jobs"));
  const std::pair<const char*, const char*> cases[] = {
      {"SELECT password_hash FROM public.users", "permission denied for table users"},
      {"SELECT * FROM public.users", "permission denied for table users"},
      {"UPDATE public.users SET email = 'x'", "permission denied for table users"},
      {"DELETE FROM public.users", "permission denied for table users"},
      {"UPDATE public.messages SET content = 'x'", "permission denied for table messages"},
      {"UPDATE public.messages_archive SET content = 'x'",
       "permission denied for table messages_archive"},
      {"INSERT INTO public.sessions (user_id) SELECT id FROM public.users",
       "permission denied for table sessions"},
      {"UPDATE public.sessions SET user_agent = 'x'", "permission denied for table sessions"},
      {"DELETE FROM public.chat_sessions", "permission denied for table chat_sessions"},
      {"UPDATE public.chat_sessions SET title = 'x'", "permission denied for table chat_sessions"},
      {"SELECT FROM public.artifacts", "permission denied for table artifacts"},
      {"TRUNCATE public.messages", "permission denied for table messages"},
      {"DROP TABLE public.messages", "must be owner of table messages"},
      {"ALTER TABLE public.messages DISABLE TRIGGER ALL", "must be owner of table messages"},
      {"DROP TABLE pgsteward.lease", "must be owner of table lease"},
      {"TRUNCATE pgsteward.job_run", "permission denied for table job_run"},
      {"DELETE FROM pgsteward.schema_version", "permission denied for table schema_version"},
      {"CREATE TABLE pgsteward.mine (id int)", "permission denied for schema pgsteward"},
      {"SET session_replication_role = replica",
       "permission denied to set parameter \"session_replication_role\""},
  };
  for (const auto& [sql, denial] : cases) EXPECT_EQ(Denial(jobs, sql), denial) << sql;
}

}  // namespace

}  // namespace pgsteward
