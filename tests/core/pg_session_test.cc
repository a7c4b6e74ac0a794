#include "core/pg_session.h"

#include <fstream>

#include "tests/core/pg_session_fixture.h"
#include "tests/support/fake_resolver.h"

namespace pgsteward {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(PgSessionTest, ConnectsAndAnswers) {
  Start(ThroughGate());
  EXPECT_EQ(session_->state(), ServerState::kConnecting);
  EXPECT_EQ(session_->server_version(), 0);
  EXPECT_EQ(session_->database(), "postgres") << "as the conninfo says";
  ExpectUnavailableAtOnce();
  ASSERT_TRUE(Reaches(ServerState::kUp));
  EXPECT_EQ(std::to_string(session_->server_version()),
            Postgres().Value("SHOW server_version_num"));
  EXPECT_EQ(session_->connects(), 1U);
  EXPECT_EQ(session_->connect_failures(), 0U);
  ExpectRecovers();
  EXPECT_EQ(LinesWith("level=info msg=connected server=main database=postgres"), 1U) << AllLines();
}

TEST_F(PgSessionTest, OneConnectionServesEverybodyInTurn) {
  StartUp(ThroughGate());
  std::vector<Result<PgResult>> answers;
  for (int i = 0; i < 20; ++i) {
    tasks_.Spawn("query", QueryAndKeep(*session_,
                                       "SELECT pg_backend_pid(), (SELECT count(*) FROM "
                                       "pg_stat_activity WHERE " +
                                           IsOurs() + "), pg_sleep(0.002)",
                                       2s, answers));
  }
  const SteadyTime deadline = SteadyNow() + 10s;
  while (answers.size() < 20 && SteadyNow() < deadline) Wait(5ms);
  ASSERT_EQ(answers.size(), 20U);
  for (const auto& rows : answers) {
    ASSERT_TRUE(rows) << ToText(rows.error());
    EXPECT_EQ(rows->Text(0, 0), answers.front()->Text(0, 0)) << "the same backend";
    EXPECT_EQ(rows->Text(0, 1), "1") << "and no other";
  }
  EXPECT_EQ(gate_.connections(), 1U);
}

TEST_F(PgSessionTest, AQueryErrorIsNoFault) {
  StartUp(ThroughGate());
  EXPECT_EQ(Code(Query("SELECT 1 / 0")), Errc::kQueryFailed);
  EXPECT_EQ(Code(Query("SELECT pg_sleep(30)", 100ms)), Errc::kTimeout);
  EXPECT_TRUE(session_->up());
  ExpectRecovers();
  EXPECT_EQ(session_->connects(), 1U);
}

// ---- name and password ----

TEST_F(PgSessionTest, NameThatDoesNotResolve) {
  SetResolving(Resolving::kUnknown);
  PgTarget target = ThroughGate();
  target.conninfo += std::string(" host=") + kSwitchedName;
  Start(target);
  ExpectDown(ServerState::kNameNotFound);
  EXPECT_THAT(session_->reason(), HasSubstr(kSwitchedName));
  EXPECT_EQ(gate_.connections(), 0U);
  SetResolving(Resolving::kLoopback);
  ExpectRecovers();
  SetResolving(Resolving::kUnknown);
}

TEST_F(PgSessionTest, ResolverThatHangs) {
  SetResolving(Resolving::kHangs);
  PgTarget target = ThroughGate();
  target.conninfo += std::string(" host=") + kSwitchedName;
  target.connect_timeout = 100ms;
  Start(target);
  ExpectDown(ServerState::kTimeout);
  SetResolving(Resolving::kLoopback);
  ExpectRecovers();
  SetResolving(Resolving::kUnknown);
}

TEST_F(PgSessionTest, WrongPassword) {
  Postgres().Exec("DROP ROLE IF EXISTS pw_user; CREATE ROLE pw_user LOGIN PASSWORD 'old-secret'");
  PgTarget target = ThroughGate("postgres", "pw_user");
  target.conninfo += " password=new-secret";
  Start(target);
  ExpectDown(ServerState::kAuthFailed);
  EXPECT_THAT(session_->reason(), HasSubstr("password authentication failed"));
  EXPECT_THAT(session_->reason(), HasSubstr("28P01"));
  Postgres().Exec("ALTER ROLE pw_user PASSWORD 'new-secret'");
  ExpectRecovers();
  EXPECT_THAT(AllLines(), Not(HasSubstr("secret")));
}

TEST_F(PgSessionTest, PasswordFileRepaired) {
  Postgres().Exec("DROP ROLE IF EXISTS pw_user; CREATE ROLE pw_user LOGIN PASSWORD 'new-secret'");
  const std::string path = Postgres().socket_dir() + "/session_password";
  PgTarget target = ThroughGate("postgres", "pw_user");
  target.password_file = path;
  Start(target);
  ExpectDown(ServerState::kAuthFailed);
  std::ofstream(path) << "new-secret\n";
  ExpectRecovers();
  EXPECT_THAT(AllLines(), Not(HasSubstr("secret")));
}

// ---- shutdown in each state ends promptly; TearDown() checks that of the states above too ----

TEST_F(PgSessionTest, StopWhileConnecting) {
  gate_.AcceptAndSilence();
  PgTarget target = ThroughGate();
  target.connect_timeout = 30s;
  Start(target);
  Wait(30ms);
  EXPECT_EQ(session_->state(), ServerState::kConnecting);
  EXPECT_TRUE(StopsPromptly());
}

TEST_F(PgSessionTest, StopWhileTheNameIsResolved) {
  SetResolving(Resolving::kHangs);
  PgTarget target = ThroughGate();
  target.conninfo += std::string(" host=") + kSwitchedName;
  target.connect_timeout = 30s;
  Start(target);
  Wait(30ms);
  EXPECT_EQ(session_->state(), ServerState::kConnecting);
  EXPECT_TRUE(StopsPromptly());
  SetResolving(Resolving::kUnknown);
}

TEST_F(PgSessionTest, StopDuringTheBackOff) {
  gate_.Refuse();
  session_ = std::make_unique<PgSession>(runtime_, "main", ThroughGate(),
                                         BackoffPolicy{.first = 60s, .longest = 60s});
  tasks_.Spawn("session", session_->Run());
  ExpectDown(ServerState::kUnreachable);
  EXPECT_TRUE(StopsPromptly());
}

TEST_F(PgSessionTest, StopWhileUp) {
  StartUp(ThroughGate());
  EXPECT_TRUE(StopsPromptly());
  session_.reset();
  const SteadyTime deadline = SteadyNow() + 3s;
  while (Backends() != 0 && SteadyNow() < deadline) Wait(5ms);
  EXPECT_EQ(Backends(), 0) << "the backend goes with the session";
}

TEST_F(PgSessionTest, StopDuringStatementsAndWaitsForThem) {
  StartUp(ThroughGate());
  std::vector<Result<PgResult>> answers;
  for (int i = 0; i < 3; ++i) {
    tasks_.Spawn("query", QueryAndKeep(*session_, kLongStatement, 20s, answers));
  }
  Wait(30ms);  // the first one is under way, the others queue
  EXPECT_TRUE(StopsPromptly());
  EXPECT_EQ(answers.size(), 0U);
}

TEST_F(PgSessionTest, StopWhileACancelledStatementIsDrained) {
  StartUp(ThroughGate());
  gate_.Blackhole();
  std::vector<Result<PgResult>> answers;
  tasks_.Spawn("query", QueryAndKeep(*session_, "SELECT 1", 20ms, answers));
  Wait(80ms);  // the timeout is over, the drain is not
  EXPECT_EQ(answers.size(), 0U);
  EXPECT_TRUE(StopsPromptly());
}

TEST_F(PgSessionTest, SessionUsedOnAfterAnAbandonedStatement) {
  StartUp(ThroughGate());
  TaskGroup other(runtime_);
  std::vector<Result<PgResult>> answers;
  other.Spawn("query", QueryAndKeep(*session_, kLongStatement, 20s, answers));
  Wait(30ms);  // it is under way
  other.Stop();
  EXPECT_TRUE(RunCoro(runtime_, other.Join(SteadyNow() + 1s)));
  EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost) << "half a statement is in it";
  ASSERT_TRUE(Reaches(ServerState::kUp));
  EXPECT_TRUE(Query("SELECT 1"));
}

}  // namespace
}  // namespace pgsteward
