// What the job does while others lock, edit, delete and end it. Each time: nothing is lost, doubled
// or changed, and it recovers.
#include "tests/jobs/archive/archive_fixture.h"

namespace pgsteward {
namespace {

class MessageArchiveFaultTest : public ArchiveTest {
 protected:
  // While test.slow has a row, storing a message takes half a minute.
  void SlowArchive() const {
    Exec(R"(CREATE TABLE test.slow (); INSERT INTO test.slow DEFAULT VALUES;
      CREATE FUNCTION test.sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM test.slow) THEN PERFORM pg_sleep(30); END IF; RETURN NEW; END $$;
      CREATE TRIGGER sleep BEFORE INSERT ON public.messages_archive FOR EACH ROW EXECUTE FUNCTION test.sleep())");
  }
  // While test.slow has a row, a batch pauses between reading old messages and locking them.
  void SlowHolds() const {
    Exec(R"(CREATE TABLE test.slow (); INSERT INTO test.slow DEFAULT VALUES;
      CREATE FUNCTION test.pause() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        WHILE EXISTS (SELECT FROM test.slow) LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN true; END $$;
      ALTER TABLE pgsteward.retention_hold RENAME TO real_hold;
      INSERT INTO pgsteward.real_hold (session_id, reason) VALUES (md5('none')::uuid, 'r');
      CREATE VIEW pgsteward.retention_hold AS SELECT * FROM pgsteward.real_hold WHERE test.pause())");
  }
};

TEST_F(MessageArchiveFaultTest, ACancelledStatementIsTriedAgain) {
  AddMessages(300, "2020-01-01");
  Remember();
  SlowArchive();
  std::thread other = When(kSleeping, [](PgClient& client) {
    client.Exec(
        "DELETE FROM test.slow; SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE "
        "wait_event = 'PgSleep'");
  });
  const RunResult run = Archive({{"batch_target_ms", "50"}});
  other.join();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 300");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, ATerminatedSessionLosesNothingAndTheNextRunGoesOn) {
  AddMessages(600, "2020-01-01");
  Remember();
  SlowArchive();
  Exec("DELETE FROM test.slow");
  // Two batches pass, the third is caught in mid-statement.
  std::thread other;
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches != 2) return;
    Exec("INSERT INTO test.slow DEFAULT VALUES");
    other = When(kSleeping, [](PgClient& client) {
      client.Exec(
          "DELETE FROM test.slow; SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
          "WHERE wait_event = 'PgSleep'");
    });
  };
  const std::map<std::string, std::string> options = {{"batch_rows", "100"},
                                                      {"batch_rows_most", "100"}};
  const RunResult run = Archive(options);
  other.join();
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(run.outcome.error().code, Errc::kConnectionLost);
  EXPECT_EQ(run.report.rows_done, 200);
  EXPECT_EQ(run.report.details.at("moved"), "200");
  EXPECT_EQ(Where(), "live 400 archived 200");
  EXPECT_EQ(Difference(), "");
  control_.on_progress = nullptr;
  EXPECT_EQ(Archive(options).Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 600");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, RowsThatOthersLockArePassedOver) {
  AddMessages(300, "2020-01-01");
  Remember();
  PgClient other = Connect();
  other.Exec("BEGIN; SELECT FROM public.messages ORDER BY created_at LIMIT 7 FOR UPDATE");
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(run.report.rows_skipped, 7);
  EXPECT_EQ(run.report.rows_done, 293);
  EXPECT_EQ(Where(), "live 7 archived 293");
  other.Exec("COMMIT");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 300");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, AUserWhoIsLockedKeepsOnlyFewMessagesBack) {
  AddMessages(1000, "2020-01-01");
  // The foreign key of the archive waits for this lock.
  Exec("UPDATE public.messages SET user_id = md5('user1')::uuid");
  Exec(
      "UPDATE public.messages SET user_id = md5('user2')::uuid WHERE id IN (SELECT id FROM "
      "public.messages ORDER BY created_at LIMIT 1 OFFSET 500)");
  Remember();
  PgClient other = Connect();
  other.Exec("BEGIN; SELECT FROM public.users WHERE id = md5('user2')::uuid FOR UPDATE");
  const RunResult run = Archive({{"batch_target_ms", "50"}});
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_LE(run.report.rows_skipped, 100);
  EXPECT_GE(run.report.rows_done, 900);
  EXPECT_EQ(Difference(), "");
  other.Exec("COMMIT");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 1000");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, EditsAndDeletionsBetweenReadingAndLockingAreKept) {
  AddMessages(20, "2020-01-01");
  SlowHolds();
  std::thread other = When(kSleeping, [](PgClient& client) {
    client.Exec(
        "UPDATE public.messages SET content = 'edited' WHERE created_at = '2020-01-01 00:03';"
        "UPDATE public.messages SET created_at = now() WHERE created_at = '2020-01-01 00:05';"
        "DELETE FROM public.messages WHERE created_at = '2020-01-01 00:07';"
        "INSERT INTO public.messages (session_id, content, created_at) VALUES "
        "(md5('chat1')::uuid, 'late', '2019-01-01');"
        "UPDATE public.messages SET content = 'moved on', session_id = md5('chat9')::uuid "
        "WHERE created_at = '2020-01-01 00:09'");
    client.Exec(std::string("INSERT INTO test.written ") + kRows);
    client.Exec("DELETE FROM test.slow");
  });
  const RunResult run = Archive();
  other.join();
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Difference(), "");
  // The three that had changed came along in the second pass, the one that is new now did not.
  EXPECT_EQ(Where(), "live 1 archived 19");
  EXPECT_EQ(Value("SELECT string_agg(content, ',' ORDER BY content) FROM public.messages_archive "
                  "WHERE content IN ('edited', 'late', 'moved on')"),
            "edited,late,moved on");
}

TEST_F(MessageArchiveFaultTest, OldMessagesThatArriveDuringTheRunAreNotLost) {
  AddMessages(400, "2020-01-01");
  int arrived = 0;
  control_.on_progress = [&](const JobReport&) {
    if (++arrived <= 3) AddMessages(10, "2019-01-01");
    if (arrived == 3) Remember();
  };
  const RunResult run = Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Where(), "live 30 archived 400");
  EXPECT_EQ(Difference(), "");
  control_.on_progress = nullptr;
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 430");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, AUserDeletedDuringTheRunIsGoneFromBothTables) {
  AddMessages(400, "2020-01-01");
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches == 2) Exec("DELETE FROM public.users WHERE id = md5('user1')::uuid");
  };
  const RunResult run = Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_all WHERE user_id = md5('user1')::uuid"),
            "0");
  EXPECT_EQ(std::to_string(run.report.rows_done - std::stoll(run.report.details.at("gone_since"))),
            Value("SELECT count(*) FROM public.messages_archive"));
}

TEST_F(MessageArchiveFaultTest, TwoArchiversOnTheSameDataShareIt) {
  AddMessages(3000, "2020-01-01");
  Remember();
  const auto archive = [this](long long& done, std::string& text) {
    Runtime runtime;
    JobSession db(runtime, Target());
    JobOptions options(kMessageArchive.options);
    options.Set("nice", "0");
    options.Set("batch_rows_most", "150");
    options.Set("vacuum", "false");
    FakeControl control;
    JobContext context{
        runtime, db, options, control, "message_archive", Value("SELECT gen_random_uuid()"), "UTC"};
    RunResult result;
    const auto both = [](JobContext& each, JobReport& report) -> Task<Result<void>> {
      auto opened = co_await each.db.Open();
      if (!opened) co_return opened;
      co_return co_await kMessageArchive.run(each, report);
    };
    result.outcome = RunCoro(runtime, both(context, result.report));
    done = result.report.rows_done;
    text = result.Text();
  };
  long long done[2] = {0, 0};
  std::string text[2];
  std::thread first([&] { archive(done[0], text[0]); });
  std::thread second([&] { archive(done[1], text[1]); });
  first.join();
  second.join();
  for (const std::string& each : text) {
    EXPECT_TRUE(each == "ok" || each.starts_with("partial skipped_locked")) << each;
  }
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(std::to_string(done[0] + done[1]),
            Value("SELECT count(*) FROM public.messages_archive"));
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 3000");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, ALostLeaseEndsTheRunBetweenBatches) {
  AddMessages(500, "2020-01-01");
  Remember();
  control_.lose_lease_at = 3;
  const RunResult run = Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}});
  EXPECT_EQ(run.Text(), "error  the lease is lost");
  EXPECT_EQ(run.outcome.error().code, Errc::kBusy);
  EXPECT_EQ(Where(), "live 300 archived 200");
  EXPECT_EQ(Difference(), "");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 500");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, AStopIsPartialAndTheNextRunGoesOn) {
  AddMessages(500, "2020-01-01");
  Remember();
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches == 2) control_.stop_reason = "window";
  };
  const RunResult run = Archive({{"batch_rows", "100"}, {"batch_rows_most", "100"}});
  EXPECT_EQ(run.Text(), "partial window");
  EXPECT_EQ(run.report.details.count("vacuum"), 0U);
  EXPECT_EQ(Where(), "live 300 archived 200");
  EXPECT_EQ(Difference(), "");
  control_.stop_reason.clear();
  control_.on_progress = nullptr;
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 500");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, RowsThatCannotBeStoredAreSetAside) {
  AddMessages(500, "2020-01-01");
  Exec(R"(ALTER TABLE public.messages_archive ADD CHECK (content <> 'unstorable');
    ALTER TABLE public.messages_archive ALTER user_id SET NOT NULL;
    UPDATE public.messages SET user_id = md5('user1')::uuid;
    UPDATE public.messages SET content = 'unstorable' WHERE created_at = '2020-01-01 03:00';
    UPDATE public.messages SET user_id = NULL WHERE created_at = '2020-01-01 04:00';)");
  Remember();
  const RunResult run = Archive();
  EXPECT_EQ(run.Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(run.report.rows_quarantined, 2);
  EXPECT_EQ(Where(), "live 2 archived 498");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(
      Value("SELECT string_agg(reason, E'\\n' ORDER BY reason) FROM pgsteward.quarantine q JOIN "
            "public.messages m ON m.id::text = q.row_id AND q.target = 'public.messages'"),
      "the server refused it: SQLSTATE 23502, null value in column \"user_id\" of relation "
      "\"messages_archive\" violates not-null constraint\n"
      "the server refused it: SQLSTATE 23514, new row for relation \"messages_archive\" "
      "violates check constraint \"messages_archive_content_check\"");
  // The next run passes over them, and when they are taken off the list they go along.
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 2 archived 498");
  Exec(
      "ALTER TABLE public.messages_archive DROP CONSTRAINT messages_archive_content_check, "
      "ALTER user_id DROP NOT NULL; DELETE FROM pgsteward.quarantine");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Where(), "live 0 archived 500");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, ATriggerThatChangesWhatIsStoredMovesNothing) {
  AddMessages(150, "2020-01-01");
  Remember();
  Exec(R"(CREATE FUNCTION test.spoil() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN NEW.content := NEW.content || ' '; RETURN NEW; END $$;
    CREATE TRIGGER spoil BEFORE INSERT ON public.messages_archive FOR EACH ROW EXECUTE FUNCTION test.spoil())");
  const RunResult run = Archive();
  ASSERT_FALSE(run.outcome);
  EXPECT_EQ(run.outcome.error().message,
            "more than 100 messages cannot be stored in the archive, the last one because: it "
            "would not be what was written");
  EXPECT_EQ(Where(), "live 150 archived 0");
  EXPECT_EQ(Difference(), "");
  EXPECT_EQ(Value("SELECT DISTINCT reason FROM pgsteward.quarantine"),
            "the archive does not keep the message as it was written");
  Exec("DROP TRIGGER spoil ON public.messages_archive; DELETE FROM pgsteward.quarantine");
  EXPECT_EQ(Archive().Text(), "ok");
  EXPECT_EQ(Difference(), "");
}

TEST_F(MessageArchiveFaultTest, ATriggerThatKeepsMessagesIsNotAskedTwice) {
  AddMessages(100, "2020-01-01");
  Remember();
  Exec(
      R"(CREATE FUNCTION test.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER keep BEFORE DELETE ON public.messages FOR EACH ROW EXECUTE FUNCTION test.keep())");
  EXPECT_EQ(Archive().Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(Where(), "live 100 archived 0");
  EXPECT_EQ(Difference(), "");
}

}  // namespace
}  // namespace pgsteward
