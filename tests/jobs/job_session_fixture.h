// A JobSession straight to PostgreSQL or through PgBouncer in transaction mode with one connection
// for everybody, and a gate in front of either.
#pragma once

#include <gmock/gmock.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "jobs/job_session.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/pgbouncer.h"
#include "tests/support/run_coro.h"
#include "tests/support/tcp_gate.h"

namespace pgsteward {

using namespace std::chrono_literals;

enum class Route { kDirect, kPooled };

class JobSessionTest : public JobTest, public testing::WithParamInterface<Route> {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    if (pooled_route() && !PgBouncer::Installed()) {
      if (ProgramsAreRequired()) FAIL() << "no pgbouncer found";
      GTEST_SKIP() << "skipped: no pgbouncer found";
    }
    if (pooled_route()) bouncer_ = std::make_unique<PgBouncer>(Postgres());
    gate_ = std::make_unique<TcpGate>(bouncer_ ? bouncer_->port() : Postgres().port());
    Exec("CREATE TABLE public.t (n int PRIMARY KEY)");
  }
  void TearDown() override {
    db_.reset();
    gate_.reset();
    bouncer_.reset();
    JobTest::TearDown();
  }

  static bool pooled_route() { return GetParam() == Route::kPooled; }
  std::string Conninfo() const { return Postgres().TcpConninfo(hub_, "postgres", gate_->port()); }
  std::unique_ptr<JobSession> NewSession() {
    PgTarget target;
    target.conninfo = Conninfo();
    target.part = "job/test";
    return std::make_unique<JobSession>(runtime_, target);
  }
  void Open() {
    if (!db_) db_ = NewSession();
    const Result<void> opened = RunCoro(runtime_, db_->Open());
    if (!opened) throw std::runtime_error(ToText(opened.error()));
  }
  Result<void> Begin(TransactionSettings settings = {}) {
    return RunCoro(runtime_, db_->Begin(std::move(settings)));
  }
  Result<void> Commit() { return RunCoro(runtime_, db_->Commit()); }
  void Rollback() { RunCoro(runtime_, db_->Rollback()); }
  Result<PgResult> Query(std::string sql, Duration timeout = 5s) {
    return RunCoro(runtime_, db_->Query(std::move(sql), PgValues(), timeout));
  }
  Result<PgResult> Alone(std::string sql) {
    return RunCoro(runtime_, db_->Alone(std::move(sql), 5s));
  }

  // The only value, "ok" for a success without one, or "55P03 canceling statement ...".
  static std::string Text(const Result<PgResult>& result) {
    if (!result) return result.error().sqlstate + " " + result.error().message;
    if (result->rows() == 0) return "ok";
    return result->IsNull(0, 0) ? "NULL" : std::string(result->Text(0, 0));
  }
  static std::string Text(const Result<void>& result) {
    return result ? "ok" : result.error().sqlstate + " " + result.error().message;
  }

  // A transaction does its work and is seen.
  void ExpectWorks() {
    const std::string count = Value("SELECT count(*) FROM public.t");
    EXPECT_EQ(Text(Begin()), "ok");
    EXPECT_EQ(Text(Query("INSERT INTO public.t SELECT 1 + coalesce(max(n), 100) FROM public.t")),
              "ok");
    EXPECT_EQ(Text(Commit()), "ok");
    EXPECT_EQ(Value("SELECT count(*) - " + count + " FROM public.t"), "1");
  }
  // No transaction of ours is open on the server, or not for long.
  void ExpectNothingHeld() const {
    WaitFor(
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND "
        "pid <> pg_backend_pid() AND xact_start IS NOT NULL");
  }

  Runtime runtime_;
  std::unique_ptr<PgBouncer> bouncer_;
  std::unique_ptr<TcpGate> gate_;
  std::unique_ptr<JobSession> db_;
};

inline std::string RouteName(const testing::TestParamInfo<Route>& route) {
  return route.param == Route::kDirect ? "Direct" : "Pooled";
}

}  // namespace pgsteward
