// What the job does when nobody interferes.
#include <gmock/gmock.h>

#include "tests/jobs/archive/archive_fixture.h"

namespace pgsteward {
namespace {

using ::testing::ElementsAre;

class MessageArchiveTest : public ArchiveTest {};

TEST_F(MessageArchiveTest, MovesWhatIsOlderThanAYearAndNothingElse) {
  AddMessages(1000, "2021-03-01");
  AddMessages(500, Value("SELECT now() - interval '300 days'"));
  Remember();
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Where(), "live 500 archived 1000");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(run.report.rows_done, 1000);
  EXPECT_EQ(run.report.rows_skipped, 0);
  EXPECT_EQ(run.report.rows_quarantined, 0);
  EXPECT_GT(run.report.batches, 1);
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive WHERE archive_run = '" + run_id_ +
                  "' AND archived_at > now() - interval '1 minute'"),
            "1000");
  const auto& details = run.report.details;
  EXPECT_EQ(details.at("trigger_mode"), "guard");
  EXPECT_EQ(details.at("moved"), "1000");
  EXPECT_EQ(details.at("stored"), "1000");
  EXPECT_EQ(details.at("verified"), "1000");
  EXPECT_EQ(details.at("vacuum"), "done");
  EXPECT_EQ(details.at("moved_checksum"), details.at("stored_checksum"));
  // The checksum is of the rows, in no order, as anybody can compute it.
  EXPECT_EQ(details.at("moved_checksum"),
            Value("SELECT lpad(to_hex((s - CASE WHEN s >= 9223372036854775808 THEN "
                  "18446744073709551616 ELSE 0 END)::bigint), 16, '0') FROM (SELECT mod(mod(sum("
                  "hashtextextended(ROW(id, session_id, user_id, content, is_from_user, metadata, "
                  "created_at)::text, 0)), 18446744073709551616) + 18446744073709551616, "
                  "18446744073709551616) AS s FROM public.messages_archive) x"));
  // The last, empty batch, VACUUM and ANALYZE.
  EXPECT_EQ(control_.fences, run.report.batches + 3);
  // Nothing is left to do, and doing it changes nothing.
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveTest, TheLeastRightsAreEnough) {
  user_ = "pgsteward_jobs";
  AddMessages(300, "2021-03-01");
  Remember();
  for (const char* mode : {"guard", "respect"}) {
    EXPECT_EQ(Archive({{"trigger_mode", mode}, {"max_rows", "150"}, {"batch_rows", "50"}}).Text(),
              "partial rows: the limit of one run is reached");
    EXPECT_EQ(Difference(), "");
  }
  EXPECT_EQ(Where(), "live 0 archived 300");
}

TEST_F(MessageArchiveTest, TheCutoffIsMidnightInThePolicysZoneWhateverTheSessionsZone) {
  time_zone_ = "America/Santiago";
  Exec("ALTER DATABASE " + hub_ + " SET TimeZone = 'Pacific/Kiritimati'");
  const std::string midnight = Value(
      "SELECT (date_trunc('day', now() AT TIME ZONE 'America/Santiago') - interval '1 year') AT "
      "TIME ZONE 'America/Santiago'");
  for (const char* offset : {"-1 microsecond", "0", "1 microsecond"}) {
    Exec(
        "INSERT INTO public.messages (session_id, content, created_at) VALUES (md5('chat1')::uuid, "
        "'" +
        std::string(offset) + "', timestamptz '" + midnight + "' + interval '" + offset + "')");
  }
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Value("SELECT string_agg(content, ',') FROM public.messages_archive"),
            "-1 microsecond");
  EXPECT_EQ(Value("SELECT timestamptz '" + run.report.cutoff + "' = '" + midnight + "'"), "t");
}

TEST_F(MessageArchiveTest, ALeapDayIsTheLastOfFebruaryAYearBefore) {
  // What ReadCutoff() subtracts, for a day that the test cannot wait for.
  EXPECT_EQ(Value("SELECT (timestamp '2028-02-29' - interval '1 year') AT TIME ZONE 'UTC' = "
                  "'2027-02-28 00:00:00+00'"),
            "t");
  Exec(
      "INSERT INTO public.messages (session_id, content, created_at) VALUES "
      "(md5('chat1')::uuid, 'leap', '2024-02-29 23:59:59.999999+00')");
  Remember();
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Value("SELECT created_at AT TIME ZONE 'UTC' FROM public.messages_archive"),
            "2024-02-29 23:59:59.999999");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveTest, AnImportOfOneMomentIsWalkedThrough) {
  AddMessages(5000, "2020-01-01", "0 days");
  AddMessages(10, "2020-01-01");
  Remember();
  EXPECT_EQ(Archive({{"batch_rows", "60"}, {"batch_rows_most", "700"}}).Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 5010");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveTest, HostileAndHugeContentsStayAsTheyAre) {
  Exec(R"(DROP INDEX public.idx_messages_content_fts;
    INSERT INTO public.messages (session_id, content, metadata, created_at)
    SELECT md5('chat1')::uuid, c, m, '2020-01-01' FROM (VALUES
      ('', '{}'), (E'\x1b[2J\x07\t\r\n\\', '{"a": 1.0}'), ('''; DROP TABLE messages; --', '{"a": 1.00}'),
      ('(a,"b"")', NULL), (U&'\202E\FEFF\0001F600', 'null'), (repeat(md5('x'), 42000), '[]'),
      ('$1 %s {}', '"\\u0001"')) AS v (c, m_text), LATERAL (SELECT m_text::jsonb AS m) AS j)");
  Remember();
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 7");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveTest, OldestTimesOfAllAreMovedAndMissingOnesStay) {
  Exec(R"(INSERT INTO public.messages (session_id, content, created_at) VALUES
    (md5('chat1')::uuid, 'a', '-infinity'), (md5('chat1')::uuid, 'b', '0044-03-15 BC'),
    (md5('chat1')::uuid, 'c', NULL), (md5('chat1')::uuid, 'd', 'infinity'))");
  Remember();
  EXPECT_EQ(Archive({{"batch_rows", "1"}, {"batch_rows_most", "1"}}).Text(), "ok");
  EXPECT_EQ(Value("SELECT string_agg(content, ',' ORDER BY content) FROM public.messages_archive"),
            "a,b");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveTest, ColumnsComeFromTheCatalog) {
  Exec(R"(ALTER TABLE public.messages ADD gone int, ADD "Model ""x""" text, ADD tokens text,
      ADD words int GENERATED ALWAYS AS (length(content)) STORED;
    ALTER TABLE public.messages DROP gone;
    ALTER TABLE public.messages_archive ADD tokens text, ADD "Model ""x""" text, ADD words int;)");
  AddMessages(10, "2020-01-01");
  Exec(R"(UPDATE public.messages SET "Model ""x""" = 'gpt', tokens = '12')");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(
      Value(
          R"(SELECT string_agg(DISTINCT "Model ""x""" || tokens, ',') FROM public.messages_archive)"),
      "gpt12");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive WHERE words = length(content)"),
            "10");
}

TEST_F(MessageArchiveTest, HoldsOfChatsAuthorsAndOwnersAreHonoured) {
  AddMessages(400, "2020-01-01");
  Remember();
  Exec(R"(INSERT INTO pgsteward.retention_hold (session_id, user_id, until, reason) VALUES
    (md5('chat1')::uuid, NULL, 'infinity', 'r'), (NULL, md5('user2')::uuid, now() + interval '1 hour', 'r'),
    (md5('chat3')::uuid, NULL, now() - interval '1 hour', 'over'))");
  const std::string held =
      "session_id = md5('chat1')::uuid OR user_id = md5('user2')::uuid OR session_id IN (SELECT id "
      "FROM public.chat_sessions WHERE user_id = md5('user2')::uuid)";
  const std::string kept = Value("SELECT count(*) FROM public.messages WHERE " + held);
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("passed_over"), kept);
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages WHERE " + held), kept);
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages"), kept);
  EXPECT_EQ(Difference(), "");
  Exec("DELETE FROM pgsteward.retention_hold");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 400");
}

TEST_F(MessageArchiveTest, APartitionedArchiveGetsItsPartitions) {
  Exec(R"(DROP VIEW public.messages_all; DROP TABLE public.messages_archive;
    CREATE TABLE public.messages_archive (id uuid NOT NULL, session_id uuid NOT NULL, user_id uuid,
      content text NOT NULL, is_from_user boolean NOT NULL, metadata jsonb, created_at timestamptz NOT NULL,
      archived_at timestamptz NOT NULL DEFAULT now(), archive_run uuid,
      PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at))");
  AddMessages(100, "2001-02-01", "1 day");
  Exec(
      "INSERT INTO public.messages (session_id, content, created_at) VALUES (md5('chat1')::uuid, "
      "'never', '-infinity')");
  Remember();
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 1 archived 100");
  EXPECT_EQ(Difference(), "");
  // The same id under another time would be the message twice.
  Exec(
      "INSERT INTO public.messages SELECT id, session_id, user_id, content, is_from_user, "
      "metadata, "
      "created_at + interval '1 hour' FROM public.messages_archive LIMIT 1");
  Remember();
  EXPECT_EQ(Archive().Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(Value("SELECT reason FROM pgsteward.quarantine"),
            "the archive holds another message with this id");
}

TEST_F(MessageArchiveTest, ThePlanSaysWhatWouldHappenAndChangesNothing) {
  AddMessages(3, "2020-01-31 23:58");
  AddMessages(2, "2020-03-01");
  Exec(
      R"(INSERT INTO public.messages (session_id, content, created_at) VALUES (md5('chat1')::uuid, 'n', NULL);
    INSERT INTO public.messages_archive SELECT * FROM public.messages WHERE content = repeat('m2', 2) AND created_at > '2020-03-01';
    INSERT INTO public.messages_archive SELECT id, session_id, user_id, 'other', is_from_user, metadata, created_at FROM public.messages WHERE content = 'm1' AND created_at > '2020-03-01';
    INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES (md5('chat4')::uuid, 'r');
    DROP INDEX public.idx_messages_created_id;)");
  Remember();
  const RunResult run = PlanArchive({{"older_than", "18 months"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Difference(), "");
  const std::string bytes = run.report.details.at("expected_bytes");
  EXPECT_THAT(
      run.report.plan,
      ElementsAre(
          "cutoff " + run.report.cutoff + ": 18 months before today, midnight in UTC",
          "would move 4 messages from public.messages to public.messages_archive, about " + bytes +
              " bytes without indexes",
          "the old ones were created from 2020-01-31 23:59:00+00 to 2020-03-01 00:02:00+00",
          "  2020-01: 1 message", "  2020-02: 2 messages", "  2020-03: 2 messages",
          "kept by a hold: 1 message",
          "in the archive already as they are, will only leave public.messages: 1 message",
          "in the archive with other content, will stay and go to quarantine: 1 message",
          "without created_at, never old: 1 message",
          "trigger mode guard (detected): triggers pass over moved messages: message_count stays "
          "the count of all messages ever written, updated_at stays; the job "
          "reconcile_message_count counts live ones",
          "warning: no index on (created_at, id) of public.messages: rows with the same "
          "created_at, "
          "as of an import, are sorted anew by each batch; CREATE INDEX CONCURRENTLY "
          "idx_messages_created_id ON public.messages (created_at, id)."));
  EXPECT_EQ(run.report.details.at("expected_rows"), "4");
}

TEST_F(MessageArchiveTest, ThePlanOfNothing) {
  EXPECT_EQ(PlanArchive().report.plan.at(1), "no message is that old");
}

TEST_F(MessageArchiveTest, TheBacklogIsWhatARunWouldMove) {
  auto backlog = MeasureBacklog(kMessageArchive);
  ASSERT_TRUE(backlog) << ToText(backlog.error());
  EXPECT_EQ(backlog->rows, 0);
  EXPECT_EQ(backlog->oldest_age_s, 0);
  const std::string midnight = Value(
      "SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 year'");
  Exec(
      "INSERT INTO public.messages (id, session_id, content, created_at) SELECT "
      "md5(n::text)::uuid, "
      "md5('chat' || n)::uuid, '', timestamptz '" +
      midnight +
      "' - n * interval '100 s' FROM generate_series(1, 3) n;"
      "INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES (md5('chat3')::uuid, 'r')");
  backlog = MeasureBacklog(kMessageArchive);
  ASSERT_TRUE(backlog) << ToText(backlog.error());
  EXPECT_EQ(backlog->rows, 2);
  EXPECT_EQ(backlog->oldest_age_s, 200);
}

TEST_F(MessageArchiveTest, VacuumsDuringALongRunToo) {
  AddMessages(400, "2020-01-01");
  EXPECT_EQ(
      Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}, {"vacuum_every", "200"}}).Text(),
      "ok");
  int vacuums = 0;
  for (const std::string& note : control_.notes) vacuums += note == "vacuum public.messages";
  EXPECT_EQ(vacuums, 3) << ::testing::PrintToString(control_.notes);
}

}  // namespace
}  // namespace pgsteward
