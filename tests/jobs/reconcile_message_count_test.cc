#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "jobs/message_count.h"
#include "tests/jobs/job_fixture.h"

namespace pgsteward {

extern const JobSpec kReconcileMessageCount;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Judged(std::optional<long long> stored, long long live, long long archived,
                   CountRule rule, bool purged = false) {
  ChatCount chat;
  chat.stored = stored;
  chat.live = live;
  chat.archived = archived;
  const CountVerdict verdict = JudgeCount(chat, rule, purged);
  const std::string right = std::to_string(RightCount(chat, rule));
  if (verdict == CountVerdict::kRight) return "right " + right;
  return (verdict == CountVerdict::kDrifted ? "drifted " : "unclear ") + right;
}

TEST(MessageCountTest, Verdicts) {
  EXPECT_EQ(Judged(2, 2, 3, CountRule::kLive), "right 2");
  EXPECT_EQ(Judged(5, 2, 3, CountRule::kLive), "drifted 2");
  EXPECT_EQ(Judged({}, 0, 0, CountRule::kLive), "drifted 0");
  EXPECT_EQ(Judged(5, 2, 3, CountRule::kLifetime), "right 5");
  EXPECT_EQ(Judged(2, 2, 3, CountRule::kLifetime, true), "drifted 5");
  EXPECT_EQ(Judged(6, 2, 3, CountRule::kLifetime, true), "drifted 5");
  EXPECT_EQ(Judged(1, 2, 3, CountRule::kTolerant), "drifted 5");
  EXPECT_EQ(Judged(2, 2, 3, CountRule::kTolerant), "unclear 5");
  EXPECT_EQ(Judged(4, 2, 3, CountRule::kTolerant), "unclear 5");
  EXPECT_EQ(Judged(5, 2, 3, CountRule::kTolerant), "right 5");
  EXPECT_EQ(Judged(6, 2, 3, CountRule::kTolerant), "drifted 5");
  EXPECT_EQ(Judged(6, 2, 3, CountRule::kTolerant, true), "unclear 5");
  EXPECT_EQ(Judged({}, 2, 3, CountRule::kTolerant, true), "drifted 5");
  EXPECT_EQ(Judged(1, 0, 0, CountRule::kTolerant), "drifted 0");
}

class ReconcileTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    user_ = "pgsteward_jobs";
    Exec("INSERT INTO users (id, email, first_name, last_name) VALUES (" + Id(0) +
         ", 'a@example.org', 'A', 'B')");
  }
  static std::string Id(int n) {
    return "'00000000-0000-0000-0000-0000000000" + std::to_string(n + 10) + "'";
  }
  void Chat(int n, int messages) {
    Exec("INSERT INTO chat_sessions (id, user_id, updated_at) VALUES (" + Id(n) + ", " + Id(0) +
         ", '2020-01-01')");
    Say(n, messages);
    Exec(
        "BEGIN; SET LOCAL pgsteward.archiving = 'on'; UPDATE chat_sessions "
        "SET updated_at = '2020-01-01'; COMMIT");
  }
  void Say(int n, int messages) const {
    Exec("INSERT INTO messages (session_id, user_id, content) SELECT " + Id(n) + ", " + Id(0) +
         ", 'x' FROM generate_series(1, " + std::to_string(messages) + ")");
  }
  std::string Counts() const {
    return Value("SELECT string_agg(message_count::text, ' ' ORDER BY id) FROM chat_sessions");
  }
  // One message of the chat goes to the archive, as the archive job moves it.
  void Archive(int n, bool guarded) {
    Exec(std::string("BEGIN; SET LOCAL pgsteward.archiving = '") + (guarded ? "on" : "off") +
         "'; WITH gone AS (DELETE FROM messages WHERE id = (SELECT id FROM messages "
         "WHERE session_id = " +
         Id(n) +
         " LIMIT 1) RETURNING *) "
         "INSERT INTO messages_archive (id, session_id, user_id, content, is_from_user, metadata, "
         "created_at) SELECT id, session_id, user_id, content, is_from_user, metadata, created_at "
         "FROM gone; COMMIT");
  }
  std::string Details(const RunResult& run) {
    const auto& details = run.report.details;
    return run.Text() + ": " + details.at("drifted") + " drifted, " + details.at("unclear") +
           " unclear of " + details.at("checked");
  }
};

// Defect F5: the trigger does not see a message move or a TRUNCATE.
TEST_F(ReconcileTest, F5WhatTheTriggerMissesIsFoundAndPutRight) {
  Chat(1, 2);
  Chat(2, 1);
  Chat(3, 4);
  Exec("UPDATE messages SET session_id = " + Id(2) +
       " WHERE id = (SELECT id FROM messages "
       "WHERE session_id = " +
       Id(1) + " LIMIT 1)");
  EXPECT_EQ(Counts(), "2 1 4");
  const RunResult found = Run(kReconcileMessageCount);
  EXPECT_EQ(Details(found), "ok: 2 drifted, 0 unclear of 3");
  EXPECT_EQ(found.report.rows_done, 0);
  EXPECT_THAT(
      control_.notes,
      ElementsAre("chat 00000000-0000-0000-0000-000000000011: message_count 2, right is 1",
                  "chat 00000000-0000-0000-0000-000000000012: message_count 1, right is 2"));
  EXPECT_EQ(MeasureBacklog(kReconcileMessageCount).value().rows, 2);
  EXPECT_EQ(Counts(), "2 1 4");

  EXPECT_THAT(
      DryRun(kReconcileMessageCount, {{"fix", "true"}}).report.plan,
      ElementsAre("message_count should be the number of live and archived messages, as far "
                  "as archiving does not explain another number",
                  "looked at 3 chats: 2 drifted, 0 unclear",
                  "  chat 00000000-0000-0000-0000-000000000011: message_count 2, right is 1",
                  "  chat 00000000-0000-0000-0000-000000000012: message_count 1, right is 2",
                  "put the drifted right, updated_at is kept"));
  const RunResult fixed = Run(kReconcileMessageCount, {{"fix", "true"}});
  EXPECT_EQ(Details(fixed), "ok: 2 drifted, 0 unclear of 3");
  EXPECT_EQ(fixed.report.rows_done, 2);
  EXPECT_EQ(Counts(), "1 2 4");
  EXPECT_EQ(Value("SELECT count(*) FROM chat_sessions WHERE updated_at = '2020-01-01'"), "3");

  Exec("TRUNCATE messages");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).report.rows_done, 3);
  EXPECT_EQ(Counts(), "0 0 0");
  EXPECT_EQ(MeasureBacklog(kReconcileMessageCount).value().rows, 0);
}

TEST_F(ReconcileTest, AnArchivedHubIsNoAlarm) {
  Chat(1, 3);
  Chat(2, 3);
  Archive(1, true);
  EXPECT_EQ(Counts(), "3 3");
  EXPECT_EQ(Details(Run(kReconcileMessageCount)), "ok: 0 drifted, 0 unclear of 2");
  EXPECT_EQ(Details(Run(kReconcileMessageCount, {{"counts", "live"}})),
            "ok: 1 drifted, 0 unclear of 2");
  Archive(2, false);
  EXPECT_EQ(Counts(), "3 2");
  EXPECT_EQ(Details(Run(kReconcileMessageCount, {{"fix", "true"}})),
            "ok: 0 drifted, 1 unclear of 2");
  EXPECT_EQ(Details(Run(kReconcileMessageCount, {{"counts", "lifetime"}, {"fix", "true"}})),
            "ok: 1 drifted, 0 unclear of 2");
  EXPECT_EQ(Counts(), "3 3");
}

TEST_F(ReconcileTest, APurgeExplainsCountsThatAreTooHigh) {
  Chat(1, 3);
  Archive(1, true);
  Exec("DELETE FROM messages_archive");
  EXPECT_EQ(Details(Run(kReconcileMessageCount)), "ok: 1 drifted, 0 unclear of 1");
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, last_success_at) "
      "VALUES ('purge', 'archive_purge', 'manual', now())");
  EXPECT_EQ(Details(Run(kReconcileMessageCount)), "ok: 0 drifted, 1 unclear of 1");
}

TEST_F(ReconcileTest, WithTriggersOfTheDocumentItCountsLiveAndAsksBeforeItTouches) {
  Chat(1, 3);
  Archive(1, false);
  Exec(
      "DROP TRIGGER update_message_count_trigger ON messages; CREATE TRIGGER "
      "update_message_count_trigger AFTER INSERT OR DELETE ON messages FOR EACH ROW EXECUTE "
      "FUNCTION update_message_count(); DROP TRIGGER update_chat_sessions_updated_at ON "
      "chat_sessions; CREATE TRIGGER update_chat_sessions_updated_at BEFORE UPDATE ON "
      "chat_sessions FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()");
  EXPECT_EQ(Details(Run(kReconcileMessageCount)), "ok: 0 drifted, 0 unclear of 1");
  Exec(
      "ALTER TABLE chat_sessions DISABLE TRIGGER USER; UPDATE chat_sessions SET message_count = 7, "
      "updated_at = '2020-01-01'; ALTER TABLE chat_sessions ENABLE TRIGGER USER");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).Text(),
            "error  correcting a chat would change its updated_at: triggers without the guard on "
            "public.chat_sessions: update_chat_sessions_updated_at");
  EXPECT_EQ(Counts(), "7");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}, {"allow_touch", "true"}}).Text(), "ok");
  EXPECT_EQ(Counts(), "2");
  EXPECT_EQ(Value("SELECT updated_at > now() - interval '1 hour' FROM chat_sessions"), "t");
}

// A condition that only mentions the setting is no guard.
TEST_F(ReconcileTest, AGuardIsTheConditionAndNotAWordInIt) {
  Chat(1, 3);
  Exec(
      "DROP TRIGGER update_message_count_trigger ON messages; CREATE TRIGGER "
      "update_message_count_trigger AFTER INSERT OR DELETE ON messages FOR EACH ROW WHEN "
      "(current_setting('pgsteward.archiving', true) = 'on') EXECUTE FUNCTION "
      "update_message_count(); CREATE TRIGGER touch BEFORE UPDATE ON chat_sessions FOR EACH ROW "
      "WHEN (current_setting('pgsteward.archiving', true) = 'on') EXECUTE FUNCTION "
      "update_updated_at_column()");
  EXPECT_EQ(DryRun(kReconcileMessageCount).report.plan.front(),
            "message_count should be the number of live messages");
  Exec("UPDATE chat_sessions SET message_count = 9");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).Text(),
            "error  correcting a chat would change its updated_at: triggers without the guard on "
            "public.chat_sessions: touch");
  Exec("DROP TRIGGER touch ON chat_sessions");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).Text(), "ok");
  EXPECT_EQ(Counts(), "3");
}

TEST_F(ReconcileTest, GoesOnWhereTheLastRunStopped) {
  for (int n = 1; n <= 5; ++n) Chat(n, 1);
  Exec(
      "INSERT INTO pgsteward.job_state (job, type, timetable, memory) VALUES "
      "('reconcile_message_count', 'reconcile_message_count', 'manual', '{\"kept\": \"1\"}');"
      "UPDATE chat_sessions SET message_count = 9");
  const std::map<std::string, std::string> options = {{"max_chats", "2"}, {"fix", "true"}};
  EXPECT_EQ(Details(Run(kReconcileMessageCount, options)), "ok: 2 drifted, 0 unclear of 2");
  EXPECT_EQ(Counts(), "1 1 9 9 9");
  EXPECT_EQ(Details(Run(kReconcileMessageCount, options)), "ok: 2 drifted, 0 unclear of 2");
  const RunResult last = Run(kReconcileMessageCount, options);
  EXPECT_EQ(Details(last), "ok: 1 drifted, 0 unclear of 1");
  EXPECT_EQ(last.report.details.at("whole_table_seen"), "true");
  EXPECT_EQ(Counts(), "1 1 1 1 1");
  EXPECT_EQ(Value("SELECT memory FROM pgsteward.job_state"),
            "{\"kept\": \"1\", \"cursor\": \"00000000-0000-0000-0000-000000000000\"}");
  EXPECT_EQ(Details(Run(kReconcileMessageCount, options)), "ok: 0 drifted, 0 unclear of 2");
}

TEST_F(ReconcileTest, AChatThatSomebodyWritesIntoWaitsForTheNextRun) {
  Chat(1, 1);
  Chat(2, 1);
  Exec("UPDATE chat_sessions SET message_count = 9");
  PgClient writer = Connect();
  writer.Exec("BEGIN; INSERT INTO messages (session_id, user_id, content) VALUES (" + Id(1) + ", " +
              Id(0) + ", 'in flight')");
  const RunResult run = Run(kReconcileMessageCount, {{"fix", "true"}});
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(run.report.rows_done, 1);
  EXPECT_EQ(run.report.rows_skipped, 1);
  writer.Exec("COMMIT");
  EXPECT_EQ(Counts(), "10 1");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).report.rows_done, 1);
  EXPECT_EQ(Counts(), "2 1");
}

// A message that is written while its chat is being put right is neither lost nor counted twice.
TEST_F(ReconcileTest, WritersDoNotLoseTheirCount) {
  for (int n = 1; n <= 4; ++n) Chat(n, 20);
  std::atomic<bool> stop = false;
  std::vector<std::thread> writers;
  for (int writer = 1; writer <= 2; ++writer) {
    writers.emplace_back([&, writer] {
      PgClient client = Connect();
      for (int round = 0; !stop; ++round) {
        client.Exec("INSERT INTO messages (session_id, user_id, content) VALUES (" +
                    Id(1 + (writer + round) % 4) + ", " + Id(0) + ", 'x')");
      }
    });
  }
  long long fixed = 0;
  for (int round = 0; round < 15; ++round) {
    Exec("UPDATE chat_sessions SET message_count = message_count + 1000");
    fixed += Run(kReconcileMessageCount, {{"fix", "true"}, {"nice", "0"}}).report.rows_done;
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_GE(fixed, 4);
  // Rounds whose chats were held are left with their thousands; nothing else may be off.
  EXPECT_EQ(Value("SELECT count(*) FROM chat_sessions AS c WHERE (message_count - (SELECT count(*) "
                  "FROM messages WHERE session_id = c.id)) % 1000 <> 0"),
            "0");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).Text(), "ok");
  EXPECT_EQ(Value("SELECT sum(message_count) - (SELECT count(*) FROM messages) FROM chat_sessions"),
            "0");
}

TEST_F(ReconcileTest, WithoutTheGrantItFailsAndRecovers) {
  Chat(1, 1);
  Exec(
      "UPDATE chat_sessions SET message_count = 9;"
      "REVOKE UPDATE (message_count) ON chat_sessions FROM pgsteward_jobs");
  const std::string refused =
      "error 42501 role \"pgsteward_jobs\" may not write message_count of public.chat_sessions";
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).Text(), refused);
  EXPECT_EQ(DryRun(kReconcileMessageCount, {{"fix", "true"}}).Text(), refused);
  EXPECT_EQ(Run(kReconcileMessageCount).Text(), "ok");
  Exec("GRANT UPDATE (message_count) ON chat_sessions TO pgsteward_jobs");
  EXPECT_EQ(Run(kReconcileMessageCount, {{"fix", "true"}}).Text(), "ok");
  EXPECT_EQ(Counts(), "1");
}

}  // namespace
}  // namespace pgsteward
