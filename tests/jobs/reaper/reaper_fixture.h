// Sessions for the reaper to find, and a role for it with no more than it needs.
#pragma once

#include <map>
#include <stdexcept>
#include <string>

#include "tests/jobs/job_fixture.h"

namespace pgsteward {

extern const JobSpec kReaper;

class ReaperTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    Exec(R"sql(
      DO $$
      BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN
          CREATE ROLE app LOGIN;
          CREATE ROLE batch LOGIN;
          CREATE ROLE etl_team;
          CREATE ROLE etl_member LOGIN IN ROLE etl_team;
          CREATE ROLE chief LOGIN SUPERUSER;
          CREATE ROLE "Reaper" LOGIN IN ROLE pg_read_all_stats, pg_signal_backend;
        END IF;
      END $$;
      GRANT USAGE ON SCHEMA pgsteward TO "Reaper";
      GRANT SELECT, INSERT, UPDATE (result) ON pgsteward.remediation_log TO "Reaper";
    )sql");
    user_ = "Reaper";
  }

  PgClient ConnectAs(const std::string& user, const std::string& application = "web",
                     const std::string& database = "") const {
    return PgClient(Postgres().Conninfo(database.empty() ? hub_ : database) + " user=" + user +
                    " application_name='" + application + "'");
  }

  // Until each of its condition is there; the rules of these tests begin at one second.
  void WaitForSessions(int number, const std::string& condition) const {
    WaitFor("SELECT count(*) = " + std::to_string(number) + " FROM pg_stat_activity WHERE " +
            condition);
  }
  static std::string LongActive(const PgClient& client) {
    return "pid = " + std::to_string(client.pid()) +
           " AND state = 'active' AND clock_timestamp() - query_start > '1 second'";
  }
  PgClient Sleeper(const std::string& user = "app") const {
    PgClient client = ConnectAs(user);
    client.ExecAsync("SELECT pg_sleep(60)");
    return client;
  }
  bool Runs(const PgClient& client) const {
    return Value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid = " +
                 std::to_string(client.pid())) == "1";
  }
  bool Lives(const PgClient& client) const {
    return Value("SELECT count(*) FROM pg_stat_activity WHERE pid = " +
                 std::to_string(client.pid())) == "1";
  }
  // What became of a statement that was sent: "57014", or "ok".
  static std::string Outcome(PgClient& client) {
    try {
      client.Get();
      return "ok";
    } catch (const std::runtime_error& e) {
      const std::string text = e.what();
      if (text.find("canceling statement due to user request") != std::string::npos) {
        return "cancelled";
      }
      if (text.find("terminating connection due to administrator command") != std::string::npos) {
        return "terminated";
      }
      return text;
    }
  }

  static std::map<std::string, std::string> Options(
      const std::string& mode, const std::map<std::string, std::string>& more = {}) {
    std::map<std::string, std::string> options = {
        {"mode", mode},          {"long_active", "1s"},
        {"idle_in_tx", "0s"},    {"root_blocker_victims", "0"},
        {"confirm_after", "1s"}, {"cancel_wait", "1s"}};
    for (const auto& [name, value] : more) options[name] = value;
    return options;
  }

  // "long_active cancel ended; ..."
  std::string Log() const {
    return Value(
        "SELECT string_agg(concat_ws(' ', rule, action, result), '; ' ORDER BY id) "
        "FROM pgsteward.remediation_log");
  }
};

using Details = std::map<std::string, std::string>;

}  // namespace pgsteward
