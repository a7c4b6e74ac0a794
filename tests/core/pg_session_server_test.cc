// Faults of the server: what the state is meanwhile, and that the session recovers.
#include <signal.h>

#include "tests/core/pg_session_fixture.h"

namespace pgsteward {
namespace {

using testing::HasSubstr;

TEST_F(PgSessionTest, BackendTerminated) {
  StartUp(ThroughGate());
  EXPECT_EQ(Postgres().TerminateBackends(IsOurs()), 1);
  const auto rows = Query("SELECT 1");
  EXPECT_EQ(Code(rows), Errc::kConnectionLost);
  EXPECT_EQ(session_->state(), ServerState::kLost);
  EXPECT_THAT(session_->reason(), HasSubstr("terminating connection due to administrator command"));
  ExpectRecovers();
  EXPECT_EQ(LinesWith("level=warning msg=\"connection lost\""), 1U) << AllLines();
}

TEST_F(PgSessionTest, WaitingCallersAreToldAtOnce) {
  StartUp(ThroughGate());
  std::vector<Result<PgResult>> answers;
  for (int i = 0; i < 5; ++i) {
    tasks_.Spawn("query", QueryAndKeep(*session_, kLongStatement, 20s, answers));
  }
  Wait(30ms);  // the first one is under way, the others queue
  EXPECT_EQ(answers.size(), 0U);
  const SteadyTime start = SteadyNow();
  gate_.Refuse();
  gate_.DropAll();
  while (answers.size() < 5 && SteadyNow() < start + 5s) Wait(2ms);
  EXPECT_LT(SteadyNow() - start, 1s);
  ASSERT_EQ(answers.size(), 5U);
  EXPECT_EQ(Code(answers[0]), Errc::kConnectionLost);
  for (int i = 1; i < 5; ++i) EXPECT_EQ(Code(answers[i]), Errc::kUnavailable);
  gate_.Pass();
  ExpectRecovers();
}

class PgSessionStop : public PgSessionTest,
                      public testing::WithParamInterface<PrivatePostgres::StopMode> {};

TEST_P(PgSessionStop, ServerStoppedAndStarted) {
  PgTarget target;
  target.conninfo = Postgres().TcpConninfo();
  target.part = Part();
  StartUp(target);
  Postgres().Stop(GetParam());
  EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  EXPECT_EQ(session_->state(), ServerState::kLost);
  ExpectDown(ServerState::kUnreachable);
  Postgres().Start();
  ExpectRecovers();
}

INSTANTIATE_TEST_SUITE_P(Modes, PgSessionStop,
                         testing::Values(PrivatePostgres::StopMode::kFast,
                                         PrivatePostgres::StopMode::kImmediate),
                         [](const auto& test) {
                           return test.param == PrivatePostgres::StopMode::kFast ? "Fast"
                                                                                 : "Immediate";
                         });

TEST_F(PgSessionTest, ServerShuttingDown) {
  PgTarget target;
  target.conninfo = Postgres().TcpConninfo();
  target.part = Part();
  {
    // A smart shutdown waits for this client and refuses new ones meanwhile.
    PgClient lingering = Postgres().Connect();
    ASSERT_EQ(::kill(Postgres().pid(), SIGTERM), 0);
    Start(target);
    ExpectDown(ServerState::kStarting);
    EXPECT_THAT(session_->reason(), HasSubstr("the database system is shutting down"));
  }
  Postgres().Stop();
  ExpectDown(ServerState::kUnreachable);
  Postgres().Start();
  ExpectRecovers();
}

TEST_F(PgSessionTest, TooManyConnections) {
  std::vector<PgClient> others;
  try {
    for (;;) others.push_back(Postgres().Connect());
  } catch (const std::runtime_error& e) {
    ASSERT_THAT(e.what(), HasSubstr("too many clients"));
  }
  Start(ThroughGate());
  ExpectDown(ServerState::kTooManyConnections);
  EXPECT_THAT(session_->reason(), HasSubstr("53300"));
  EXPECT_THAT(session_->reason(), HasSubstr("max_connections"));
  others.clear();
  ExpectRecovers();
}

TEST_F(PgSessionTest, DatabaseAbsentThenDropped) {
  Postgres().DropDatabase("comes_and_goes");
  Start(ThroughGate("comes_and_goes"));
  ExpectDown(ServerState::kNoDatabase);
  EXPECT_THAT(session_->reason(), HasSubstr("database \"comes_and_goes\" does not exist"));
  Postgres().CreateDatabase("comes_and_goes");
  ExpectRecovers();

  Postgres().DropDatabase("comes_and_goes");
  EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  ExpectDown(ServerState::kNoDatabase);
  Postgres().CreateDatabase("comes_and_goes");
  ExpectRecovers();
  EXPECT_TRUE(StopsPromptly());
  Postgres().DropDatabase("comes_and_goes");
}

}  // namespace
}  // namespace pgsteward
