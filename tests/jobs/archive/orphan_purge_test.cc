#include "tests/jobs/archive/purge_fixture.h"

namespace pgsteward {
namespace {

class OrphanPurgeTest : public PurgeTest {
 protected:
  const JobSpec& job_ = Spec("orphan_purge");
};

TEST_F(OrphanPurgeTest, FindsNoneUnderForeignKeys) {
  Archive(1, "2020-01-01 00:00:00+00", 3);
  EXPECT_EQ(MeasureBacklog(job_)->rows, 0);
  const RunResult run = Run(job_);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 0);
  EXPECT_EQ(
      DryRun(job_).report.plan,
      (std::vector<std::string>{
          "0 archived rows have lost what they belong to: of 0 the chat is gone, of 0 the user",
          "foreign keys to public.chat_sessions and public.users are in force"}));
  Exec("DELETE FROM public.users WHERE id = '" + User(1) + "'");
  EXPECT_EQ(Months(), "");
}

TEST_F(OrphanPurgeTest, ErasesWhatADeletedUserLeftInTheTableOfTheDocument) {
  Archive(1, "2020-01-01 00:00:00+00", 1500);
  Archive(2, "2020-02-01 00:00:00+00", 4);
  Archive(3, "2020-03-01 00:00:00+00", 5);
  // Of user 1, in a chat that stays; and of nobody. Each moment is one of a row of chat 1 too.
  Exec("UPDATE public.messages_archive SET user_id = '" + User(1) +
       "' WHERE created_at = "
       "'2020-02-01 01:00:00+00'; UPDATE public.messages_archive SET user_id = NULL WHERE "
       "created_at = '2020-02-01 02:00:00+00'");
  MakeLikeTable();
  EXPECT_EQ(MeasureBacklog(job_)->rows, 0);
  Exec("DELETE FROM public.users WHERE id = '" + User(1) + "'");
  Exec("DELETE FROM public.chat_sessions WHERE id = '" + Chat(3) + "'");
  Exec("INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" + Chat(3) + "', 'x')");
  EXPECT_EQ(MeasureBacklog(job_)->rows, 1506);
  EXPECT_EQ(DryRun(job_).report.plan,
            (std::vector<std::string>{
                "1501 archived rows have lost what they belong to: of 1500 the chat is gone, of "
                "1500 the user",
                "created from 2020-01-01 00:00:00+00 to 2020-03-03 11:00:00+00",
                "5 more stay: under a hold",
                "the archive lacks a foreign key to public.chat_sessions or public.users: there "
                "will be orphans again"}));
  BecomeJobsRole();
  RunResult run = Run(job_, {{"max_rows", "10"}});
  EXPECT_EQ(run.Text(), "partial rows: the limit of one run is reached");
  EXPECT_EQ(run.report.rows_done, 10);
  run = Run(job_);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 1491);
  EXPECT_EQ(Months(), "2020-02:3 2020-03:5");
  Exec("DELETE FROM pgsteward.retention_hold");
  EXPECT_EQ(Run(job_).report.rows_done, 5);
  EXPECT_EQ(Months(), "2020-02:3");
  EXPECT_EQ(MeasureBacklog(job_)->rows, 0);
}

TEST_F(OrphanPurgeTest, CountsOrphansPastAKeyThatWasNotValidated) {
  Archive(1, "2020-01-01 00:00:00+00", 3);
  MakeLikeTable();
  Exec("DELETE FROM public.users WHERE id = '" + User(1) +
       "';"
       "ALTER TABLE public.messages_archive ADD FOREIGN KEY (session_id) REFERENCES "
       "public.chat_sessions NOT VALID, ADD FOREIGN KEY (user_id) REFERENCES public.users NOT "
       "VALID");
  EXPECT_EQ(MeasureBacklog(job_)->rows, 3);
  EXPECT_EQ(Run(job_).report.rows_done, 3);
}

TEST_F(OrphanPurgeTest, DoesNothingWhereEverythingWouldBeAnOrphan) {
  Archive(1, "2020-01-01 00:00:00+00", 3);
  MakeLikeTable();
  Exec("DELETE FROM public.users");
  EXPECT_EQ(Run(job_).Text(),
            "skipped no_parents: public.users or public.chat_sessions is empty, so everything "
            "would be an orphan");
  EXPECT_EQ(Months(), "2020-01:3");
}

// A restore may begin between two batches.
TEST_F(OrphanPurgeTest, EndsWhereEverythingBecomesAnOrphan) {
  Archive(1, "2020-01-01 00:00:00+00", 700);
  Archive(2, "2021-01-01 00:00:00+00", 700);
  MakeLikeTable();
  Exec("SET session_replication_role = replica; DELETE FROM public.users WHERE id = '" + User(1) +
       "'");
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.batches == 1) {
      Exec(
          "CREATE TABLE public.kept AS TABLE public.users; SET session_replication_role = "
          "replica; DELETE FROM public.users");
    }
  };
  const RunResult run = Run(job_, {{"batch_target_ms", "10000"}, {"nice", "0"}});
  EXPECT_EQ(run.Text(),
            "partial no_parents: public.users or public.chat_sessions is empty, so everything "
            "would be an orphan");
  EXPECT_EQ(run.report.rows_done, 500);
  control_.on_progress = nullptr;
  Exec("INSERT INTO public.users SELECT * FROM public.kept");
  EXPECT_EQ(Run(job_).report.rows_done, 200);
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive"), "700");
}

TEST_F(OrphanPurgeTest, WalksAPartitionedArchive) {
  Archive(1, "2020-01-30 00:00:00+00", 100);
  Archive(2, "2020-01-30 00:30:00+00", 100);
  Partition();
  // Past the foreign keys, as a superuser's replica role goes.
  Exec("SET session_replication_role = replica; DELETE FROM public.chat_sessions WHERE id = '" +
       Chat(1) + "'");
  const RunResult run = Run(job_);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 100);
  EXPECT_EQ(Months(), "2020-01:48 2020-02:52");
}

}  // namespace
}  // namespace pgsteward
