// A PostgreSQL of the test's own: its cluster, its port, gone with the test process.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/pg_client.h"

namespace pgsteward {

struct PrivatePostgresOptions {
  // Also listens on 127.0.0.1, on a free port. Over TCP the role pw_user needs its password
  // (scram); everybody else is trusted, and everybody is over the Unix socket.
  bool tcp = false;
  int max_connections = 40;
  std::vector<std::string> settings = {};  // more server settings, "name=value"
  // Not a new cluster but a copy of the one with this conninfo, that follows it as a standby;
  // see PrivateStandby.
  std::string standby_of = {};
};

// `argv` as a program that the kernel signals when this process is gone, however it went, and, for
// programs that refuse root, as the user postgres.
std::vector<std::string> AsServerUser(std::vector<std::string> argv,
                                      const std::string& death_signal);
// On 127.0.0.1, where nobody listens.
int FreePort();

class PrivatePostgres {
 public:
  enum class StopMode { kFast, kImmediate };

  // The directory of initdb and postgres: $PGSTEWARD_PG_BIN, pg_config's, or the newest of
  // /usr/lib/postgresql. Empty when none has them.
  static std::optional<std::string> FindBinaries();

  // Makes the cluster and starts the server; throws std::runtime_error when that fails.
  // Use it from the main thread: the server ends when the thread that started it ends.
  explicit PrivatePostgres(PrivatePostgresOptions options = {});
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  void Start();
  void Stop(StopMode mode = StopMode::kFast);
  void Restart(StopMode mode = StopMode::kFast);

  // As superuser "postgres" over the Unix socket.
  std::string Conninfo(const std::string& dbname = "postgres") const;
  // Over TCP; `port` may be a TcpGate's.
  std::string TcpConninfo(const std::string& dbname = "postgres",
                          const std::string& user = "postgres", int port = 0) const;
  const std::string& socket_dir() const { return dir_; }
  std::string data_dir() const { return dir_ + "/data"; }
  const std::string& binaries() const { return binaries_; }
  int port() const { return port_; }
  pid_t pid() const { return server_; }

  void CreateDatabase(const std::string& name, const std::string& template_name = "template1");
  // Ends its sessions first; no error when there is no such database.
  void DropDatabase(const std::string& name);

  // Terminates the backends for which `condition` on pg_stat_activity holds, and waits until they
  // are gone; how many there were.
  int TerminateBackends(const std::string& condition) const;

  PgClient Connect(const std::string& dbname = "postgres") const;
  // On a connection of its own each.
  PgResult Exec(const std::string& sql, const std::string& dbname = "postgres") const;
  std::string Value(const std::string& sql, const std::string& dbname = "postgres") const;
  // psql -X -v ON_ERROR_STOP=1 with `arguments` ("-f", "file.sql"); its output, throws on failure.
  std::string Psql(const std::string& dbname, const std::vector<std::string>& arguments) const;

  // What the server logged since the last call.
  std::string NewLogText() { return LogTextSince(log_offset_); }
  // What it logged after `offset`, which moves to the end.
  std::string LogTextSince(std::size_t& offset) const;

 private:
  void MakeDirectory();
  void InitCluster() const;
  void CopyCluster() const;
  void WaitReady();
  bool Reap();

  PrivatePostgresOptions options_;
  std::string binaries_;
  std::string dir_;
  int port_ = 5432;
  pid_t server_ = -1;
  pid_t watchdog_ = -1;
  int watchdog_pipe_ = -1;
  std::size_t log_offset_ = 0;
};

// PGSTEWARD_REQUIRE_POSTGRES=1, as ./dev test sets it: what is not installed is a failure and no
// reason to skip.
bool ProgramsAreRequired();

// One cluster per test executable. Without PostgreSQL's binaries the tests are skipped, or fail
// when PGSTEWARD_REQUIRE_POSTGRES=1. Register it in one file of the executable:
//   [[maybe_unused]] const auto* const kPostgres =
//       ::testing::AddGlobalTestEnvironment(new PostgresEnvironment({.tcp = true}));
// After a failed test the new part of the server's log is printed.
class PostgresEnvironment : public ::testing::Environment {
 public:
  explicit PostgresEnvironment(PrivatePostgresOptions options = {})
      : options_(std::move(options)) {}
  void SetUp() override;
  void TearDown() override;

 private:
  PrivatePostgresOptions options_;
};

// The executable's cluster, between the environment's SetUp() and TearDown().
PrivatePostgres& Postgres();

}  // namespace pgsteward
