#include "core/pg_error.h"

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <set>

#include "tests/support/print.h"

namespace pgsteward {
namespace {

TEST(PgError, StateNamesAreDistinct) {
  std::set<std::string_view> names;
  for (int i = 0; i < kServerStateCount; ++i) {
    names.insert(ServerStateName(static_cast<ServerState>(i)));
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"connecting", "up", "name_not_found", "unreachable",
                                               "timeout", "auth_failed", "too_many_connections",
                                               "starting", "no_database", "lost", "failed"}));
}

struct SqlstateCase {
  const char* sqlstate;
  Errc code;
};

void PrintTo(const SqlstateCase& c, std::ostream* out) { *out << c.sqlstate; }

class SqlstateTable : public testing::TestWithParam<SqlstateCase> {};

TEST_P(SqlstateTable, ErrcOfSqlstate) {
  EXPECT_EQ(ErrcName(ErrcOfSqlstate(GetParam().sqlstate)), ErrcName(GetParam().code));
}

INSTANTIATE_TEST_SUITE_P(
    PgError, SqlstateTable,
    testing::Values(
        SqlstateCase{"57014", Errc::kTimeout}, SqlstateCase{"55P03", Errc::kBusy},
        SqlstateCase{"40P01", Errc::kBusy}, SqlstateCase{"42P01", Errc::kUnsupported},
        SqlstateCase{"42883", Errc::kQueryFailed}, SqlstateCase{"42703", Errc::kQueryFailed},
        SqlstateCase{"3F000", Errc::kUnsupported}, SqlstateCase{"42704", Errc::kUnsupported},
        SqlstateCase{"0A000", Errc::kUnsupported}, SqlstateCase{"55000", Errc::kUnsupported},
        SqlstateCase{"08006", Errc::kConnectionLost}, SqlstateCase{"08P01", Errc::kConnectionLost},
        SqlstateCase{"57P01", Errc::kConnectionLost}, SqlstateCase{"57P02", Errc::kConnectionLost},
        SqlstateCase{"57P03", Errc::kConnectionLost}, SqlstateCase{"57P05", Errc::kConnectionLost},
        SqlstateCase{"25P03", Errc::kConnectionLost}, SqlstateCase{"42501", Errc::kQueryFailed},
        SqlstateCase{"42601", Errc::kQueryFailed}, SqlstateCase{"22012", Errc::kQueryFailed},
        SqlstateCase{"25006", Errc::kQueryFailed}, SqlstateCase{"XX000", Errc::kQueryFailed},
        SqlstateCase{"", Errc::kQueryFailed}),
    [](const auto& test) {
      const std::string name = test.param.sqlstate;
      return name.empty() ? std::string("none") : name;
    });

TEST(PgError, HintsAreSentencesAndNoneWhereWeKnowNone) {
  for (const char* sqlstate : {"42501", "53300", "28P01", "28000", "3D000", "57014", "55P03"}) {
    const std::string_view hint = HintOfSqlstate(sqlstate);
    ASSERT_FALSE(hint.empty()) << sqlstate;
    EXPECT_EQ(hint.back(), '.') << sqlstate;
  }
  EXPECT_EQ(HintOfSqlstate("42601"), "");
  EXPECT_EQ(HintOfSqlstate(""), "");
}

TEST(PgError, StateOfConnectFailure) {
  EXPECT_EQ(StateOfConnectFailure(""), ServerState::kUnreachable);
  EXPECT_EQ(StateOfConnectFailure("28000"), ServerState::kAuthFailed);
  EXPECT_EQ(StateOfConnectFailure("28P01"), ServerState::kAuthFailed);
  EXPECT_EQ(StateOfConnectFailure("53300"), ServerState::kTooManyConnections);
  EXPECT_EQ(StateOfConnectFailure("57P03"), ServerState::kStarting);
  EXPECT_EQ(StateOfConnectFailure("3D000"), ServerState::kNoDatabase);
  EXPECT_EQ(StateOfConnectFailure("57P01"), ServerState::kLost);
  EXPECT_EQ(StateOfConnectFailure("57P02"), ServerState::kLost);
  EXPECT_EQ(StateOfConnectFailure("42501"), ServerState::kFailed);
  EXPECT_EQ(StateOfConnectFailure("XX000"), ServerState::kFailed);
}

// Messages of libpq 15 and PostgreSQL 15 as they came, PQERRORS_VERBOSE.
struct ConnectCase {
  const char* name;
  const char* verbose;
  const char* sqlstate;
  const char* message;
};

void PrintTo(const ConnectCase& c, std::ostream* out) { *out << c.name; }

class ConnectFailureTable : public testing::TestWithParam<ConnectCase> {};

TEST_P(ConnectFailureTable, ParseConnectFailure) {
  const ConnectFailure failure = ParseConnectFailure(GetParam().verbose);
  EXPECT_EQ(failure.sqlstate, GetParam().sqlstate);
  EXPECT_EQ(failure.message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    PgError, ConnectFailureTable,
    testing::Values(
        ConnectCase{"WrongPassword",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  28P01: "
                    "password authentication failed for user \"pw_user\"\n"
                    "LOCATION:  auth_failed, auth.c:334\n",
                    "28P01",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  password "
                    "authentication failed for user \"pw_user\""},
        ConnectCase{"NoRole",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  28000: role "
                    "\"nobody_here\" does not exist\n"
                    "LOCATION:  InitializeSessionUserId, miscinit.c:768\n",
                    "28000",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  role "
                    "\"nobody_here\" does not exist"},
        ConnectCase{"NoDatabase",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  3D000: "
                    "database \"nodb\" does not exist\n"
                    "LOCATION:  InitPostgres, postinit.c:948\n",
                    "3D000",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  database "
                    "\"nodb\" does not exist"},
        ConnectCase{"TooMany",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  53300: "
                    "sorry, too many clients already\nLOCATION:  InitProcess, proc.c:357\n",
                    "53300",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  sorry, too "
                    "many clients already"},
        ConnectCase{"ShuttingDown",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  57P03: the "
                    "database system is shutting down\n"
                    "LOCATION:  ProcessStartupPacket, postmaster.c:2430\n",
                    "57P03",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  the "
                    "database system is shutting down"},
        // lc_messages = ru_RU.UTF-8: the severity is translated, the SQLSTATE is not.
        ConnectCase{"SeverityInTheServersLanguage",
                    "connection to server at \"127.0.0.1\", port 26808 failed: ВАЖНО:  28P01: "
                    "пользователь \"pw_user\" не прошёл проверку подлинности (по паролю)\n"
                    "LOCATION:  auth_failed, auth.c:334\n",
                    "28P01",
                    "connection to server at \"127.0.0.1\", port 26808 failed: ВАЖНО:  "
                    "пользователь \"pw_user\" не прошёл проверку подлинности (по паролю)"},
        ConnectCase{"SecondHostAnswered",
                    "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
                    "\tIs the server running on that host and accepting TCP/IP connections?\n"
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  3D000: "
                    "database \"nodb\" does not exist\n"
                    "LOCATION:  InitPostgres, postinit.c:948\n",
                    "3D000",
                    "connection to server at \"127.0.0.1\", port 1 failed: Connection refused "
                    "Is the server running on that host and accepting TCP/IP connections? "
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  database "
                    "\"nodb\" does not exist"},
        // The last host's answer counts: libpq gives up there.
        ConnectCase{"BothHostsAnswered",
                    "connection to server at \"127.0.0.1\", port 12933 failed: FATAL:  57P03: the "
                    "database system is shutting down\n"
                    "LOCATION:  ProcessStartupPacket, postmaster.c:2430\n"
                    "connection to server at \"127.0.0.1\", port 25187 failed: FATAL:  3D000: "
                    "database \"nodb\" does not exist\n"
                    "LOCATION:  InitPostgres, postinit.c:948\n",
                    "3D000",
                    "connection to server at \"127.0.0.1\", port 12933 failed: FATAL:  the "
                    "database system is shutting down connection to server at \"127.0.0.1\", port "
                    "25187 failed: FATAL:  database \"nodb\" does not exist"},
        ConnectCase{"SecondHostRefused",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  28P01: "
                    "password authentication failed for user \"x\"\n"
                    "LOCATION:  auth_failed, auth.c:326\n"
                    "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
                    "\tIs the server running on that host and accepting TCP/IP connections?\n",
                    "",
                    "connection to server at \"127.0.0.1\", port 26808 failed: FATAL:  password "
                    "authentication failed for user \"x\" connection to server at \"127.0.0.1\", "
                    "port 1 failed: Connection refused Is the server running on that host and "
                    "accepting TCP/IP connections?"},
        ConnectCase{"NoPasswordSupplied",
                    "connection to server at \"127.0.0.1\", port 26808 failed: fe_sendauth: no "
                    "password supplied\n",
                    "",
                    "connection to server at \"127.0.0.1\", port 26808 failed: fe_sendauth: no "
                    "password supplied"},
        ConnectCase{"Refused",
                    "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n"
                    "\tIs the server running on that host and accepting TCP/IP connections?\n",
                    "",
                    "connection to server at \"127.0.0.1\", port 1 failed: Connection refused "
                    "Is the server running on that host and accepting TCP/IP connections?"},
        ConnectCase{"NameNotFound",
                    "could not translate host name \"does-not-exist.invalid\" to address: Name or "
                    "service not known\n",
                    "",
                    "could not translate host name \"does-not-exist.invalid\" to address: Name or "
                    "service not known"},
        ConnectCase{"ClosedInTheMiddle",
                    "connection to server at \"127.0.0.1\", port 32807 failed: server closed the "
                    "connection unexpectedly\n"
                    "\tThis probably means the server terminated abnormally\n"
                    "\tbefore or while processing the request.\n",
                    "",
                    "connection to server at \"127.0.0.1\", port 32807 failed: server closed the "
                    "connection unexpectedly This probably means the server terminated abnormally "
                    "before or while processing the request."},
        ConnectCase{"Nothing", "", "", ""},
        ConnectCase{"LooksLikeASqlstateButIsNot", "failed: FATAL:  abcde: x\n", "",
                    "failed: FATAL:  abcde: x"}),
    [](const auto& test) { return test.param.name; });

TEST(PgError, ResultWithoutFieldsIsALostConnection) {
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
      PQmakeEmptyPGresult(nullptr, PGRES_FATAL_ERROR), &PQclear);
  const Error error = ErrorOfResult(result.get());
  EXPECT_EQ(error.code, Errc::kConnectionLost);
  EXPECT_EQ(error.sqlstate, "");
}

}  // namespace
}  // namespace pgsteward
