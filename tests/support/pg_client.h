// A plain blocking connection for test set-up and for holding locks beside the code under test.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <string>

#include "core/pg_result.h"

namespace pgsteward {

class PgClient {
 public:
  // Throws std::runtime_error when it cannot connect.
  explicit PgClient(const std::string& conninfo);

  // Runs `sql` (one or more statements) and returns the last result; throws on an error.
  PgResult Exec(const std::string& sql);
  // The first column of the first row of the result as text; "" for NULL.
  std::string Value(const std::string& sql);

  // Sends `sql` without reading the answer, to sit in a lock wait or a long query.
  void ExecAsync(const std::string& sql);
  // The last result of ExecAsync(); throws on an error, and when there is none in time.
  PgResult Get(std::chrono::milliseconds timeout = std::chrono::seconds(20));

  int pid() const { return PQbackendPID(connection_.get()); }
  void Close() { connection_.reset(); }

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  std::unique_ptr<PGconn, Finish> connection_;
};

}  // namespace pgsteward
