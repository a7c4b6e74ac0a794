#include <algorithm>

#include "tests/jobs/archive/purge_fixture.h"

namespace pgsteward {
namespace {

class ArchivePartitionsTest : public PurgeTest {
 protected:
  const JobSpec& job_ = Spec("archive_partitions");

  void AddMessage(const std::string& created) const {
    Exec("INSERT INTO public.messages (session_id, content, created_at) VALUES ('" + Chat(1) +
         "', 'x', '" + created + "')");
  }
  // Partitions beside the present month and three more.
  std::string Old() const {
    return Value(R"(
      SELECT coalesce(string_agg(replace(c.relname, 'messages_archive_', '') || ' ' ||
                      pg_get_expr(c.relpartbound, c.oid), E'\n' ORDER BY c.relname), '')
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'public.messages_archive'::regclass
        AND c.relname < 'messages_archive_y' || to_char(now() AT TIME ZONE 'UTC', 'YYYY"m"MM'))");
  }
  std::string Coming(int months) const {
    return Value(
        "SELECT string_agg(to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + n * "
        "interval '1 month', '\"y\"YYYY\"m\"MM'), ' ' ORDER BY n) FROM generate_series(0, " +
        std::to_string(months) + ") n");
  }
};

TEST_F(ArchivePartitionsTest, SkipsAPlainArchive) {
  EXPECT_EQ(Run(job_).Text(),
            "skipped not_partitioned: public.messages_archive is not partitioned by range of "
            "created_at; its owner can convert it with schema/partitioned_archive.sql");
  EXPECT_EQ(MeasureBacklog(job_)->rows, 0);
}

TEST_F(ArchivePartitionsTest, CreatesAheadAndBehindAndNothingTwice) {
  Partition();
  EXPECT_EQ(Partitions(), Coming(3));
  AddMessage("2001-02-03 04:05:06+00");
  AddMessage("2020-02-29 23:59:59.999999+00");
  AddMessage("2020-03-01 00:00:00+00");
  EXPECT_EQ(MeasureBacklog(job_, {{"ahead", "5"}})->rows, 5);
  const RunResult plan = DryRun(job_, {{"ahead", "3"}});
  ASSERT_EQ(plan.report.plan.size(), 3U);
  EXPECT_EQ(plan.report.plan[0],
            "create public.messages_archive_y2001m02 for rows FROM ('2001-02-01 00:00:00+00') TO "
            "('2001-03-01 00:00:00+00')");
  EXPECT_EQ(Partitions(), Coming(3));

  const RunResult run = Run(job_, {{"ahead", "5"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("created"), "5");
  EXPECT_EQ(control_.fences, 5);
  EXPECT_EQ(Partitions(), "y2001m02 y2020m02 y2020m03 " + Coming(5));
  // As good as the first ones: same owner, keys, foreign keys, indexes.
  EXPECT_EQ(Value(R"(
    SELECT string_agg(DISTINCT concat_ws(' ', c.relowner::regrole,
             (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid),
             (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f')), ',')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.messages_archive'::regclass)"),
            "postgres 4 2");
  Archive(1, "2001-02-28 23:00:00+00", 1);
  EXPECT_EQ(Months(), "2001-02:1");

  const RunResult again = Run(job_, {{"ahead", "5"}});
  EXPECT_EQ(again.Text(), "ok");
  EXPECT_EQ(again.report.details.at("created"), "0");
  EXPECT_EQ(DryRun(job_, {{"ahead", "5"}}).report.plan,
            std::vector<std::string>{"every month has its partition"});
}

TEST_F(ArchivePartitionsTest, FitsBetweenPartitionsOfAnotherWidthAndLeavesNamesOfOthers) {
  Partition();
  Exec(R"(
    CREATE TABLE public.odd PARTITION OF public.messages_archive
      FOR VALUES FROM ('2020-01-15 00:00:00+00') TO ('2020-02-10 12:00:00+00');
    CREATE TABLE public.whole_year PARTITION OF public.messages_archive
      FOR VALUES FROM (MINVALUE) TO ('2002-01-01 00:00:00+00');
    CREATE TABLE public.messages_archive_y2021m05 (mine text);
  )");
  for (const char* created : {"2001-06-01+00", "2020-01-20+00", "2020-02-20+00", "2021-05-05+00"}) {
    AddMessage(created);
  }
  EXPECT_EQ(Run(job_).Text(), "ok");
  EXPECT_EQ(Old(),
            "y2020m01 FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-15 00:00:00+00')\n"
            "y2020m02 FOR VALUES FROM ('2020-02-10 12:00:00+00') TO ('2020-03-01 00:00:00+00')\n"
            "y2021m05_2 FOR VALUES FROM ('2021-05-01 00:00:00+00') TO ('2021-06-01 00:00:00+00')");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive_y2021m05"), "0");
  EXPECT_EQ(Run(job_).report.details.at("created"), "0");
}

TEST_F(ArchivePartitionsTest, LeavesAnArchiveWithADefaultPartitionAlone) {
  Partition();
  Exec("CREATE TABLE public.rest PARTITION OF public.messages_archive DEFAULT");
  AddMessage("2001-02-03 04:05:06+00");
  EXPECT_EQ(Run(job_).Text(),
            "skipped default_partition: public.rest takes the rows of every month that has no "
            "partition; a month cannot be attached while it may hold rows of it");
  EXPECT_EQ(Old(), "");
}

TEST_F(ArchivePartitionsTest, NeedsTheOwner) {
  Partition();
  BecomeJobsRole();
  EXPECT_EQ(Run(job_).Text(), "ok");
  AddMessage("2001-02-03 04:05:06+00");
  const RunResult refused = Run(job_);
  EXPECT_EQ(refused.Text(),
            "error 42501 must be owner of table messages_archive to add partitions");
  EXPECT_EQ(DryRun(job_).report.plan.back(),
            "stops: only the owner of public.messages_archive may add partitions");
  // A member of the owner is enough, and what it makes is the owner's.
  Exec(R"(
    CREATE ROLE archive_owner;
    GRANT CREATE, USAGE ON SCHEMA public TO archive_owner;
    GRANT REFERENCES ON public.users, public.chat_sessions TO archive_owner;
    GRANT archive_owner TO pgsteward_jobs;
    ALTER TABLE public.messages_archive OWNER TO archive_owner;
  )");
  EXPECT_EQ(Run(job_).Text(), "ok");
  EXPECT_EQ(Value("SELECT relowner::regrole FROM pg_class WHERE relname = "
                  "'messages_archive_y2001m02'"),
            "archive_owner");
  Exec("REASSIGN OWNED BY archive_owner TO postgres; DROP OWNED BY archive_owner");
  Exec("DROP ROLE archive_owner");
}

TEST_F(ArchivePartitionsTest, WaitsForWritersOnlyALittleAndTriesAgain) {
  Partition();
  AddMessage("2001-02-03 04:05:06+00");
  PgClient writer = Connect();
  writer.Exec("BEGIN; LOCK TABLE public.users IN ROW EXCLUSIVE MODE");
  RunResult run = Run(job_, {{"attempts", "1"}});
  EXPECT_EQ(run.Text(), "error 55P03 canceling statement due to lock timeout");
  EXPECT_EQ(Old(), "");
  EXPECT_EQ(Value("SELECT count(*) FROM pg_class WHERE relname = 'messages_archive_y2001m02'"),
            "0");

  int asked = 0;
  control_.on_stop_reason = [&] {
    // The first attempt has failed.
    if (++asked == 2) writer.Exec("ROLLBACK");
    return std::string();
  };
  EXPECT_EQ(Run(job_, {{"attempts", "2"}}).Text(), "ok");
  EXPECT_GE(asked, 2);
  EXPECT_EQ(Old(),
            "y2001m02 FOR VALUES FROM ('2001-02-01 00:00:00+00') TO ('2001-03-01 00:00:00+00')");
}

// It may come back: a month made in its place would keep it out for ever.
TEST_F(ArchivePartitionsTest, MakesNothingInThePlaceOfAMonthThatAPurgeHasDetached) {
  Archive(1, "2020-01-10 00:00:00+00", 5);
  Partition();
  AddMessage("2020-01-20 00:00:00+00");
  control_.lose_lease_at = 2;
  EXPECT_EQ(
      Run(Spec("archive_purge"), {{"older_than", "1 month"}, {"require_backup", "false"}}).Text(),
      "error  the lease is lost");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Run(job_).report.details.at("created"), "0");
  EXPECT_EQ(DryRun(job_).report.plan[0],
            "nothing beside public.messages_archive_y2020m01, which a purge has detached: FROM "
            "('2020-01-01 00:00:00+00') TO ('2020-02-01 00:00:00+00')");
  const std::string refused =
      "error  a purge has detached public.messages_archive_y2020m01, and there are old messages of "
      "its month";
  EXPECT_EQ(Run(Spec("message_archive")).Text(), refused);
  EXPECT_EQ(DryRun(Spec("message_archive")).Text(), refused);
  EXPECT_EQ(
      Run(Spec("archive_purge"), {{"older_than", "40 years"}, {"require_backup", "false"}}).Text(),
      "ok");
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:6");
}

TEST_F(ArchivePartitionsTest, GoesOnWithOtherMonthsWhereOneWouldOverlap) {
  Partition();
  AddMessage("2001-02-03 04:05:06+00");
  AddMessage("2001-05-03 04:05:06+00");
  control_.on_fence = [&](JobSession&) -> Task<void> {
    if (control_.fences == 1) {
      Exec(
          "CREATE TABLE public.taken PARTITION OF public.messages_archive FOR VALUES FROM "
          "('2001-02-10+00') TO ('2001-02-20+00')");
    }
    co_return;
  };
  EXPECT_EQ(Run(job_).Text(),
            "partial overlaps: public.messages_archive_y2001m02 would overlap with another "
            "partition");
  EXPECT_EQ(Partitions(), "y2001m05 " + Coming(3) + " taken");
  control_.on_fence = nullptr;
  EXPECT_EQ(Run(job_).Text(), "ok");
  EXPECT_EQ(Partitions(), "y2001m02 y2001m02_2 y2001m05 " + Coming(3) + " taken");
}

// Only the months that old messages need stop the move.
TEST_F(ArchivePartitionsTest, MessagesMoveWithoutTheMonthsOfYoungerOnes) {
  Partition();
  BecomeJobsRole();
  AddMessage("2020-01-20 00:00:00+00");
  const std::string refused =
      "error 42501 old messages have no partition, messages_archive_y2020m01 for one, and only the "
      "owner of messages_archive may add it";
  EXPECT_EQ(Run(Spec("message_archive")).Text(), refused);
  EXPECT_EQ(DryRun(Spec("message_archive")).Text(), refused);
  Exec(
      "CREATE TABLE public.january PARTITION OF public.messages_archive FOR VALUES FROM "
      "('2020-01-01+00') TO ('2020-02-01+00')");
  AddMessage(Value("SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - interval '2 months'") +
             "+00");
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "ok");
  EXPECT_NE(std::find(control_.notes.begin(), control_.notes.end(),
                      "months that are not old yet lack a partition: must be owner of table "
                      "messages_archive to add partitions"),
            control_.notes.end());
  EXPECT_EQ(Months(), "2020-01:1");
}

// Nothing before the year 1 has a partition, and no message of another month waits for it.
TEST_F(ArchivePartitionsTest, MessagesBeforeTheYearOneStay) {
  Partition();
  AddMessage("0044-03-15 12:00:00+00 BC");
  AddMessage("-infinity");
  AddMessage("2020-01-20 00:00:00+00");
  const RunResult plan = DryRun(Spec("message_archive"));
  EXPECT_NE(std::find(plan.report.plan.begin(), plan.report.plan.end(),
                      "created before the year 1, fit into no partition and stay: 2 messages"),
            plan.report.plan.end());
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:1");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages"), "2");
}

// A CHECK of the archive is about rows, partitioned or not.
TEST_F(ArchivePartitionsTest, AMessageThatACheckRefusesIsSetAside) {
  Partition();
  AddMessage("2020-01-20 00:00:00+00");
  AddMessage("2020-01-21 00:00:00+00");
  Exec("ALTER TABLE public.messages_archive ADD CONSTRAINT late CHECK (created_at > '2020-01-21')");
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages"), "2");
  Exec(
      "ALTER TABLE public.messages_archive DROP CONSTRAINT late; DELETE FROM pgsteward.quarantine");
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:2");
}

// Behind the cursor and before it, and more than one month.
TEST_F(ArchivePartitionsTest, MakesTheMonthsThatComeDuringARun) {
  Partition();
  for (const char* day : {"20", "21", "22", "23"}) {
    AddMessage("2020-01-" + std::string(day) + " 00:00:00+00");
  }
  control_.on_progress = [this, first = true](const JobReport&) mutable {
    if (!std::exchange(first, false)) return;
    for (const char* month : {"2019-05", "2020-02", "2020-04"}) {
      AddMessage(month + std::string("-03 00:00:00+00"));
    }
  };
  const std::map<std::string, std::string> batches = {{"batch_rows", "2"},
                                                      {"batch_rows_most", "2"}};
  EXPECT_EQ(Run(Spec("message_archive"), batches).Text(), "ok");
  control_.on_progress = nullptr;
  EXPECT_EQ(Months(), "2020-01:4 2020-02:1 2020-04:1");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.quarantine"), "0");
  // And it recovers: what came behind the cursor is moved by the next run.
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "ok");
  EXPECT_EQ(Months(), "2019-05:1 2020-01:4 2020-02:1 2020-04:1");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.quarantine"), "0");
}

// Where the run may not make the month it ends, and the message waits for the owner.
TEST_F(ArchivePartitionsTest, LeavesAMessageWhoseMonthItMayNotMake) {
  Partition();
  AddMessage("2020-01-20 00:00:00+00");
  EXPECT_EQ(Run(job_).Text(), "ok");
  BecomeJobsRole();
  control_.on_progress = [this, first = true](const JobReport&) mutable {
    if (std::exchange(first, false)) AddMessage("2020-02-03 00:00:00+00");
  };
  const RunResult run = Run(Spec("message_archive"), {{"trigger_mode", "guard"}});
  EXPECT_EQ(run.Text().substr(0, 40), "error 42501 old messages have no partiti");
  EXPECT_EQ(run.report.rows_done, 1);
  control_.on_progress = nullptr;
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.quarantine"), "0");
  user_ = "postgres";
  EXPECT_EQ(Run(Spec("message_archive")).Text(), "ok");
  EXPECT_EQ(Months(), "2020-01:1 2020-02:1");
}

TEST_F(ArchivePartitionsTest, StopsBetweenPartitionsAndGoesOnNextTime) {
  Partition();
  AddMessage("2001-02-03 04:05:06+00");
  AddMessage("2001-05-03 04:05:06+00");
  RunResult run = Run(job_, {{"most_partitions", "1"}});
  EXPECT_EQ(run.Text(), "partial partitions: the limit of one run is reached");
  control_.stop_reason = "window";
  EXPECT_EQ(Run(job_).Text(), "partial window");
  control_.stop_reason = "";
  control_.lose_lease_at = control_.fences + 1;
  EXPECT_EQ(Run(job_).Text(), "error  the lease is lost");
  control_.lose_lease_at = 0;
  EXPECT_EQ(Run(job_).Text(), "ok");
  EXPECT_EQ(Partitions(), "y2001m02 y2001m05 " + Coming(3));
}

}  // namespace
}  // namespace pgsteward
