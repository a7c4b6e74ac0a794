// Faults of the network: what the state is meanwhile, and that the session recovers.
#include "tests/core/pg_session_fixture.h"

namespace pgsteward {
namespace {

using testing::HasSubstr;

TEST_F(PgSessionTest, Refused) {
  gate_.Refuse();
  Start(ThroughGate());
  ExpectDown(ServerState::kUnreachable);
  EXPECT_THAT(session_->reason(), HasSubstr("Connection refused"));
  const SteadyTime deadline = SteadyNow() + 5s;
  while (session_->connect_failures() < 5 && SteadyNow() < deadline) Wait(5ms);
  EXPECT_GE(session_->connect_failures(), 5U);
  EXPECT_EQ(LinesWith("msg=\"cannot connect\""), 1U) << "once, not at each attempt: " << AllLines();
  gate_.Pass();
  ExpectRecovers();
  EXPECT_EQ(session_->connects(), 1U);
}

TEST_F(PgSessionTest, DroppedThenRefused) {
  StartUp(ThroughGate());
  gate_.Refuse();
  gate_.DropAll();
  EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  EXPECT_EQ(session_->state(), ServerState::kLost);
  ExpectDown(ServerState::kUnreachable);
  gate_.Pass();
  ExpectRecovers();
  EXPECT_EQ(session_->connects(), 2U);
}

TEST_F(PgSessionTest, AcceptedAndNothingSaid) {
  gate_.AcceptAndSilence();
  PgTarget target = ThroughGate();
  target.connect_timeout = 100ms;
  Start(target);
  ExpectDown(ServerState::kTimeout);
  EXPECT_THAT(session_->reason(), HasSubstr("no answer within 100 ms"));
  gate_.Pass();
  ExpectRecovers();
}

// Both ways a connection can end below us.
class PgSessionCut : public PgSessionTest, public testing::WithParamInterface<TcpGate::Cut> {};

TEST_P(PgSessionCut, InTheMiddleOfARow) {
  StartUp(ThroughGate());
  gate_.CutAfterBytes(5000, GetParam());
  EXPECT_EQ(Code(Query("SELECT repeat('x', 100000)")), Errc::kConnectionLost);
  EXPECT_EQ(session_->state(), ServerState::kLost);
  EXPECT_FALSE(session_->reason().empty());
  ExpectUnavailableAtOnce();
  ExpectRecovers();
  EXPECT_EQ(session_->connects(), 2U);
}

TEST_P(PgSessionCut, WhileConnecting) {
  for (const std::size_t bytes : {1, 5, 30, 200, 400}) {
    gate_.CutAfterBytes(bytes, GetParam());
    if (!session_) Start(ThroughGate());
    const SteadyTime deadline = SteadyNow() + 5s;
    const auto failures = session_->connect_failures();
    while (session_->connect_failures() == failures && SteadyNow() < deadline) Wait(1ms);
    EXPECT_GT(session_->connect_failures(), failures) << "cut after " << bytes;
    EXPECT_TRUE(Reaches(ServerState::kUp)) << session_->reason();
    // Off again for the next round.
    gate_.DropAll();
    EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  }
  gate_.Pass();
  ExpectRecovers();
}

INSTANTIATE_TEST_SUITE_P(Ends, PgSessionCut,
                         testing::Values(TcpGate::Cut::kReset, TcpGate::Cut::kFin),
                         [](const auto& test) {
                           return test.param == TcpGate::Cut::kReset ? "Reset" : "Fin";
                         });

TEST_F(PgSessionTest, DrippingAnswerIsATimeoutThatTheConnectionSurvives) {
  StartUp(ThroughGate());
  gate_.Drip(2ms);
  EXPECT_EQ(Code(Query("SELECT repeat('x', 50)", 100ms)), Errc::kTimeout);
  EXPECT_TRUE(session_->up());
  gate_.Pass();
  ExpectRecovers();
  EXPECT_EQ(session_->connects(), 1U);
}

TEST_F(PgSessionTest, DrippingConnectIsATimeout) {
  gate_.Drip(20ms);
  PgTarget target = ThroughGate();
  target.connect_timeout = 250ms;
  Start(target);
  ExpectDown(ServerState::kTimeout);
  gate_.Pass();
  ExpectRecovers();
}

TEST_F(PgSessionTest, SlowNetworkIsNoFault) {
  gate_.Delay(20ms);
  StartUp(ThroughGate());
  ExpectRecovers();
  EXPECT_EQ(session_->connect_failures(), 0U);
}

TEST_F(PgSessionTest, HalfClosed) {
  StartUp(ThroughGate());
  gate_.HalfClose();
  EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  EXPECT_EQ(session_->state(), ServerState::kLost);
  ExpectRecovers();
  EXPECT_EQ(session_->connects(), 2U);
}

TEST_F(PgSessionTest, HalfClosedDuringAStatement) {
  StartUp(ThroughGate());
  std::vector<Result<PgResult>> answers;
  tasks_.Spawn("query", QueryAndKeep(*session_, kLongStatement, 10s, answers));
  Wait(30ms);  // it is under way
  gate_.HalfClose();
  EXPECT_TRUE(Reaches(ServerState::kLost, 1s));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(Code(answers[0]), Errc::kConnectionLost);
  EXPECT_TRUE(Reaches(ServerState::kUp));
  EXPECT_TRUE(Query("SELECT 1"));
}

// A network that swallows everything: the statement ends at its timeout plus the two seconds that
// the cancelled statement is given; that is why this test is slow.
TEST_F(PgSessionTest, BlackholeDuringAStatement) {
  StartUp(ThroughGate());
  gate_.Blackhole();
  const SteadyTime start = SteadyNow();
  EXPECT_EQ(Code(Query("SELECT 1", 100ms)), Errc::kTimeout);
  EXPECT_LT(SteadyNow() - start, 4s);
  EXPECT_EQ(session_->state(), ServerState::kLost);
  EXPECT_TRUE(Reaches(ServerState::kUp)) << session_->reason();
  EXPECT_TRUE(Query("SELECT 1"));
  gate_.Pass();
  ExpectOneBackend();
}

// Neither answers nor refuses, also not the cancel request, again and again: nothing that waits for
// it may hold up the recovery. Slow for the same reason as above.
TEST_F(PgSessionTest, BlackholeThatSwallowsTheCancelRequestToo) {
  PgTarget target = ThroughGate();
  target.connect_timeout = 200ms;
  StartUp(target);
  for (int round = 1; round <= 3; ++round) {
    gate_.Blackhole();
    gate_.AcceptAndSilence();
    EXPECT_EQ(Code(Query("SELECT 1", 100ms)), Errc::kTimeout);
    ExpectDown(ServerState::kTimeout);
    gate_.Pass();
    ASSERT_TRUE(Reaches(ServerState::kUp)) << "round " << round << ": " << session_->reason();
  }
  ExpectRecovers();
}

}  // namespace
}  // namespace pgsteward
