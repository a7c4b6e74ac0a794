// What a run may not take for granted from its first batch to its last.
#include "tests/jobs/archive/archive_fixture.h"

namespace pgsteward {
namespace {

class MessageArchiveTrustTest : public ArchiveTest {
 protected:
  const std::map<std::string, std::string> small_ = {{"batch_rows", "100"},
                                                     {"batch_rows_most", "100"}};
};

// A move with the old list of columns would leave the new one's values behind, and match.
TEST_F(MessageArchiveTrustTest, AColumnThatIsAddedBetweenTwoBatchesEndsTheRun) {
  AddMessages(300, "2020-01-01");
  Remember();
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches == 1) Exec("ALTER TABLE public.messages ADD COLUMN tokens int DEFAULT 7");
  };
  EXPECT_EQ(
      Archive(small_).Text(),
      "error  public.messages or public.messages_archive has got other columns or triggers since "
      "the run began");
  EXPECT_EQ(Where(), "live 200 archived 100");
  EXPECT_EQ(Difference(), "");
  control_.on_progress = nullptr;
  EXPECT_EQ(Archive().Text(), "error  public.messages_archive has no column \"tokens\"");
  Exec("ALTER TABLE public.messages_archive ADD COLUMN tokens int");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Value("SELECT count(tokens) || ' of ' || count(*) FROM public.messages_archive"),
            "200 of 300");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveTrustTest, AColumnWhoseTypeChangesInTheArchiveEndsTheRunToo) {
  AddMessages(300, "2020-01-01");
  Remember();
  Exec("DROP VIEW public.messages_all");
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches == 1) {
      Exec("ALTER TABLE public.messages_archive ALTER COLUMN created_at TYPE timestamptz(0)");
    }
  };
  EXPECT_EQ(
      Archive(small_).Text(),
      "error  public.messages or public.messages_archive has got other columns or triggers since "
      "the run began");
  EXPECT_EQ(Where(), "live 200 archived 100");
  control_.on_progress = nullptr;
  Exec("ALTER TABLE public.messages_archive ALTER COLUMN created_at TYPE timestamptz");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Difference(), "");
}

// A row's hash is computed once where nothing can have changed it: that must stay so.
TEST_F(MessageArchiveTrustTest, ATriggerThatComesBetweenTwoBatchesEndsTheRun) {
  AddMessages(300, "2020-01-01");
  Remember();
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches != 1) return;
    Exec(R"(CREATE FUNCTION test.cut() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.content := ''; RETURN NEW; END $$;
      CREATE TRIGGER cut BEFORE INSERT ON public.messages_archive FOR EACH ROW
        EXECUTE FUNCTION test.cut())");
  };
  EXPECT_EQ(Archive(small_).Text(),
            "error  public.messages or public.messages_archive has got other columns or triggers "
            "since the run began");
  EXPECT_EQ(Where(), "live 200 archived 100");
  control_.on_progress = nullptr;
  // Known from the beginning it is found out by the hash of what was stored.
  Exec("DELETE FROM public.messages WHERE created_at > '2020-01-01 02:00'");
  Remember();
  EXPECT_EQ(Archive().report.rows_quarantined, 19);
  EXPECT_EQ(Difference(), "");
  Exec("DROP TRIGGER cut ON public.messages_archive; DELETE FROM pgsteward.quarantine");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Difference(), "");
}

// Where triggers run, public is in the search path, and a function with fitting types would win.
TEST_F(MessageArchiveTrustTest, FunctionsThatSomebodyPutIntoPublicAreNotCalled) {
  AddMessages(100, "2020-01-01");
  Remember();
  Exec(R"(
    CREATE FUNCTION public.planted() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
      RAISE EXCEPTION 'planted'; END $$;
    CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE sql AS
      $$ SELECT length(public.planted())::bigint $$;
    CREATE FUNCTION public.mod(numeric, bigint) RETURNS numeric LANGUAGE sql AS
      $$ SELECT length(public.planted())::numeric $$;
    CREATE FUNCTION public.format(text, name, name, oid, integer, "char") RETURNS text LANGUAGE sql AS
      $$ SELECT public.planted() $$;
    CREATE FUNCTION public.least(timestamptz, timestamptz) RETURNS timestamptz LANGUAGE sql AS
      $$ SELECT public.planted()::timestamptz $$;
    CREATE FUNCTION public.joined(name, text) RETURNS text LANGUAGE sql AS
      $$ SELECT public.planted() $$;
    CREATE OPERATOR public.|| (LEFTARG = name, RIGHTARG = text, FUNCTION = public.joined);
  )");
  const RunResult run = Archive({{"trigger_mode", "respect"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 100");
  EXPECT_EQ(Difference(), "");
}

// The words of the reason are a service: they must not keep a message from being set aside.
TEST_F(MessageArchiveTrustTest, AMessageIsSetAsideAlsoWhenTheReasonCannotBeLookedUp) {
  AddMessages(3, "2020-01-01");
  Exec(
      "INSERT INTO public.messages_archive (id, session_id, content, is_from_user, created_at) "
      "SELECT id, session_id, 'other', true, created_at FROM public.messages ORDER BY created_at "
      "LIMIT 1");
  PgClient other = Connect();
  control_.on_fence = [&](JobSession&) -> Task<void> {
    // The second is that of the quarantine.
    if (control_.fences == 2) other.Exec("BEGIN; LOCK TABLE public.messages_archive");
    if (control_.fences == 3) other.Exec("ROLLBACK");
    co_return;
  };
  EXPECT_EQ(Archive({{"batch_rows", "1"}, {"batch_rows_most", "1"}}).Text(),
            "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(Value("SELECT reason FROM pgsteward.quarantine"),
            "the archive does not keep the message as it was written");
  EXPECT_EQ(Where(), "live 1 archived 3");
  control_.on_fence = nullptr;
  Exec("DELETE FROM pgsteward.quarantine");
  Archive();
  EXPECT_EQ(Value("SELECT reason FROM pgsteward.quarantine"),
            "the archive holds another message with this id");
}

// Without an index on created_at each batch may take a minute. Sleeps for six seconds: longer than
// a batch with an index may take.
TEST_F(MessageArchiveTrustTest, WithoutAnIndexABatchMayTakeLonger) {
  AddMessages(1, "2020-01-01");
  Remember();
  Exec(R"(
    DO $$ DECLARE i regclass; BEGIN
      FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'public.messages'::regclass
               AND pg_get_indexdef(indexrelid) ~ '\(created_at' LOOP
        EXECUTE 'DROP INDEX ' || i; END LOOP; END $$;
    CREATE FUNCTION test.sleep() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(6); RETURN NEW; END $$;
    CREATE TRIGGER sleep BEFORE INSERT ON public.messages_archive FOR EACH ROW
      EXECUTE FUNCTION test.sleep()
  )");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 1");
  EXPECT_EQ(Difference(), "");
}

// The limit is of messages that move: those under a hold are passed over in large steps.
TEST_F(MessageArchiveTrustTest, ALimitOfRowsDoesNotMakeTheWayThroughHeldOnesLong) {
  AddMessages(1000, "2020-01-01");
  Exec(
      "INSERT INTO pgsteward.retention_hold (session_id, reason) SELECT id, 'r' FROM "
      "public.chat_sessions WHERE id <> md5('chat10')::uuid");
  const RunResult run = Archive({{"max_rows", "3"}, {"batch_rows", "500"}});
  EXPECT_EQ(run.Text(), "partial rows: the limit of one run is reached");
  EXPECT_EQ(run.report.batches, 1);
  EXPECT_EQ(Where(), "live 997 archived 3");
  EXPECT_EQ(Archive().report.rows_done, 97);
  EXPECT_EQ(Archive().report.details.at("passed_over"), "900");
}

// Statistics of the archive need rights on the archive, and the server only warns.
TEST_F(MessageArchiveTrustTest, WhatWasNotAnalyzedIsNotSaidToBe) {
  user_ = "pgsteward_jobs";
  Exec(
      "GRANT CREATE ON SCHEMA public TO pgsteward_jobs; ALTER TABLE public.messages OWNER TO "
      "pgsteward_jobs");
  AddMessages(10, "2020-01-01");
  RunResult run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("vacuum"), "done");
  EXPECT_EQ(run.report.details.at("analyze"),
            "not done: role pgsteward_jobs may not vacuum public.messages_archive");
  Exec("ALTER TABLE public.messages_archive OWNER TO pgsteward_jobs");
  AddMessages(10, "2020-02-01");
  run = Archive();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("analyze"), "done");
}

}  // namespace
}  // namespace pgsteward
