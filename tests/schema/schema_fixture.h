// A database per test, and the schema applied to it the way the command does it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/pg_session.h"
#include "schema/apply.h"
#include "schema/check.h"
#include "schema/status.h"

namespace pgsteward {

// What a person would read, without the durations: "1.0.0 create_tables.sql: ok", "note: ...".
class RecordingListener : public ApplyListener {
 public:
  void Started(const std::string& step) override { step_ = step; }
  void Finished(const std::string& outcome, Duration) override {
    lines.push_back(step_ + ": " + outcome);
  }
  void Note(const std::string& text) override { lines.push_back("note: " + text); }
  void Notice(const std::string& text) override { notices.push_back(text); }

  std::vector<std::string> lines;
  std::vector<std::string> notices;

 private:
  std::string step_;
};

// One connection, as the commands that only read have it.
class OneConnection : public Database {
 public:
  OneConnection(Runtime& runtime, const std::string& conninfo);
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  int server_version() const override { return connection_->server_version(); }
  std::string database() const override { return connection_->database(); }

 private:
  std::unique_ptr<PgConnection> connection_;
};

struct Applied {
  Result<ApplyReport> report = Error(Errc::kQueryFailed, "not run");
  std::vector<std::string> lines;
  std::vector<std::string> notices;
};

// The options of tests: no waiting where waiting is not the subject.
ApplyOptions QuickOptions();
// On a loop of its own: may run in a thread.
Applied Apply(const std::string& conninfo, const std::string& to = "",
              const ApplyOptions& options = QuickOptions(),
              const SchemaComponent& component = HubSchema());
Applied Baseline(const std::string& conninfo, const std::string& version,
                 const SchemaComponent& component = HubSchema());
Result<std::vector<PlannedStep>> Plan(const std::string& conninfo, const std::string& to = "",
                                      const SchemaComponent& component = HubSchema());
Result<SchemaStatus> Status(const std::string& conninfo,
                            const SchemaComponent& component = HubSchema());
Result<SchemaCheck> Check(const std::string& conninfo,
                          const SchemaComponent& component = HubSchema());

// "1.0.0 applied", "1.2.0 incomplete".
std::vector<std::string> States(const Result<SchemaStatus>& status);
// "index messages.idx_x missing".
std::vector<std::string> Summary(const std::vector<SchemaDifference>& differences);

class SchemaTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Of the test's own database, "hub": empty at first.
  std::string Conninfo(const std::string& user = "postgres") const;
  // Makes it a copy of a hub with all versions, which is made once per test executable.
  void UseAppliedHub();
  // Waits until `sql` gives true.
  void WaitFor(const std::string& sql) const;
};

}  // namespace pgsteward
