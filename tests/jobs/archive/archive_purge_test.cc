#include "tests/jobs/archive/purge_fixture.h"

namespace pgsteward {
namespace {

using Options = std::map<std::string, std::string>;

class ArchivePurgeTest : public PurgeTest {
 protected:
  const JobSpec& job_ = Spec("archive_purge");

  // So that the cut-off is midnight (UTC) of `day` in whatever year the test runs.
  Options Since(const std::string& day, Options more = {}) const {
    more["older_than"] =
        Value("SELECT ((now() AT TIME ZONE 'UTC')::date - '" + day + "'::date) || ' days'");
    more.insert({"require_backup", "false"});
    return more;
  }
  // Rows of 2020-01 (5), 2020-02 (5), two before and three after 2020-03-15.
  void FillThreeMonths() const {
    Archive(1, "2020-01-10 00:00:00+00", 5);
    Archive(2, "2020-02-10 00:00:00+00", 5);
    Archive(3, "2020-03-14 22:00:00+00", 5);
  }
  std::string Detached() const {
    return Value(R"(
      SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class
      WHERE relname LIKE 'messages\_archive\_y%' AND relkind = 'r' AND NOT relispartition)");
  }
  std::string Pending() const {
    return Value(
        "SELECT coalesce(string_agg(inhrelid::regclass::text, ' '), '') FROM pg_inherits "
        "WHERE inhdetachpending");
  }
};

TEST_F(ArchivePurgeTest, HasNoAgeOfItsOwn) {
  const RunResult run = Run(job_, {{"require_backup", "false"}});
  EXPECT_EQ(run.Text(), "error  older_than is not set");
  EXPECT_EQ(run.outcome.error().code, Errc::kBadConfig);
  EXPECT_EQ(MeasureBacklog(job_)->rows, 0);
  EXPECT_TRUE(job_.needs_confirmation);
  JobOptions options(job_.options);
  EXPECT_EQ(options.WideningText(), "older_than=;require_backup=true");
}

TEST_F(ArchivePurgeTest, DestroysNothingThatNoProvenBackupHolds) {
  FillThreeMonths();
  const Options options = Since("2020-03-15", {{"require_backup", "true"}});
  EXPECT_EQ(Run(job_, options).Text(), "skipped no_backup: no backup is proven to be restorable");
  ProveBackup("'2020-03-14 00:00:00+00'");
  EXPECT_EQ(Run(job_, options).Text(),
            "skipped no_backup: the newest proven one covers rows until 2020-03-14 00:00:00+00, "
            "the cut-off is 2020-03-15 00:00:00+00");
  // A clock that is ahead proves nothing.
  ProveBackup("now() + interval '1 day'");
  EXPECT_EQ(Run(job_, options).report.status, RunStatus::kSkipped);
  EXPECT_EQ(Months(), "2020-01:5 2020-02:5 2020-03:5");

  ProveBackup("now()");
  Archive(1, "2001-05-05 00:00:00+00", 2);  // an import that no backup has seen
  EXPECT_EQ(DryRun(job_, options).report.plan[7], "2 rows of them stay: in no proven backup");
  const RunResult run = Run(job_, options);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 12);
  EXPECT_EQ(Months(), "2001-05:2 2020-03:3");
  ProveBackup("now()");
  EXPECT_EQ(Run(job_, options).report.rows_done, 2);
  EXPECT_EQ(Months(), "2020-03:3");
}

TEST_F(ArchivePurgeTest, DeletesFromAPlainTableByDays) {
  FillThreeMonths();
  Archive(1, "2001-05-05 00:00:00+00", 2);
  const Backlog backlog = *MeasureBacklog(job_, Since("2020-03-15"));
  EXPECT_EQ(backlog.rows, 14);
  EXPECT_EQ(backlog.oldest_age_s,
            std::stod(Value("SELECT extract(epoch FROM '2020-03-15 00:00:00+00'::timestamptz - "
                            "'2001-05-05 00:00:00+00'::timestamptz)")));
  EXPECT_EQ(DryRun(job_, Since("2020-03-15")).report.plan.size(), 8U);
  const RunResult plan = DryRun(job_, Since("2020-02-01"));
  const std::string age = Since("2020-02-01").at("older_than");
  EXPECT_EQ(plan.Text(), "ok");
  ASSERT_EQ(plan.report.plan.size(), 6U);
  EXPECT_EQ(plan.report.plan[0],
            "cut-off: created before 2020-02-01 00:00:00+00, " + age + " before today in UTC");
  EXPECT_EQ(plan.report.plan[1], "no backup is asked for: require_backup is false");
  EXPECT_EQ(plan.report.plan[2].substr(0, 84),
            "7 rows are that old, created from 2001-05-05 00:00:00+00 to 2020-01-10 04:00:00+00, ");
  EXPECT_EQ(plan.report.plan[3], "  2001-05: 2 rows");
  EXPECT_EQ(plan.report.plan[4], "  2020-01: 5 rows");
  EXPECT_EQ(plan.report.plan[5], "rows are deleted in batches: plain table");
  EXPECT_EQ(Months(), "2001-05:2 2020-01:5 2020-02:5 2020-03:5");

  const RunResult run = Run(job_, Since("2020-03-15"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 14);
  EXPECT_EQ(run.report.cutoff, "2020-03-15 00:00:00+00");
  EXPECT_EQ(Months(), "2020-03:3");
  EXPECT_EQ(Run(job_, Since("2020-03-15")).report.rows_done, 0);
}

TEST_F(ArchivePurgeTest, KeepsWhatIsHeldByChatByUserAndByTheUsersChat) {
  Archive(1, "2020-01-01 00:00:00+00", 4);
  Archive(2, "2020-01-01 00:00:00+00", 4);
  Archive(3, "2020-01-01 00:00:00+00", 4);
  Exec("UPDATE public.messages_archive SET user_id = NULL WHERE session_id = '" + Chat(2) +
       "';"
       "UPDATE public.messages_archive SET user_id = '" +
       User(1) + "' WHERE session_id = '" + Chat(3) +
       "' AND created_at < '2020-01-01 02:00:00+00';"
       "INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" +
       Chat(1) +
       "', 'x');"
       "INSERT INTO pgsteward.retention_hold (user_id, reason) VALUES ('" +
       User(2) +
       "', 'x');"
       "INSERT INTO pgsteward.retention_hold (session_id, reason, until) VALUES ('" +
       Chat(3) + "', 'over', now() - interval '1 second')");
  const RunResult run = Run(job_, Since("2020-02-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 4);
  EXPECT_EQ(Months(), "2020-01:8");
  // The user's rows in another chat, as well as the answers in their own.
  Exec(
      "TRUNCATE pgsteward.retention_hold;"
      "INSERT INTO pgsteward.retention_hold (user_id, reason) VALUES ('" +
      User(1) + "', 'x')");
  Exec("UPDATE public.messages_archive SET user_id = NULL WHERE session_id = '" + Chat(1) + "'");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).report.rows_done, 4);
  EXPECT_EQ(Months(), "2020-01:4");
  Exec("UPDATE pgsteward.retention_hold SET until = now() - interval '1 second'");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).report.rows_done, 4);
  EXPECT_EQ(Months(), "");
}

TEST_F(ArchivePurgeTest, DropsMonthsThatAreOverAndDeletesTheRest) {
  FillThreeMonths();
  Archive(1, "2001-05-05 00:00:00+00", 2);
  Partition();
  const std::string coming = Partitions().substr(Partitions().find("y2020m03"));
  const RunResult plan = DryRun(job_, Since("2020-03-15"));
  ASSERT_EQ(plan.report.plan.size(), 10U);
  EXPECT_EQ(plan.report.plan[7], "drop public.messages_archive_y2001m05 as a whole: 2 rows");
  EXPECT_EQ(plan.report.plan[9], "drop public.messages_archive_y2020m02 as a whole: 5 rows");

  const RunResult run = Run(job_, Since("2020-03-15"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 14);
  EXPECT_EQ(run.report.details.at("partitions_dropped"), "3");
  EXPECT_EQ(run.report.details.at("rows_dropped"), "12");
  EXPECT_EQ(Months(), "2020-03:3");
  EXPECT_EQ(Partitions(), coming);
  EXPECT_EQ(Detached(), "");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_all"), "3");
}

TEST_F(ArchivePurgeTest, DropsWithoutDetachingWhenToldTo) {
  FillThreeMonths();
  Partition();
  const RunResult run = Run(job_, Since("2020-03-15", {{"method", "drop"}}));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("partitions_dropped"), "2");
  EXPECT_EQ(Months(), "2020-03:3");
}

TEST_F(ArchivePurgeTest, EmptiesAMonthWithHeldRowsInBatches) {
  FillThreeMonths();
  Archive(3, "2020-01-20 00:00:00+00", 2);
  Partition();
  Exec("INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" + Chat(3) + "', 'x')");
  EXPECT_EQ(
      DryRun(job_, Since("2020-03-01")).report.plan[6],
      "delete from public.messages_archive_y2020m01 in batches: of 7 rows 2 are held and 0 in "
      "no proven backup");
  const RunResult run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("partitions_dropped"), "1");
  EXPECT_EQ(run.report.rows_done, 10);
  EXPECT_EQ(Months(), "2020-01:2 2020-03:5");
  Exec("DELETE FROM pgsteward.retention_hold");
  EXPECT_EQ(Run(job_, Since("2020-03-01")).report.details.at("partitions_dropped"), "1");
  EXPECT_EQ(Months(), "2020-03:5");
}

TEST_F(ArchivePurgeTest, WaitsForReadersATimeAndFinishesNextTime) {
  FillThreeMonths();
  Partition();
  PgClient reader = Connect();
  reader.Exec(
      "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM public.messages_archive");
  RunResult run = Run(job_, Since("2020-02-01", {{"attempts", "2"}}));
  EXPECT_EQ(run.Text(),
            "partial locked: public.messages_archive_y2020m01 is in use; the next run goes on with "
            "it");
  EXPECT_EQ(run.report.rows_done, 0);
  EXPECT_EQ(Pending(), "messages_archive_y2020m01");
  // The reader still has its rows; new ones no longer do, and do not wait either.
  EXPECT_EQ(reader.Value("SELECT count(*) FROM public.messages_archive"), "15");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");

  reader.Exec("COMMIT");
  run = Run(job_, Since("2020-02-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 5);
  EXPECT_EQ(Pending() + Detached(), "");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");
}

TEST_F(ArchivePurgeTest, TriesAgainWithinARun) {
  FillThreeMonths();
  Partition();
  PgClient reader = Connect();
  reader.Exec("BEGIN; SELECT count(*) FROM public.messages_archive");
  control_.on_stop_reason = [&] {
    // The first attempt has timed out.
    if (Pending() != "") reader.Exec("COMMIT");
    return std::string();
  };
  const RunResult run = Run(job_, Since("2020-02-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 5);
  EXPECT_EQ(Pending() + Detached(), "");
}

TEST_F(ArchivePurgeTest, TriesToDropAgainWhileSomebodyUsesTheUsers) {
  FillThreeMonths();
  Partition();
  PgClient reader = Connect();
  reader.Exec("BEGIN; SELECT count(*) FROM public.users");
  RunResult run = Run(job_, Since("2020-02-01", {{"attempts", "1"}}));
  EXPECT_EQ(run.Text(),
            "partial locked: public.messages_archive_y2020m01 is in use; the next run goes on with "
            "it");
  EXPECT_EQ(Detached(), "messages_archive_y2020m01");
  // It is out of the archive and not destroyed.
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive_y2020m01"), "5");
  EXPECT_EQ(DryRun(job_, Since("2020-02-01")).report.plan.back(),
            "drop public.messages_archive_y2020m01, which an earlier run has detached");
  reader.Exec("COMMIT");
  run = Run(job_, Since("2020-02-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 5);
  EXPECT_EQ(Detached(), "");
  // The other way locks the archive and neither users nor chats.
  reader.Exec("BEGIN; LOCK TABLE public.users, public.chat_sessions IN ROW EXCLUSIVE MODE");
  EXPECT_EQ(Run(job_, Since("2020-03-01", {{"method", "drop"}, {"attempts", "1"}})).Text(), "ok");
  EXPECT_EQ(Months(), "2020-03:5");
}

// Fences: 1 marks, 2 drops; of the next partition 3 and 4.
TEST_F(ArchivePurgeTest, DropsWhatARunThatLostItsLeaseHadDetached) {
  FillThreeMonths();
  Partition();
  control_.lose_lease_at = 2;
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(), "error  the lease is lost");
  EXPECT_EQ(Detached(), "messages_archive_y2020m01");
  control_.lose_lease_at = 0;
  const RunResult run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 10);
  EXPECT_EQ(run.report.details.at("partitions_dropped"), "2");
  EXPECT_EQ(Detached(), "");
  EXPECT_EQ(Months(), "2020-03:5");
}

TEST_F(ArchivePurgeTest, AttachesAgainWhatIsHeldInTheMeantime) {
  FillThreeMonths();
  Partition();
  Exec("COMMENT ON TABLE public.messages_archive_y2020m01 IS 'it''s \\ mine'");
  control_.lose_lease_at = 2;
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "error  the lease is lost");
  control_.lose_lease_at = 0;
  Exec("INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" + Chat(1) + "', 'x')");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:5 2020-02:5 2020-03:5");
  EXPECT_EQ(Value("SELECT obj_description('public.messages_archive_y2020m01'::regclass)"),
            "it's \\ mine");
  Exec("DELETE FROM pgsteward.retention_hold");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).report.rows_done, 5);
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");
}

// The age was raised between two runs.
TEST_F(ArchivePurgeTest, AttachesAgainWhatIsNoLongerOldEnough) {
  FillThreeMonths();
  Partition();
  control_.lose_lease_at = 2;
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "error  the lease is lost");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Run(job_, Since("2019-01-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:5 2020-02:5 2020-03:5");
  EXPECT_EQ(Detached(), "");
}

// Other sessions wait behind the locks under which a month is dropped: nothing long may happen
// there.
TEST_F(ArchivePurgeTest, ReadsAMonthWithoutLocksAndLooksOnceMoreAtWhatIsNew) {
  FillThreeMonths();
  Partition();
  Exec("ALTER TABLE public.messages_archive DETACH PARTITION public.messages_archive_y2020m01");
  Exec("COMMENT ON TABLE public.messages_archive_y2020m01 IS E'pgsteward: purging from " +
       Value("SELECT (extract(epoch FROM '2020-01-01+00'::timestamptz) * 1000000)::bigint") +
       " to " +
       Value("SELECT (extract(epoch FROM '2020-02-01+00'::timestamptz) * 1000000)::bigint") +
       "\\n'");
  control_.on_fence = [&](JobSession&) -> Task<void> {
    if (control_.fences == 1) {
      Exec(
          "INSERT INTO public.messages_archive_y2020m01 (id, session_id, content, is_from_user, "
          "created_at) VALUES (gen_random_uuid(), '" +
          Chat(3) +
          "', 'late', true, '2020-01-31 12:00+00');"
          "INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" +
          Chat(3) + "', 'x')");
    }
    co_return;
  };
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "ok");
  // Its hold came after the first look: it is attached again, the others of the month are deleted.
  EXPECT_EQ(Months(), "2020-01:1 2020-02:5 2020-03:5");
  control_.on_fence = nullptr;
  Exec("DELETE FROM pgsteward.retention_hold");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");
}

// The hold is as it was: what the month has got since it was read is found by who wrote it.
TEST_F(ArchivePurgeTest, KeepsAMonthThatHasGotARowSinceItWasRead) {
  FillThreeMonths();
  Partition();
  Exec("UPDATE public.messages_archive SET archived_at = now() - interval '1 day'");
  ProveBackup("now() - interval '1 hour'");
  control_.on_fence = [&](JobSession&) -> Task<void> {
    // The first marks, the second drops.
    if (control_.fences == 2) {
      Exec(
          "INSERT INTO public.messages_archive_y2020m01 (id, session_id, content, is_from_user, "
          "created_at) VALUES (gen_random_uuid(), '" +
          Chat(3) + "', 'late', true, '2020-01-31 12:00+00')");
    }
    co_return;
  };
  const Options options = Since("2020-02-01", {{"require_backup", "true"}});
  EXPECT_EQ(Run(job_, options).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:1 2020-02:5 2020-03:5");
  control_.on_fence = nullptr;
  ProveBackup("now()");
  EXPECT_EQ(Run(job_, options).Text(), "ok");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");
}

// A row without archived_at may have come at any time: no backup is known to hold it.
TEST_F(ArchivePurgeTest, KeepsRowsWithoutArchivedAtWhereABackupIsAskedFor) {
  FillThreeMonths();
  Partition();
  Exec(
      "ALTER TABLE public.messages_archive ALTER COLUMN archived_at DROP NOT NULL; UPDATE "
      "public.messages_archive SET archived_at = NULL WHERE content = 'row 1' AND created_at < "
      "'2020-02-01'");
  ProveBackup("now()");
  Options options = Since("2020-03-01", {{"require_backup", "true"}});
  EXPECT_EQ(DryRun(job_, options).report.plan[5],
            "1 row of them stay: in no proven backup, 1 without archived_at");
  const RunResult run = Run(job_, options);
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 9);
  EXPECT_EQ(run.report.details.at("kept"), "1");
  EXPECT_EQ(Months(), "2020-01:1 2020-03:5");
  Exec(
      "UPDATE public.messages_archive SET archived_at = now() - interval '1 day' WHERE archived_at "
      "IS NULL");
  EXPECT_EQ(Run(job_, options).report.rows_done, 1);
  EXPECT_EQ(Months(), "2020-03:5");
}

// The month's place was taken while it was detached.
TEST_F(ArchivePurgeTest, GoesOnWithOtherMonthsWhereOneCannotComeBack) {
  FillThreeMonths();
  Partition();
  control_.lose_lease_at = 2;
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "error  the lease is lost");
  control_.lose_lease_at = 0;
  Exec("INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" + Chat(1) +
       "', 'x');"
       "CREATE TABLE public.taken PARTITION OF public.messages_archive FOR VALUES FROM "
       "('2020-01-01+00') TO ('2020-02-01+00')");
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(),
            "partial overlaps: public.messages_archive_y2020m01 is detached, must stay, and its "
            "months have another partition");
  EXPECT_EQ(Months(), "2020-03:5");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive_y2020m01"), "5");
  // That one was empty and wholly over.
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:5 2020-03:5");
}

TEST_F(ArchivePurgeTest, FinishesSomebodysDetachAndDoesNotDropTheirTable) {
  FillThreeMonths();
  Partition();
  PgClient reader = Connect();
  reader.Exec("BEGIN; SELECT count(*) FROM public.messages_archive");
  PgClient owner = Connect();
  owner.Exec("SET statement_timeout = '300ms'");
  EXPECT_ANY_THROW(
      owner.Exec("ALTER TABLE public.messages_archive DETACH PARTITION "
                 "public.messages_archive_y2020m02 CONCURRENTLY"));
  EXPECT_EQ(Pending(), "messages_archive_y2020m02");
  reader.Exec("COMMIT");
  const RunResult run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 5);
  EXPECT_EQ(Detached(), "messages_archive_y2020m02");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive_y2020m02"), "5");
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(), "ok");
  EXPECT_EQ(Detached(), "messages_archive_y2020m02");
}

TEST_F(ArchivePurgeTest, LosesNothingButWhatIsOldWhenItsBackendIsKilled) {
  Archive(1, "2019-01-01 00:00:00+00", 3000);
  Archive(2, "2020-02-01 00:00:00+00", 3);
  control_.on_progress = [&](const JobReport& so_far) {
    if (so_far.rows_done >= 1000)
      Postgres().TerminateBackends("application_name LIKE '%job/test%'");
  };
  const RunResult killed = Run(job_, Since("2020-01-01", {{"nice", "0"}}));
  ASSERT_FALSE(killed.outcome);
  EXPECT_EQ(killed.outcome.error().code, Errc::kConnectionLost);
  const long long left = std::stoll(Value("SELECT count(*) FROM public.messages_archive"));
  EXPECT_EQ(left, 3003 - killed.report.rows_done);
  EXPECT_GT(left, 3);
  control_.on_progress = {};
  const RunResult run = Run(job_, Since("2020-01-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, left - 3);
  EXPECT_EQ(Months(), "2020-02:3");
}

TEST_F(ArchivePurgeTest, GoesRoundRowsThatAreLockedAndComesBack) {
  FillThreeMonths();
  PgClient other = Connect();
  other.Exec(
      "BEGIN; SELECT FROM public.messages_archive WHERE created_at = '2020-01-10 02:00:00+00' "
      "FOR UPDATE");
  RunResult run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(), "partial skipped_locked: other sessions hold the rows");
  EXPECT_EQ(run.report.rows_done, 9);
  EXPECT_EQ(run.report.rows_skipped, 1);
  other.Exec("COMMIT");
  run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 1);
  EXPECT_EQ(Months(), "2020-03:5");
}

TEST_F(ArchivePurgeTest, DeletesRowByRowWhereADeleteTriggerWantsToSeeThem) {
  FillThreeMonths();
  Partition();
  Exec(R"(
    CREATE TABLE public.seen (id uuid);
    CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN INSERT INTO seen VALUES (OLD.id); RETURN OLD; END$$;
    CREATE TRIGGER audit AFTER DELETE ON public.messages_archive
      FOR EACH ROW EXECUTE FUNCTION public.see();
  )");
  const RunResult plan = DryRun(job_, Since("2020-02-01"));
  EXPECT_EQ(plan.report.plan[4], "delete triggers of the archive fire: audit");
  EXPECT_EQ(plan.report.plan[5], "rows are deleted in batches: delete trigger audit");
  const RunResult run = Run(job_, Since("2020-02-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("in_batches_because"), "delete trigger audit");
  EXPECT_EQ(Value("SELECT count(*) FROM public.seen"), "5");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");
}

TEST_F(ArchivePurgeTest, LeavesForeignTablesDefaultsAndThingsThatOthersDependOn) {
  FillThreeMonths();
  Partition();
  Exec(R"(
    ALTER TABLE public.messages_archive DROP CONSTRAINT messages_archive_pkey,
      DROP CONSTRAINT messages_archive_session_id_fkey,
      DROP CONSTRAINT messages_archive_user_id_fkey;
    CREATE EXTENSION file_fdw;
    CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE FOREIGN TABLE public.cold PARTITION OF public.messages_archive
      FOR VALUES FROM ('2010-01-01+00') TO ('2011-01-01+00') SERVER files
      OPTIONS (filename '/dev/null');
    CREATE VIEW public.january AS SELECT * FROM public.messages_archive_y2020m01;
  )");
  RunResult run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(), "partial depended_on: objects depend on public.messages_archive_y2020m01");
  // It stays where it is, and without a mark.
  EXPECT_EQ(Months(), "2020-01:5 2020-03:5");
  EXPECT_EQ(Detached(), "");
  EXPECT_EQ(Value("SELECT obj_description('public.messages_archive_y2020m01'::regclass)"), "");
  EXPECT_EQ(Value("SELECT count(*) FROM public.january"), "5");
  Exec(
      "DROP VIEW public.january; DROP FOREIGN TABLE public.cold;"
      "CREATE TABLE public.rest PARTITION OF public.messages_archive DEFAULT");
  Archive(1, "1999-01-01 00:00:00+00", 2);
  // DETACH CONCURRENTLY is refused beside a default partition.
  Archive(1, "2020-03-01 00:00:00+00", 2);
  run = Run(job_, Since("2020-04-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 5 + 5 + 2 + 2);
  EXPECT_EQ(Months() + Detached(), "");
}

TEST_F(ArchivePurgeTest, TakesTheTableOfTheDocument) {
  FillThreeMonths();
  MakeLikeTable();
  ProveBackup("now()");
  const RunResult run = Run(job_, Since("2020-03-15", {{"require_backup", "true"}}));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 12);
  EXPECT_EQ(Months(), "2020-03:3");
}

TEST_F(ArchivePurgeTest, WorksWithTheLeastRightsAndSaysWhatIsMissing) {
  FillThreeMonths();
  Partition();
  BecomeJobsRole();
  // Not the owner: no DROP.
  RunResult run = Run(job_, Since("2020-02-01"));
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("in_batches_because"), "not the owner");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");

  Exec(
      "ALTER TABLE public.messages_archive ENABLE ROW LEVEL SECURITY;"
      "ALTER ROLE pgsteward_jobs NOBYPASSRLS");
  run = Run(job_, Since("2020-03-01"));
  EXPECT_EQ(run.Text(),
            "error 42501 row level security hides rows of public.messages_archive from role "
            "\"pgsteward_jobs\"");
  Exec(
      "ALTER ROLE pgsteward_jobs BYPASSRLS;"
      "REVOKE DELETE ON public.messages_archive FROM pgsteward_jobs");
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(),
            "error 42501 role \"pgsteward_jobs\" may not read, lock and delete rows of "
            "public.messages_archive");
  Exec("GRANT DELETE ON public.messages_archive TO pgsteward_jobs");
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-03:5");
}

TEST_F(ArchivePurgeTest, RefusesWhatHangsOnTheArchive) {
  FillThreeMonths();
  Exec(
      "CREATE TABLE public.stars (message uuid REFERENCES public.messages_archive ON DELETE "
      "CASCADE)");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(),
            "error  rows of public.stars refer to the archive (constraint \"stars_message_fkey\")");
  Exec("DROP TABLE public.stars");
  EXPECT_EQ(Run(job_, Since("2020-02-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-02:5 2020-03:5");
}

TEST_F(ArchivePurgeTest, StopsWhereItIsTold) {
  FillThreeMonths();
  Partition();
  control_.stop_reason = "window";
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(), "partial window");
  EXPECT_EQ(Months(), "2020-01:5 2020-02:5 2020-03:5");
  control_.stop_reason = "";
  EXPECT_EQ(Run(job_, Since("2020-03-01")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-03:5");
}

}  // namespace
}  // namespace pgsteward
