// A PgConnection straight to PostgreSQL.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "core/pg_connection.h"
#include "tests/support/print.h"
#include "tests/support/private_postgres.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

using namespace std::chrono_literals;

using OpenResult = boost::system::result<std::unique_ptr<PgConnection>, OpenFailure>;

inline PgTarget Target(std::string conninfo = Postgres().Conninfo()) {
  PgTarget target;
  target.conninfo = std::move(conninfo);
  target.connect_timeout = 3s;
  return target;
}

class PgConnectionTest : public testing::Test {
 protected:
  OpenResult TryOpen(PgTarget target) {
    return RunCoro(runtime_, PgConnection::Open(runtime_, std::move(target)));
  }
  void Open(PgTarget target = Target()) {
    OpenResult opened = TryOpen(std::move(target));
    if (!opened) throw std::runtime_error(ToText(opened.error().error));
    connection_ = std::move(*opened);
  }
  void OpenWritable() {
    PgTarget target = Target();
    target.read_only = false;
    Open(target);
  }
  Result<PgResult> Query(std::string sql, PgValues values = {}, Duration timeout = 3s) {
    return RunCoro(runtime_, connection_->Query(std::move(sql), std::move(values), timeout));
  }
  Result<PgResult> Script(std::string sql, Duration timeout = 3s) {
    return RunCoro(runtime_, connection_->Script(std::move(sql), timeout));
  }
  // The only value of the result, or the error.
  static std::string Text(const Result<PgResult>& result) {
    if (!result) return "error: " + ToText(result.error());
    if (result->rows() != 1 || result->columns() != 1) return "not one value";
    return result->IsNull(0, 0) ? "NULL" : std::string(result->Text(0, 0));
  }
  static Errc Code(const Result<PgResult>& result) {
    EXPECT_FALSE(result);
    return result ? Errc::kNoData : result.error().code;
  }
  // The connection does its work.
  void ExpectUsable() {
    EXPECT_TRUE(connection_->usable());
    EXPECT_EQ(Text(Query("SELECT 'alive'")), "alive");
  }
  void ExpectClosed() {
    EXPECT_FALSE(connection_->usable());
    EXPECT_EQ(Code(Query("SELECT 1")), Errc::kConnectionLost);
  }

  Runtime runtime_;
  std::unique_ptr<PgConnection> connection_;
};

}  // namespace pgsteward
