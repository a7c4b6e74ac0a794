// What PostgreSQL's and libpq's errors mean to us. Decided by SQLSTATE, never by message text.
#pragma once

#include <libpq-fe.h>

#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// Why a server is, or is not, being measured: label `state` of pgsteward_server_state.
enum class ServerState {
  kConnecting,  // first attempt under way
  kUp,
  kNameNotFound,        // the host name does not resolve
  kUnreachable,         // refused, no route, no socket
  kTimeout,             // accepts and says nothing, or too slow
  kAuthFailed,          // class 28: password, pg_hba.conf, role
  kTooManyConnections,  // 53300
  kStarting,            // 57P03: starting up, shutting down or recovering
  kNoDatabase,          // 3D000
  kLost,                // was there, then the connection broke
  kFailed,              // anything else; the log says what
};
inline constexpr int kServerStateCount = 11;
std::string_view ServerStateName(ServerState state);  // "too_many_connections"

// The reaction to an SQLSTATE.
Errc ErrcOfSqlstate(std::string_view sqlstate);
// Worth another attempt with the same statement: the connection, a serialization failure or
// deadlock, resources, a lock, a server that is going down or coming up.
bool IsRetryableSqlstate(std::string_view sqlstate);
// A sentence of advice, empty when we know none.
std::string_view HintOfSqlstate(std::string_view sqlstate);
// The state a failed connection attempt puts the server into; "" (no answer from PostgreSQL) is
// kUnreachable.
ServerState StateOfConnectFailure(std::string_view sqlstate);

// Error of a failed result.
Error ErrorOfResult(const PGresult* result);

struct ConnectFailure {
  std::string message;   // one line, without libpq's LOCATION line
  std::string sqlstate;  // empty when PostgreSQL did not answer
};
// Takes PQerrorMessage() of a failed connection whose verbosity was PQERRORS_VERBOSE: the only way
// to learn a connection failure's SQLSTATE from libpq is that fixed field of the verbose form.
ConnectFailure ParseConnectFailure(std::string_view verbose_message);

}  // namespace pgsteward
