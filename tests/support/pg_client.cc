#include "tests/support/pg_client.h"

#include <poll.h>

#include <stdexcept>

namespace pgsteward {

namespace {

using Clock = std::chrono::steady_clock;

// False at the deadline.
bool WaitReadable(PGconn* connection, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  pollfd fd{PQsocket(connection), POLLIN, 0};
  return left.count() > 0 && ::poll(&fd, 1, static_cast<int>(left.count())) > 0;
}

bool IsError(const PGresult* result) {
  const auto status = PQresultStatus(result);
  return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
}

}  // namespace

PgClient::PgClient(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str())) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
  // Notices of set-up statements are no news.
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
}

PgResult PgClient::Exec(const std::string& sql) {
  ExecAsync(sql);
  return Get();
}

std::string PgClient::Value(const std::string& sql) {
  const PgResult rows = Exec(sql);
  if (rows.rows() == 0) throw std::runtime_error("no rows: " + sql);
  return std::string(rows.Text(0, 0));
}

void PgClient::ExecAsync(const std::string& sql) {
  if (!connection_) throw std::runtime_error("the connection is closed");
  if (PQsendQuery(connection_.get(), sql.c_str()) == 0) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
}

PgResult PgClient::Get(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  PgResult last;
  std::string error;
  for (;;) {
    while (PQisBusy(connection_.get()) != 0) {
      if (!WaitReadable(connection_.get(), deadline)) throw std::runtime_error("no answer in time");
      // A lost connection ends the wait: PQisBusy is 0 then and PQgetResult has the error.
      PQconsumeInput(connection_.get());
    }
    PGresult* result = PQgetResult(connection_.get());
    if (!result) break;
    if (error.empty() && IsError(result)) error = PQresultErrorMessage(result);
    last = PgResult(result);
  }
  if (!error.empty()) throw std::runtime_error(error);
  return last;
}

}  // namespace pgsteward
