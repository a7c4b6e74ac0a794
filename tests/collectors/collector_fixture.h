// Collectors against the executable's private server.
#pragma once

#include <gtest/gtest.h>

#include <any>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collectors/registry.h"
#include "core/pg_connection.h"
#include "core/pg_session.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

// All versions of schema/, in order.
void ApplyHubSchema(const std::string& dbname);

// A collector's view of one connection, as the daemon would open it.
class ConnectedDatabase : public Database {
 public:
  ConnectedDatabase(const std::string& dbname, const std::string& user);
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  int server_version() const override { return connection_->server_version(); }
  std::string database() const override { return connection_->database(); }
  Runtime& runtime() { return runtime_; }

 private:
  Runtime runtime_;
  std::unique_ptr<PgConnection> connection_;
};

// Roles of the cluster: "monitor" has pg_monitor and may read the hub's tables, "plain" has
// nothing. The database `hub_` is a fresh hub in each test.
class CollectorTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  void SetUp() override;
  void TearDown() override;

  // One run on a connection of its own, when the sessions that the test has closed are gone.
  Result<Families> Run(std::string_view collector, const std::string& user = "monitor",
                       const std::string& dbname = {});
  // The same, for a run that must succeed: the sample lines of one family, as on the page.
  std::vector<std::string> Lines(std::string_view collector, std::string_view metric,
                                 const std::string& user = "monitor");

  int ServerMajor() const;
  std::string Value(const std::string& sql) const { return Postgres().Value(sql, hub_); }
  void Exec(const std::string& sql) const { Postgres().Exec(sql, hub_); }
  // A session of the test. Name it: Run() waits for nameless ones, such as WaitFor()'s, to be gone.
  PgClient Connect(const std::string& application) const {
    return PgClient(Postgres().Conninfo(hub_) + " application_name='" + application + "'");
  }
  // Asks until `sql` gives "t"; fails the test when it does not within 10 s.
  void WaitFor(const std::string& sql) const;

  std::string hub_;
  CollectorOptions options_;
  std::any memory_;  // of the next Run()
};

std::vector<std::string> LinesOf(const Families& families, std::string_view metric);

}  // namespace pgsteward
