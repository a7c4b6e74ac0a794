// The document's archive script has these faults, each reproduced once; ours has none of them.
//
//   A1  CREATE TABLE without IF NOT EXISTS: the second run fails for ever
//   A2  a crash after the INSERT: the next INSERT fails, its DELETE still runs, messages are gone
//   A3  an edit or an import between INSERT and DELETE is deleted without being archived
//   A4  ON CONFLICT DO NOTHING: a message that is in the archive with other content is deleted
//   A5  SELECT *: a new column breaks the job, columns in another order are mixed up
//   A6  LIKE INCLUDING ALL copies the full-text index and no foreign key, trigger, policy or right
//   A7  no foreign key: a deleted user's archived messages stay
//   A8  CURRENT_DATE is another moment in each session's time zone
//   A9  CURRENT_DATE is asked twice: after midnight more is deleted than was inserted
//   A10 is about logins: session_cleanup
//   A11 one DELETE for all holds every lock until the end
//   A12 the index on created_at must be used
//   A13 user_stats and message_count shrink without a word
//   F4  the trigger moves updated_at of every old chat to now, and message_count to 0
//   F6  what it has moved cannot be restored afterwards
//   F7  the trigger needs rights that the archiving role lacks, and fails in the middle
//   F9  a very long message cannot be stored because of the copied full-text index
#include "tests/jobs/archive/archive_fixture.h"

namespace pgsteward {
namespace {

class MessageArchiveDefectsTest : public ArchiveTest {
 protected:
  // The archive as the document makes it.
  void DocumentedArchive() const {
    Exec(
        "DROP VIEW public.messages_all; DROP TABLE public.messages_archive;"
        "CREATE TABLE public.messages_archive (LIKE public.messages INCLUDING ALL)");
  }
  void DocumentedTrigger() const {
    Exec(R"(DROP TRIGGER update_message_count_trigger ON public.messages;
      CREATE TRIGGER update_message_count_trigger AFTER INSERT OR DELETE ON public.messages
        FOR EACH ROW EXECUTE FUNCTION public.update_message_count();)");
  }
  std::string Chats() const {
    return Value(
        "SELECT string_agg(message_count || ' ' || (updated_at AT TIME ZONE "
        "'UTC')::date, ', ' ORDER BY title, id) FROM public.chat_sessions WHERE id IN "
        "(md5('chat1')::uuid, md5('chat2')::uuid)");
  }
  void AgeChats() const {
    Exec(
        "SET pgsteward.archiving = 'on';"
        "UPDATE public.chat_sessions SET updated_at = '2020-01-01 12:00 UTC'");
  }
};

TEST_F(MessageArchiveDefectsTest, A1ARunAfterAnotherWorks) {
  DocumentedArchive();
  for (int day = 1; day <= 3; ++day) {
    AddMessages(10, "2020-01-0" + std::to_string(day));
    Remember();
    EXPECT_EQ(Archive().Text(), "ok");
    EXPECT_EQ(Difference(), "");
    EXPECT_EQ(Where(), "live 0 archived " + std::to_string(10 * day));
  }
}

TEST_F(MessageArchiveDefectsTest, A2WhatAScriptInsertedAndDidNotDeleteIsNotDoubled) {
  AddMessages(100, "2020-01-01");
  Remember();
  // The script ended here; seven more messages have become old since.
  Exec("INSERT INTO public.messages_archive SELECT * FROM public.messages");
  AddMessages(7, "2020-02-01");
  Exec("DELETE FROM test.written");
  Exec("INSERT INTO test.written SELECT id, ROW(m.*)::text FROM public.messages m");
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 107);
  EXPECT_EQ(run.report.details.at("stored_already"), "100");
  EXPECT_EQ(run.report.details.at("verified"), "7");
  EXPECT_EQ(Where(), "live 0 archived 107");
  EXPECT_EQ(Difference(), "");
}

// A3 in the middle of a statement: EditsAndDeletionsBetweenReadingAndLockingAreKept.
TEST_F(MessageArchiveDefectsTest, A3EditsAndImportsBetweenTwoBatchesAreNotLost) {
  AddMessages(300, "2020-01-01");
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches != 1) return;
    Exec("UPDATE public.messages SET content = 'v2' WHERE created_at = '2020-01-01 04:00'");
    AddMessages(1, "2020-01-01 04:30:30", "0 days");
    Remember();
  };
  EXPECT_EQ(Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}}).Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 301");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, A4AMessageThatIsArchivedWithOtherContentStays) {
  AddMessages(500, "2020-01-01");
  Exec(
      "INSERT INTO public.messages_archive SELECT id, session_id, user_id, 'other', is_from_user, "
      "metadata, created_at FROM public.messages WHERE created_at IN ('2020-01-01 01:00', "
      "'2020-01-01 05:00');"
      // Equal as JSON, not as it was written.
      "UPDATE public.messages SET metadata = '{\"a\": 1.0}' WHERE created_at = '2020-01-01 06:00';"
      "INSERT INTO public.messages_archive SELECT id, session_id, user_id, content, is_from_user, "
      "'{\"a\": 1.00}', created_at FROM public.messages WHERE created_at = '2020-01-01 06:00'");
  Remember();
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(run.report.rows_quarantined, 3);
  EXPECT_EQ(run.report.rows_done, 497);
  EXPECT_EQ(Where(), "live 3 archived 500");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(Value("SELECT string_agg(DISTINCT job || ': ' || reason, ',') FROM "
                  "pgsteward.quarantine WHERE run_id = '" +
                  run_id_ + "'"),
            "message_archive: the archive holds another message with this id");
}

TEST_F(MessageArchiveDefectsTest, A5AColumnThatTheArchiveLacksIsAnErrorBeforeTheFirstMove) {
  AddMessages(10, "2020-01-01");
  Exec("ALTER TABLE public.messages ADD tokens int");
  const RunResult run = Archive();
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(ToText(run.outcome.error()),
            "public.messages_archive has no column \"tokens\"; hint: ALTER TABLE "
            "public.messages_archive ADD COLUMN \"tokens\" integer.");
  EXPECT_EQ(Where(), "live 10 archived 0");
  Exec("ALTER TABLE public.messages_archive ADD COLUMN \"tokens\" integer");
  EXPECT_EQ(Archive().Text(), "ok");
}

TEST_F(MessageArchiveDefectsTest, A5ColumnsOfOneTypeInAnotherOrderAreNotMixedUp) {
  Exec(
      "ALTER TABLE public.messages ADD model text, ADD tokens text;"
      "ALTER TABLE public.messages_archive ADD tokens text, ADD model text");
  AddMessages(10, "2020-01-01");
  Exec("UPDATE public.messages SET model = 'gpt', tokens = '12'");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Value("SELECT DISTINCT model || ' ' || tokens FROM public.messages_archive"), "gpt 12");
}

TEST_F(MessageArchiveDefectsTest, A6AndA7WhatTheCopiedTableLacksIsSaid) {
  DocumentedArchive();
  std::string warnings;
  for (const std::string& line : PlanArchive().report.plan) {
    if (line.starts_with("warning: ")) warnings += line.substr(9, line.find(';') - 9) + "\n";
  }
  EXPECT_EQ(warnings,
            "public.messages_archive lacks archived_at (timestamptz) or archive_run (uuid): what a "
            "run moved cannot be told from the rest afterwards\n"
            "index \"messages_archive_to_tsvector_idx\" of public.messages_archive is over an "
            "expression: it makes moving slower, and a full-text one refuses very long messages\n"
            "public.messages_archive has no foreign key on \"session_id\" with ON DELETE CASCADE: "
            "archived messages stay when what they belong to in public.chat_sessions is deleted\n"
            "public.messages_archive has no foreign key on \"user_id\" with ON DELETE CASCADE: "
            "archived messages stay when what they belong to in public.users is deleted\n");
}

TEST_F(MessageArchiveDefectsTest, A7ADeletedUsersArchivedMessagesAreGone) {
  AddMessages(100, "2020-01-01");
  EXPECT_EQ(Archive().Text(), "ok");
  Exec("DELETE FROM public.users WHERE id = md5('user1')::uuid");
  EXPECT_EQ(
      Value("SELECT count(*) FROM public.messages_archive WHERE user_id = md5('user1')::uuid"),
      "0");
}

TEST_F(MessageArchiveDefectsTest, A8AndA9TheCutoffIsOneMomentInEverySessionsZone) {
  std::string cutoffs;
  for (const char* zone : {"Pacific/Kiritimati", "UTC", "Etc/GMT+12"}) {
    Exec("ALTER DATABASE " + hub_ + " SET TimeZone = '" + zone + "'");
    const RunResult run = PlanArchive();
    EXPECT_EQ(run.Text(), "ok");
    cutoffs += run.report.cutoff + "\n";
  }
  const std::string cutoff = Value(
                                 "SELECT set_config('TimeZone', 'UTC', false) || ' ' || "
                                 "(date_trunc('day', now() AT TIME ZONE "
                                 "'UTC') - interval '1 year')::text || '+00'")
                                 .substr(4);
  EXPECT_EQ(cutoffs, cutoff + "\n" + cutoff + "\n" + cutoff + "\n");
}

TEST_F(MessageArchiveDefectsTest, A11NoBatchHoldsTheLocksOfAnother) {
  AddMessages(1000, "2020-01-01");
  Remember();
  long long most_locked = 0;
  control_.on_progress = [&](const JobReport&) {
    // Between batches nothing is locked: everybody may change every message.
    PgClient other = Connect();
    other.Exec("SET lock_timeout = '1s'; BEGIN");
    other.Exec("SELECT FROM public.messages FOR UPDATE NOWAIT");
    other.Exec("SELECT FROM public.chat_sessions FOR UPDATE NOWAIT");
    other.Exec("ROLLBACK");
    ++most_locked;
  };
  const RunResult run = Archive({{"batch_rows_most", "300"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(most_locked, run.report.batches);
  EXPECT_GE(run.report.batches, 4);
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, A12EachBatchFindsItsRowsByTheIndex) {
  AddMessages(5000, Value("SELECT now() - interval '100 days'"));
  AddMessages(2000, "2020-01-01");
  Exec("ANALYZE public.messages");
  const auto read = [&] {
    Exec("SELECT pg_stat_force_next_flush()");
    return std::stoll(Value("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'messages'"));
  };
  const long long before = read();
  EXPECT_EQ(Archive({{"batch_rows_most", "250"}, {"vacuum", "false"}}).Text(), "ok");
  // Sessions report when they end.
  WaitFor("SELECT n_tup_del >= 2000 FROM pg_stat_user_tables WHERE relname = 'messages'");
  EXPECT_EQ(read(), before);
}

TEST_F(MessageArchiveDefectsTest, A13ThePlanSaysWhatLiveCountsMean) {
  AddMessages(10, "2020-01-01");
  const auto plan = PlanArchive().report.plan;
  EXPECT_NE(std::find(plan.begin(), plan.end(),
                      "trigger mode guard (detected): triggers pass over moved messages: "
                      "message_count stays the count of all messages ever written, updated_at "
                      "stays; the job reconcile_message_count counts live ones"),
            plan.end());
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_all"), "10");
}

TEST_F(MessageArchiveDefectsTest, F4AndF6GuardedTriggersLeaveTheChatsAlone) {
  AddMessages(20, "2020-01-01");
  AgeChats();
  EXPECT_EQ(Chats(), "2 2020-01-01, 2 2020-01-01");
  Remember();
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Chats(), "2 2020-01-01, 2 2020-01-01");
  EXPECT_EQ(Where(), "live 0 archived 20");
  EXPECT_EQ(Difference(), "");
  // The guard ended with its transaction.
  AddMessages(10, "2024-01-01");
  EXPECT_EQ(Value("SELECT sum(message_count) FROM public.chat_sessions"), "30");
}

TEST_F(MessageArchiveDefectsTest, F4TheDocumentedTriggerIsRespectedAndExplained) {
  DocumentedTrigger();
  AddMessages(2000, "2020-01-01");
  AddMessages(20, Value("SELECT now() - interval '10 days'"));
  AgeChats();
  Remember();
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("trigger_mode"), "respect");
  EXPECT_EQ(Miscounted(), "");
  EXPECT_EQ(
      Value(
          "SELECT count(*) FROM public.chat_sessions WHERE updated_at > now() - interval '1 hour'"),
      "10");
  EXPECT_EQ(Where(), "live 20 archived 2000");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, F4ChatsThatSomebodyHoldsArePassedOverWithTheTrigger) {
  DocumentedTrigger();
  AddMessages(100, "2020-01-01");
  Remember();
  PgClient other = Connect();
  other.Exec("BEGIN; UPDATE public.chat_sessions SET title = 't' WHERE id = md5('chat1')::uuid");
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(run.report.rows_skipped, 10);
  EXPECT_EQ(Where(), "live 10 archived 90");
  other.Exec("COMMIT");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Miscounted(), "");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, F4StatementTriggersRunOnceForEachBatch) {
  Exec(R"(DROP TRIGGER update_message_count_trigger ON public.messages;
    CREATE TABLE test.fired (chats bigint);
    CREATE FUNCTION test.count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      UPDATE public.chat_sessions s SET message_count = message_count - d.n
      FROM (SELECT session_id, count(*) AS n FROM gone GROUP BY 1) d WHERE s.id = d.session_id;
      INSERT INTO test.fired SELECT count(DISTINCT session_id) FROM gone; RETURN NULL; END $$;
    CREATE TRIGGER count_deleted AFTER DELETE ON public.messages REFERENCING OLD TABLE AS gone
      FOR EACH STATEMENT EXECUTE FUNCTION test.count_deleted())");
  AddMessages(300, "2020-01-01");
  Exec("UPDATE public.chat_sessions SET message_count = 30");
  Remember();
  const RunResult run = Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("trigger_mode"), "statement");
  EXPECT_EQ(Value("SELECT string_agg(chats::text, ',') FROM test.fired"), "10,10,10");
  EXPECT_EQ(Miscounted(), "");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, F4ReplicaRunsNoTriggerAndLeavesNoOrphan) {
  DocumentedTrigger();
  AddMessages(100, "2020-01-01");
  AgeChats();
  Remember();
  // Somebody deletes a chat and has not said so yet: with foreign keys off its messages must stay.
  PgClient other = Connect();
  other.Exec("BEGIN; SELECT FROM public.chat_sessions WHERE id = md5('chat1')::uuid FOR UPDATE");
  const RunResult run = Archive({{"trigger_mode", "replica"}});
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(Where(), "live 10 archived 90");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(Chats(), "10 2020-01-01, 10 2020-01-01");
  other.Exec("DELETE FROM public.chat_sessions WHERE id = md5('chat1')::uuid; COMMIT");
  EXPECT_EQ(Archive({{"trigger_mode", "replica"}}).Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 90");
}

TEST_F(MessageArchiveDefectsTest, F4ReplicaNeedsTheRight) {
  user_ = "pgsteward_jobs";
  const RunResult run = Archive({{"trigger_mode", "replica"}});
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(run.outcome.error().message,
            "trigger_mode is replica, and the role may not set session_replication_role");
}

TEST_F(MessageArchiveDefectsTest, F7RightsThatTheTriggerNeedsAreAskedForBeforeTheFirstMove) {
  DocumentedTrigger();
  AddMessages(10, "2020-01-01");
  Exec("REVOKE UPDATE (message_count) ON public.chat_sessions FROM pgsteward_jobs");
  user_ = "pgsteward_jobs";
  const RunResult run = Archive();
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(ToText(run.outcome.error()),
            "role \"pgsteward_jobs\" may not count messages of public.chat_sessions, which the "
            "trigger does with the rights of the role; hint: GRANT SELECT, UPDATE (message_count, "
            "updated_at) ON public.chat_sessions TO \"pgsteward_jobs\"; or run "
            "schema/job_roles.sql.");
  EXPECT_EQ(Where(), "live 10 archived 0");
  Exec("GRANT UPDATE (message_count) ON public.chat_sessions TO pgsteward_jobs");
  EXPECT_EQ(Archive().Text(), "ok");
}

TEST_F(MessageArchiveDefectsTest, F9AVeryLongMessageIsArchivedWithoutAFullTextIndex) {
  Exec("DROP INDEX public.idx_messages_content_fts");
  AddMessages(100, "2020-01-01");
  // 1.3 MB in distinct words is more than a tsvector can hold.
  Exec(
      "INSERT INTO public.messages (session_id, content, created_at) SELECT md5('chat1')::uuid, "
      "string_agg(md5(n::text), ' '), '2020-01-01 00:30:30' FROM generate_series(1, 40000) n");
  Remember();
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 101");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, F9WithTheCopiedFullTextIndexOnlyThatMessageIsSetAside) {
  DocumentedArchive();
  Exec("DROP INDEX public.idx_messages_content_fts");
  AddMessages(100, "2020-01-01");
  Exec(
      "INSERT INTO public.messages (session_id, content, created_at) SELECT md5('chat1')::uuid, "
      "string_agg(md5(n::text), ' '), '2020-01-01 00:30:30' FROM generate_series(1, 40000) n");
  Remember();
  EXPECT_EQ(Archive().Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(Where(), "live 1 archived 100");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(Value("SELECT left(reason, 40) FROM pgsteward.quarantine"),
            "the server refused it: SQLSTATE 54000, s");
  Exec("DROP INDEX public.messages_archive_to_tsvector_idx; DELETE FROM pgsteward.quarantine");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 101");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveDefectsTest, RowLevelSecurityIsAnErrorAndNeverZeroRows) {
  AddMessages(10, "2020-01-01");
  Exec(
      "CREATE ROLE archive_norls LOGIN IN ROLE pgsteward_jobs;"
      "ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY");
  user_ = "archive_norls";
  const std::string refused =
      "row level security hides rows of public.messages from role \"archive_norls\"; hint: ALTER "
      "ROLE \"archive_norls\" BYPASSRLS.";
  EXPECT_EQ(ToText(Archive().outcome.error()), refused);
  EXPECT_EQ(ToText(PlanArchive().outcome.error()), refused);
  EXPECT_EQ(MeasureBacklog(kMessageArchive).error().sqlstate, "42501");
  EXPECT_EQ(Where(), "live 10 archived 0");
  Exec("ALTER ROLE archive_norls BYPASSRLS");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 10");
  Exec("DROP ROLE archive_norls");
}

TEST_F(MessageArchiveDefectsTest, RowsThatADeletionWouldTakeAlongAreAskedForBeforeTheFirstMove) {
  AddMessages(10, "2020-01-01");
  Exec("CREATE TABLE test.reaction (message uuid REFERENCES public.messages ON DELETE CASCADE)");
  const RunResult run = Archive();
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(run.outcome.error().message,
            "moving messages would delete rows of test.reaction (constraint "
            "\"reaction_message_fkey\")");
  EXPECT_EQ(Where(), "live 10 archived 0");
}

}  // namespace
}  // namespace pgsteward
