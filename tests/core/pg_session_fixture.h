// A PgSession with a gate between it and PostgreSQL.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/log.h"
#include "core/pg_session.h"
#include "core/task_group.h"
#include "tests/support/print.h"
#include "tests/support/private_postgres.h"
#include "tests/support/run_coro.h"
#include "tests/support/tcp_gate.h"

namespace pgsteward {

using namespace std::chrono_literals;

// Under way for long enough. Not longer: a backend that sleeps does not notice that its client is
// gone.
inline constexpr char kLongStatement[] = "SELECT pg_sleep(1.5)";

inline Task<bool> ReachState(PgSession& session, ServerState state, Deadline deadline) {
  while (session.state() != state) {
    const bool notified = co_await session.changed().WaitUntil(deadline);
    if (!notified) co_return false;
  }
  co_return true;
}

inline Task<void> QueryAndKeep(PgSession& session, std::string sql, Duration timeout,
                               std::vector<Result<PgResult>>& answers) {
  auto answer = co_await session.Query(std::move(sql), PgValues(), timeout);
  answers.push_back(std::move(answer));
}

class PgSessionTest : public testing::Test {
 protected:
  PgSessionTest() : gate_(Postgres().port()), tasks_(runtime_) {}

  void TearDown() override {
    EXPECT_TRUE(StopsPromptly());
    // Whatever a pool thread still waits for ends now.
    gate_.DropAll();
  }

  PgTarget ThroughGate(const std::string& dbname = "postgres",
                       const std::string& user = "postgres") {
    PgTarget target;
    target.conninfo = Postgres().TcpConninfo(dbname, user, gate_.port());
    target.connect_timeout = 2s;
    target.part = Part();
    return target;
  }
  // Each test has its own name at the server, which may still be ending another test's backend.
  static std::string Part() {
    return testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void Start(PgTarget target) {
    session_ = std::make_unique<PgSession>(runtime_, "main", std::move(target),
                                           BackoffPolicy{.first = 10ms, .longest = 40ms});
    tasks_.Spawn("session", session_->Run());
  }
  void StartUp(PgTarget target) {
    Start(std::move(target));
    ASSERT_TRUE(Reaches(ServerState::kUp)) << session_->reason();
  }
  bool Reaches(ServerState state, Duration within = 10s) {
    return RunCoro(runtime_, ReachState(*session_, state, SteadyNow() + within));
  }
  void Wait(Duration duration) { RunCoro(runtime_, SleepUntil(SteadyNow() + duration)); }
  Result<PgResult> Query(std::string sql, Duration timeout = 2s) {
    return RunCoro(runtime_, session_->Query(std::move(sql), PgValues(), timeout));
  }
  bool StopsPromptly() {
    const SteadyTime start = SteadyNow();
    tasks_.Stop();
    const bool joined = RunCoro(runtime_, tasks_.Join(start + 1s));
    return joined;
  }

  static std::string IsOurs() { return "application_name = 'pgsteward:" + Part() + "'"; }
  // How many backends serve us, as the server says.
  int Backends() {
    return std::stoi(Postgres().Value("SELECT count(*) FROM pg_stat_activity WHERE " + IsOurs()));
  }
  // A backend whose client is gone needs a moment to notice.
  void ExpectOneBackend() {
    const SteadyTime deadline = SteadyNow() + 10s;
    while (Backends() != 1 && SteadyNow() < deadline) Wait(5ms);
    EXPECT_EQ(Backends(), 1);
  }
  void ExpectUnavailableAtOnce() {
    const SteadyTime start = SteadyNow();
    const auto rows = Query("SELECT 1");
    EXPECT_LT(SteadyNow() - start, 500ms);
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().code, Errc::kUnavailable);
    EXPECT_FALSE(rows.error().message.empty());
  }
  // The state as the page will show it, with a reason and no session.
  void ExpectDown(ServerState state) {
    EXPECT_TRUE(Reaches(state)) << ServerStateName(session_->state()) << ", wanted "
                                << ServerStateName(state) << ": " << session_->reason();
    EXPECT_FALSE(session_->up());
    EXPECT_FALSE(session_->reason().empty());
    ExpectUnavailableAtOnce();
  }
  void ExpectRecovers() {
    EXPECT_TRUE(Reaches(ServerState::kUp)) << session_->reason();
    EXPECT_EQ(session_->reason(), "");
    const auto rows = Query("SELECT 'alive'");
    ASSERT_TRUE(rows) << ToText(rows.error());
    EXPECT_EQ(rows->Text(0, 0), "alive");
    ExpectOneBackend();
  }
  std::size_t LinesWith(const std::string& text) const {
    std::size_t count = 0;
    for (const auto& line : log_.lines()) count += line.find(text) != std::string::npos ? 1 : 0;
    return count;
  }
  std::string AllLines() const {
    std::string all;
    for (const auto& line : log_.lines()) all += line + "\n";
    return all;
  }

  LogCapture log_;
  TcpGate gate_;
  Runtime runtime_;
  TaskGroup tasks_;
  std::unique_ptr<PgSession> session_;
};

inline Errc Code(const Result<PgResult>& rows) { return rows ? Errc::kNoData : rows.error().code; }

}  // namespace pgsteward
