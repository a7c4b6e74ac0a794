#include "core/pg_error.h"

#include <algorithm>

namespace pgsteward {

namespace {

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// libpq's messages end in a newline, span lines and indent the second with a tab.
std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool breaks = c == '\n' || c == '\t';
    if (!breaks) line += c;
    if (breaks && !line.empty() && line.back() != ' ') line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

bool IsSqlstate(std::string_view text) {
  return text.size() == 5 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
         });
}

}  // namespace

std::string_view ServerStateName(ServerState state) {
  switch (state) {
    case ServerState::kConnecting:
      return "connecting";
    case ServerState::kUp:
      return "up";
    case ServerState::kNameNotFound:
      return "name_not_found";
    case ServerState::kUnreachable:
      return "unreachable";
    case ServerState::kTimeout:
      return "timeout";
    case ServerState::kAuthFailed:
      return "auth_failed";
    case ServerState::kTooManyConnections:
      return "too_many_connections";
    case ServerState::kStarting:
      return "starting";
    case ServerState::kNoDatabase:
      return "no_database";
    case ServerState::kLost:
      return "lost";
    case ServerState::kFailed:
      return "failed";
  }
  return "failed";
}

Errc ErrcOfSqlstate(std::string_view sqlstate) {
  if (sqlstate == "57014") return Errc::kTimeout;  // query_canceled, also by statement_timeout
  if (sqlstate == "55P03" || sqlstate == "40P01") return Errc::kBusy;  // lock timeout, deadlock
  // undefined table, schema, object; feature not supported. Not an undefined column or function:
  // those mean that our SQL does not fit this server, which a person must know.
  for (const std::string_view missing : {"42P01", "3F000", "42704", "0A000", "55000"}) {
    if (sqlstate == missing) return Errc::kUnsupported;
  }
  if (StartsWith(sqlstate, "08") || sqlstate == "57P01" || sqlstate == "57P02" ||
      sqlstate == "57P03" || sqlstate == "57P04" || sqlstate == "57P05" || sqlstate == "25P03" ||
      sqlstate == "25P04") {
    return Errc::kConnectionLost;
  }
  return Errc::kQueryFailed;
}

bool IsRetryableSqlstate(std::string_view sqlstate) {
  for (const std::string_view kind : {"08", "40", "53", "55P03", "57P0"}) {
    if (StartsWith(sqlstate, kind)) return true;
  }
  return false;
}

std::string_view HintOfSqlstate(std::string_view sqlstate) {
  if (sqlstate == "42501") {
    return "Grant pg_monitor to the role, SELECT on the hub's tables, and BYPASSRLS where row "
           "level security would hide rows.";
  }
  if (sqlstate == "53300") {
    return "Raise the limit that the message names: max_connections, or the CONNECTION LIMIT of "
           "the role or the database.";
  }
  if (StartsWith(sqlstate, "28")) {
    return "Check the role, its password source (password_file, passfile) and pg_hba.conf.";
  }
  if (sqlstate == "3D000") return "Check dbname in the connection string.";
  if (sqlstate == "57014") {
    return "Raise the collector's timeout, or give it a longer interval.";
  }
  if (sqlstate == "55P03") return "See who holds the lock with: pgsteward locks.";
  if (sqlstate == "22023") return "Check time_zone: PostgreSQL must know the name.";
  return {};
}

ServerState StateOfConnectFailure(std::string_view sqlstate) {
  if (sqlstate.empty()) return ServerState::kUnreachable;
  if (StartsWith(sqlstate, "28")) return ServerState::kAuthFailed;
  if (sqlstate == "53300") return ServerState::kTooManyConnections;
  if (sqlstate == "57P03") return ServerState::kStarting;
  if (sqlstate == "3D000") return ServerState::kNoDatabase;
  if (sqlstate == "57P01" || sqlstate == "57P02") return ServerState::kLost;
  return ServerState::kFailed;
}

Error ErrorOfResult(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  // libpq's own errors (connection lost) have no fields, only a message.
  if (!state) {
    return Error(Errc::kConnectionLost, OneLine(PQresultErrorMessage(result)));
  }
  return Error(ErrcOfSqlstate(state), OneLine(primary ? primary : PQresultErrorMessage(result)),
               state, std::string(HintOfSqlstate(state)));
}

ConnectFailure ParseConnectFailure(std::string_view verbose_message) {
  ConnectFailure failure;
  std::string text;
  // ... failed: FATAL:  28P01: password authentication failed for user "x"
  // LOCATION:  auth_failed, auth.c:326
  // and so for each host that was tried; the last one's answer counts.
  while (!verbose_message.empty()) {
    const std::size_t end = std::min(verbose_message.find('\n'), verbose_message.size());
    std::string line(verbose_message.substr(0, end));
    verbose_message.remove_prefix(std::min(end + 1, verbose_message.size()));
    if (StartsWith(line, "LOCATION:")) continue;
    if (StartsWith(line, "connection to server")) failure.sqlstate.clear();
    // The severity in front of it is in the server's language, the form is not.
    constexpr std::string_view kSeparator = ":  ";
    const std::size_t separator = line.rfind(kSeparator);
    if (separator != std::string::npos) {
      const std::size_t code = separator + kSeparator.size();
      if (line.size() > code + 6 && IsSqlstate(line.substr(code, 5)) && line[code + 5] == ':') {
        failure.sqlstate = line.substr(code, 5);
        line.erase(code, 7);
      }
    }
    text += line + '\n';
  }
  failure.message = OneLine(text);
  return failure;
}

}  // namespace pgsteward
