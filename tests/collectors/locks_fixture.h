// Collectors that meet locks, against the executable's private server.
#pragma once

#include <gtest/gtest.h>

#include <any>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collectors/collector.h"
#include "core/pg_connection.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

// One connection with the daemon's session settings.
class MeasuringDatabase : public Database {
 public:
  explicit MeasuringDatabase(const std::string& conninfo,
                             Duration lock_timeout = std::chrono::milliseconds(500));
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  int server_version() const override { return connection_->server_version(); }
  std::string database() const override { return connection_->database(); }

  Runtime& runtime() { return runtime_; }
  // Statements since the last call.
  int TakeStatements() { return std::exchange(statements_, 0); }
  // Applied to each statement before it is sent.
  std::function<std::string(std::string)> rewrite;

 private:
  Runtime runtime_;
  std::unique_ptr<PgConnection> connection_;
  int statements_ = 0;
};

// Each test has a database of its own, `dbname_`.
class LocksTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  PgClient Connect() const { return Postgres().Connect(dbname_); }
  void Exec(const std::string& sql) const { Postgres().Exec(sql, dbname_); }
  std::string Conninfo() const { return Postgres().Conninfo(dbname_); }
  // Until so many locks are waited for on the whole server; fails the test after 10 s.
  void WaitForWaiters(int count) const;

  // One run that must succeed.
  Families Collect(const CollectorSpec& spec, MeasuringDatabase& db);
  Families Collect(const CollectorSpec& spec);

  std::string dbname_;
  CollectorOptions options_;
  std::any memory_;
};

// The sample lines of one family, as on the page.
std::vector<std::string> LinesOf(const Families& families, std::string_view metric);

}  // namespace pgsteward
