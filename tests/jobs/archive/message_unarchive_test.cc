#include "jobs/archive/unarchive_request.h"
#include "tests/jobs/archive/purge_fixture.h"

namespace pgsteward {
namespace {

constexpr char kUuid[] = "123e4567-e89b-42d3-a456-426614174000";

using Arguments = std::map<std::string, std::string>;

TEST(UnarchiveRequest, WantsAtLeastOneArgumentAndRealUuids) {
  const struct {
    Arguments arguments;
    const char* error;
  } cases[] = {
      {{}, "nothing says which messages are to come back"},
      {{{"until", "infinity"}, {"reason", "x"}}, "nothing says which messages are to come back"},
      {{{"chat", "42"}}, "the argument chat is not a UUID"},
      {{{"user", "123e4567-e89b-42d3-a456-42661417400g"}}, "the argument user is not a UUID"},
      {{{"user", "123e4567-e89b-42d3-a456-4266141740000"}}, "the argument user is not a UUID"},
      {{{"run", "{123e4567-e89b-42d3-a456-426614174000}"}}, "the argument run is not a UUID"},
      {{{"chat", ""}, {"user", kUuid}}, "the argument chat is empty"},
      {{{"chats", kUuid}}, "there is no such argument"},
      {{{"chat", kUuid}}, ""},
      {{{"from", "whenever"}}, ""},  // the server's to judge
  };
  for (const auto& each : cases) {
    const auto request = ParseUnarchive(each.arguments);
    EXPECT_EQ(request ? "" : request.error().message, each.error);
  }
  EXPECT_TRUE(ParseUnarchive({{"user", kUuid}})->only_user());
  EXPECT_FALSE(ParseUnarchive({{"user", kUuid}, {"to", "2020-01-01"}})->only_user());
}

class MessageUnarchiveTest : public PurgeTest {
 protected:
  const JobSpec& job_ = Spec("message_unarchive");

  void SetUp() override {
    PurgeTest::SetUp();
    Archive(1, "2020-01-10 00:00:00+00", 5);
    Archive(2, "2020-02-10 00:00:00+00", 5);
    Archive(3, "2020-02-10 00:00:00+00", 5);
  }
  RunResult Unarchive(const Arguments& arguments,
                      const std::map<std::string, std::string>& options = {}) {
    return Run(job_, options, arguments);
  }
  // "chat 1 infinity reason" of each hold.
  std::string Holds() const {
    return Value(R"(
      SELECT coalesce(string_agg(coalesce('chat ' || right(session_id::text, 1),
                                          'user ' || right(user_id::text, 1))
                                 || ' ' || until || ' ' || reason, ', ' ORDER BY hold_id), '')
      FROM pgsteward.retention_hold)");
  }
  // "1:5 2:0" live messages by chat.
  std::string Live() const {
    return Value(R"(
      SELECT string_agg(right(s.id::text, 1) || ':' ||
                        (SELECT count(*) FROM public.messages m WHERE m.session_id = s.id), ' '
                        ORDER BY s.id)
      FROM public.chat_sessions s)");
  }
  std::string Digest(const char* table) const {
    return Value(
        "SELECT md5(string_agg((id, session_id, user_id, content, is_from_user, metadata, "
        "created_at)::text, ',' ORDER BY id)) FROM public." +
        std::string(table) + " WHERE session_id = '" + Chat(1) + "'");
  }
};

TEST_F(MessageUnarchiveTest, ChecksTimesWithTheServerInTheJobsZone) {
  EXPECT_EQ(Unarchive({{"from", "yesterdayish"}}).Text(),
            "error 22007 the argument from is not a time");
  EXPECT_EQ(Unarchive({{"to", "2020-02-31"}}).Text(), "error 22008 the argument to is not a time");
  EXPECT_EQ(Unarchive({{"to", "2020-02-01"}, {"until", "'; DROP TABLE x --"}}).Text(),
            "error 22007 the argument until is not a time");
  EXPECT_EQ(Unarchive({{"from", "2020-02-01"}, {"to", "2020-02-01"}}).Text(),
            "error  from is not before to");
  EXPECT_EQ(Unarchive({{"from", "2020-02-01"}, {"until", "2020-03-01"}}).Text(),
            "error  until is not in the future");
  EXPECT_EQ(Unarchive({}).outcome.error().code, Errc::kBadConfig);
  EXPECT_EQ(Live() + Holds(), "1:0 2:0 3:0");
  // 2020-02-10 03:00 there is 02:00 UTC.
  time_zone_ = "Europe/Berlin";
  EXPECT_EQ(Unarchive({{"from", "2020-02-10 03:00"}, {"to", "2020-02-10 05:00"}}).report.rows_done,
            4);
  EXPECT_EQ(Live(), "1:0 2:2 3:2");
}

TEST_F(MessageUnarchiveTest, BringsAChatBackAsItWasUnderAHold) {
  const std::string before = Digest("messages_archive");
  const RunResult plan = DryRun(job_, {}, {{"chat", Chat(1)}});
  EXPECT_EQ(plan.report.plan,
            (std::vector<std::string>{
                "5 messages come back, created from 2020-01-10 00:00:00+00 to 2020-01-10 "
                "04:00:00+00",
                "held until infinity: 1 chat more than now",
                "message_count and updated_at of the chats stay as they are"}));
  EXPECT_EQ(Live() + Holds(), "1:0 2:0 3:0");

  RunResult run = Unarchive({{"chat", Chat(1)}, {"reason", "case 7"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 5);
  EXPECT_EQ(run.report.details.at("holds"), "1");
  EXPECT_EQ(run.report.details.at("checksum").size(), 16U);
  EXPECT_NE(run.report.details.at("checksum"), "0000000000000000");
  EXPECT_EQ(run.report.details.count("triggers"), 0U);
  EXPECT_EQ(Live(), "1:5 2:0 3:0");
  EXPECT_EQ(Months(), "2020-02:10");
  EXPECT_EQ(Digest("messages"), before);
  EXPECT_EQ(Holds(), "chat 1 infinity case 7");
  EXPECT_EQ(
      Value("SELECT message_count || ' ' || updated_at FROM public.chat_sessions WHERE id = '" +
            Chat(1) + "'"),
      "0 2020-06-01 00:00:00+00");

  run = Unarchive({{"chat", Chat(1)}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 0);
  EXPECT_EQ(Holds(), "chat 1 infinity case 7");
  EXPECT_EQ(DryRun(job_, {}, {{"chat", Chat(1)}}).report.plan[0],
            "nothing in the archive is meant by this");
}

TEST_F(MessageUnarchiveTest, HoldsEachChatOnceAndOnlyThoseWithRows) {
  Exec("INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES ('" + Chat(2) +
       "', 'legal'); INSERT INTO pgsteward.retention_hold (session_id, reason, until) VALUES ('" +
       Chat(3) + "', 'short', now() + interval '1 hour')");
  const RunResult run = Unarchive({{"from", "2020-02-01"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 10);
  EXPECT_EQ(run.report.details.at("holds"), "1");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.retention_hold WHERE session_id = '" + Chat(3) +
                  "' AND until = 'infinity' AND reason = 'unarchived by run " + run_id_ + "'"),
            "1");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.retention_hold"), "3");
}

TEST_F(MessageUnarchiveTest, HoldsAUserAsAUser) {
  // An answer, of no user, in the chat of user 2; and one of user 2 in the chat of user 3.
  Exec("UPDATE public.messages_archive SET user_id = NULL WHERE session_id = '" + Chat(2) +
       "' AND created_at < '2020-02-10 03:00:00+00'; UPDATE public.messages_archive SET user_id = "
       "'" +
       User(2) + "' WHERE session_id = '" + Chat(3) +
       "' AND created_at = '2020-02-10 00:00:00+00'");
  const RunResult run = Unarchive({{"user", User(2)}, {"until", "2999-01-01"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 6);
  EXPECT_EQ(Live(), "1:0 2:5 3:1");
  EXPECT_EQ(Holds(), "user 2 2999-01-01 00:00:00+00 unarchived by run " + run_id_);
  EXPECT_EQ(Unarchive({{"user", User(2)}, {"until", "2999-01-01"}}).report.rows_done, 0);
  EXPECT_EQ(Unarchive({{"user", "00000000-0000-4000-8000-000000000999"}}).Text(), "ok");
  EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.retention_hold"), "1");
}

TEST_F(MessageUnarchiveTest, BringsBackWhatOneRunMoved) {
  Partition();
  Exec("UPDATE public.messages_archive SET archive_run = '" + std::string(kUuid) +
       "' WHERE created_at IN ('2020-01-10 01:00:00+00', '2020-02-10 02:00:00+00')");
  const RunResult run = Unarchive({{"run", kUuid}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 3);
  EXPECT_EQ(Live(), "1:1 2:1 3:1");
  EXPECT_EQ(Months(), "2020-01:4 2020-02:8");
  EXPECT_EQ(run.report.details.at("holds"), "3");
}

TEST_F(MessageUnarchiveTest, NeverBringsBackWhatIsNotHeld) {
  // The lease is lost between the holds and the first batch.
  control_.lose_lease_at = 3;
  RunResult run = Unarchive({{"chat", Chat(1)}});
  EXPECT_EQ(run.Text(), "error  the lease is lost");
  EXPECT_EQ(Holds().substr(0, 15), "chat 1 infinity");
  EXPECT_EQ(Live(), "1:0 2:0 3:0");
  control_.lose_lease_at = 0;
  // Somebody takes the hold away while the run is under way.
  int asked = 0;
  control_.on_stop_reason = [&] {
    if (Holds() != "" && ++asked == 3) Exec("DELETE FROM pgsteward.retention_hold");
    return std::string();
  };
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).report.rows_done, 0);
  EXPECT_EQ(Live() + Holds(), "1:0 2:0 3:0");
  control_.on_stop_reason = {};
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).report.rows_done, 5);
  EXPECT_EQ(Live(), "1:5 2:0 3:0");
}

TEST_F(MessageUnarchiveTest, SetsAsideWhatIsThereOtherwiseAndTakesWhatIsTheSame) {
  Exec(R"(
    INSERT INTO public.messages (id, session_id, user_id, content, is_from_user, metadata, created_at)
    SELECT id, session_id, user_id, CASE WHEN created_at = '2020-01-10 02:00:00+00' THEN 'edited'
           ELSE content END, is_from_user, metadata, created_at
    FROM public.messages_archive WHERE created_at IN ('2020-01-10 01:00:00+00', '2020-01-10 02:00:00+00'))");
  const std::string id =
      Value("SELECT id FROM public.messages_archive WHERE created_at = '2020-01-10 02:00:00+00'");
  EXPECT_EQ(
      DryRun(job_, {}, {{"chat", Chat(1)}}).report.plan[2],
      "2 ids are in public.messages too; where the rows differ, the archived one is set aside "
      "in pgsteward.quarantine");
  RunResult run = Unarchive({{"chat", Chat(1)}});
  EXPECT_EQ(run.Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(run.report.rows_done, 4);
  EXPECT_EQ(run.report.rows_quarantined, 1);
  EXPECT_EQ(Live(), "1:5 2:0 3:0");
  EXPECT_EQ(Value("SELECT id || ' ' || content FROM public.messages_archive WHERE session_id = '" +
                  Chat(1) + "'"),
            id + " row 3");
  EXPECT_EQ(Value("SELECT concat_ws('|', target, row_id, job, reason) FROM pgsteward.quarantine"),
            "public.messages_archive|" + id +
                "|message_unarchive|conflict: public.messages has another row with this id");
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).Text(), "ok");
  Exec("DELETE FROM pgsteward.quarantine; DELETE FROM public.messages WHERE content = 'edited'");
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).report.rows_done, 1);
  EXPECT_EQ(Live(), "1:5 2:0 3:0");
}

TEST_F(MessageUnarchiveTest, SetsAsideWhatTheLiveTableCannotStore) {
  // Too long for the full-text index that messages has and the archive has not.
  Exec(
      "UPDATE public.messages_archive SET content = (SELECT string_agg(md5(n::text), ' ') FROM "
      "generate_series(1, 35000) n) WHERE created_at = '2020-01-10 02:00:00+00'");
  const RunResult run = Unarchive({{"chat", Chat(1)}});
  EXPECT_EQ(run.Text(), "partial quarantined: see pgsteward.quarantine");
  EXPECT_EQ(run.report.rows_done, 4);
  EXPECT_EQ(Value("SELECT left(reason, 38) FROM pgsteward.quarantine"),
            "54000 string is too long for tsvector ");
  EXPECT_EQ(Live(), "1:4 2:0 3:0");
}

TEST_F(MessageUnarchiveTest, SaysWhatTriggersDoWithoutAGuard) {
  const char* effect =
      "triggers fire for each message: update_message_count_trigger; the documented one adds to "
      "message_count and sets updated_at of the chat to now";
  EXPECT_EQ(DryRun(job_, {{"trigger_mode", "respect"}}, {{"chat", Chat(1)}}).report.plan.back(),
            effect);
  RunResult run = Unarchive({{"chat", Chat(1)}}, {{"trigger_mode", "respect"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("triggers"), effect);
  EXPECT_EQ(Value("SELECT message_count || ' ' || (updated_at > now() - interval '1 hour') FROM "
                  "public.chat_sessions WHERE id = '" +
                  Chat(1) + "'"),
            "5 true");
  // A hub of before 1.2.0: nothing to be passed by.
  Exec(
      "DROP TRIGGER update_message_count_trigger ON public.messages;"
      "CREATE TRIGGER update_message_count_trigger AFTER INSERT OR DELETE ON public.messages "
      "FOR EACH ROW EXECUTE FUNCTION public.update_message_count()");
  run = Unarchive({{"chat", Chat(2)}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("triggers"), effect);
  EXPECT_EQ(Value("SELECT message_count FROM public.chat_sessions WHERE id = '" + Chat(2) + "'"),
            "5");
}

TEST_F(MessageUnarchiveTest, LeavesOrphansToTheirOwnJob) {
  MakeLikeTable();
  Exec("DELETE FROM public.chat_sessions WHERE id = '" + Chat(1) + "'");
  EXPECT_EQ(DryRun(job_, {}, {{"to", "2020-03-01"}}).report.plan[2],
            "5 messages stay: their chat or user is gone, or they are in pgsteward.quarantine");
  const RunResult run = Unarchive({{"to", "2020-03-01"}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.rows_done, 10);
  EXPECT_EQ(Months(), "2020-01:5");
  EXPECT_EQ(Unarchive({{"run", kUuid}}).Text(),
            "error  the archive does not know which run moved a message");
}

TEST_F(MessageUnarchiveTest, LosesNoRowWhenItsBackendIsKilled) {
  Archive(1, "2019-01-01 00:00:00+00", 3000);
  control_.on_progress = [&](const JobReport&) {
    if (Value("SELECT count(*) >= 1000 FROM public.messages") == "t") {
      Postgres().TerminateBackends("application_name LIKE '%job/test%'");
    }
  };
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}, {{"nice", "0"}}).outcome.error().code,
            Errc::kConnectionLost);
  EXPECT_EQ(Value("SELECT (SELECT count(*) FROM public.messages) + (SELECT count(*) FROM "
                  "public.messages_archive)"),
            "3015");
  control_.on_progress = {};
  BecomeJobsRole();
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).Text(), "ok");
  EXPECT_EQ(Live(), "1:3005 2:0 3:0");
  EXPECT_EQ(Months(), "2020-02:10");
}

// With the job that archives: what came back stays, until its hold is over.
// A move with the old list of columns would leave the new one's values behind, and match.
TEST_F(MessageUnarchiveTest, EndsWhenAColumnIsAddedBetweenTwoBatches) {
  Archive(1, "2020-03-10 00:00:00+00", 2000);
  int fences = 0;
  control_.on_fence = [&](JobSession&) -> Task<void> {
    // Holds and rows have each a batch of 500 and then more.
    if (++fences == 6) {
      Exec("ALTER TABLE public.messages_archive ADD COLUMN tokens int DEFAULT 7");
    }
    co_return;
  };
  EXPECT_EQ(
      Unarchive({{"chat", Chat(1)}}, {{"nice", "0"}}).Text(),
      "error  public.messages or public.messages_archive has got other columns or triggers since "
      "the run began");
  control_.on_fence = nullptr;
  EXPECT_EQ(Value("SELECT (SELECT count(*) FROM public.messages) + (SELECT count(*) FROM "
                  "public.messages_archive)"),
            "2015");
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).Text(),
            "error  public.messages has no column \"tokens\", whose values would be lost");
  Exec("ALTER TABLE public.messages ADD COLUMN tokens int");
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}).Text(), "ok");
  EXPECT_EQ(Live(), "1:2005 2:0 3:0");
}

TEST_F(MessageUnarchiveTest, CallsNoFunctionThatSomebodyPutIntoPublic) {
  Exec(R"(
    CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'planted'; END $$)");
  EXPECT_EQ(Unarchive({{"chat", Chat(1)}}, {{"trigger_mode", "respect"}}).Text(), "ok");
  EXPECT_EQ(Live(), "1:5 2:0 3:0");
}

// A condition that only mentions the setting does not let the job pass.
TEST_F(MessageUnarchiveTest, TakesATriggerForGuardedOnlyWhenItsConditionIsTheGuard) {
  Exec(R"(
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER note AFTER INSERT ON public.messages FOR EACH ROW
      WHEN (current_setting('pgsteward.archiving', true) = 'on') EXECUTE FUNCTION public.note())");
  const RunResult run = Unarchive({{"chat", Chat(1)}});
  EXPECT_EQ(run.Text(), "ok");
  EXPECT_EQ(run.report.details.at("triggers"),
            "triggers fire for each message: note; the documented one adds to message_count and "
            "sets updated_at of the chat to now");
}

TEST_F(MessageUnarchiveTest, IsNotUndoneByTheNextArchiveRun) {
  for (const bool partitioned : {false, true}) {
    SCOPED_TRACE(partitioned ? "partitioned" : "plain");
    Exec("TRUNCATE pgsteward.retention_hold");
    if (partitioned) Partition();
    Exec("INSERT INTO public.messages (session_id, user_id, content, created_at) SELECT '" +
         Chat(1) + "', '" + User(1) +
         "', 'y', '2021-01-31 12:00:00+00'::timestamptz + n * interval '1 hour' FROM "
         "generate_series(1, 20) n");
    const std::string live = Digest("messages");
    const std::map<std::string, std::string> fast = {{"nice", "0"}, {"vacuum", "false"}};
    const RunResult archived = Run(Spec("message_archive"), fast);
    EXPECT_EQ(archived.Text(), "ok");
    EXPECT_EQ(archived.report.rows_done, 20);
    EXPECT_EQ(Live(), "1:0 2:0 3:0");
    const std::string run = run_id_;

    EXPECT_EQ(Unarchive({{"run", run}}).report.rows_done, 20);
    EXPECT_EQ(Digest("messages"), live);
    EXPECT_EQ(Run(Spec("message_archive"), fast).report.rows_done, 0);
    EXPECT_EQ(Live(), "1:20 2:0 3:0");
    Exec("UPDATE pgsteward.retention_hold SET until = now() - interval '1 second'");
    EXPECT_EQ(Run(Spec("message_archive"), fast).report.rows_done, 20);
    EXPECT_EQ(Live(), "1:0 2:0 3:0");
    EXPECT_EQ(Value("SELECT count(*) FROM public.messages_archive WHERE content = 'y'"), "20");
    Exec("DELETE FROM public.messages_archive WHERE content = 'y'");
  }
}

}  // namespace
}  // namespace pgsteward
