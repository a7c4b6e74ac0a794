// A PgBouncer of the test's own in front of a PrivatePostgres.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/private_postgres.h"

namespace pgsteward {

struct PgBouncerOptions {
  std::string pool_mode = "transaction";
  int pool_size = 1;                              // per database and user: everybody shares it
  std::vector<std::string> users = {"postgres"};  // who may connect; nobody needs a password
};

class PgBouncer {
 public:
  // False where no pgbouncer is installed.
  static bool Installed();

  // Starts it; throws std::runtime_error when that fails. Its files lie in the server's directory.
  explicit PgBouncer(const PrivatePostgres& server, PgBouncerOptions options = {});
  ~PgBouncer();
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  int port() const { return port_; }  // on 127.0.0.1
  std::string Conninfo(const std::string& dbname, const std::string& user = "postgres") const;
  std::string LogText() const;

 private:
  void WaitReady();

  int port_ = 0;
  std::string log_;
  pid_t process_ = -1;
};

}  // namespace pgsteward
