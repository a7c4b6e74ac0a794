// Connections that do not come about, and why.
#include <filesystem>
#include <fstream>

#include "tests/core/pg_connection_fixture.h"
#include "tests/support/fake_resolver.h"
#include "tests/support/tcp_gate.h"

namespace pgsteward {
namespace {

using testing::HasSubstr;

struct OpenCase {
  const char* name;
  std::string conninfo;
  ServerState state;
  const char* sqlstate;
  const char* message;
};

TEST_F(PgConnectionTest, OpenFailuresTellTheReason) {
  Postgres().Exec("DROP ROLE IF EXISTS pw_user; CREATE ROLE pw_user LOGIN PASSWORD 'right'");
  SetResolving(Resolving::kUnknown);
  TcpGate closed(Postgres().port());
  closed.Refuse();
  const std::string closed_port = std::to_string(closed.port());
  const std::string good = Postgres().TcpConninfo();
  const std::string pw_user = Postgres().TcpConninfo("postgres", "pw_user");
  const std::string switched = kSwitchedName;
  const OpenCase cases[] = {
      {"name", good + " host=does-not-exist.invalid", ServerState::kNameNotFound, "",
       "could not translate host name"},
      {"refused", good + " port=" + closed_port, ServerState::kUnreachable, "",
       "Connection refused"},
      {"no socket", good + " host=/nonexistent", ServerState::kUnreachable, "",
       "No such file or directory"},
      {"host is only a label beside hostaddr",
       good + " host=" + switched + " hostaddr=127.0.0.1 port=" + closed_port,
       ServerState::kUnreachable, "", "Connection refused"},
      {"wrong password", pw_user + " password=wrong", ServerState::kAuthFailed, "28P01",
       "password authentication failed for user \"pw_user\""},
      {"no password", pw_user, ServerState::kAuthFailed, "", "no password supplied"},
      {"no role", Postgres().TcpConninfo("postgres", "nobody_here"), ServerState::kAuthFailed,
       "28000", "role \"nobody_here\" does not exist"},
      {"no database", Postgres().TcpConninfo("nowhere"), ServerState::kNoDatabase, "3D000",
       "database \"nowhere\" does not exist"},
      {"bad option", good + " options='-c no_such_setting=1'", ServerState::kFailed, "42704",
       "unrecognized configuration parameter \"no_such_setting\""},
  };
  for (const OpenCase& c : cases) {
    const OpenResult opened = TryOpen(Target(c.conninfo));
    ASSERT_FALSE(opened) << c.name;
    EXPECT_EQ(ServerStateName(opened.error().state), ServerStateName(c.state)) << c.name;
    EXPECT_EQ(opened.error().error.code, Errc::kUnavailable) << c.name;
    EXPECT_EQ(opened.error().error.sqlstate, c.sqlstate) << c.name;
    EXPECT_THAT(opened.error().error.message, HasSubstr(c.message)) << c.name;
    EXPECT_THAT(ToText(opened.error().error), testing::Not(HasSubstr("wrong"))) << "a secret";
    EXPECT_EQ(opened.error().error.message.find('\n'), std::string::npos) << c.name;
  }
}

TEST_F(PgConnectionTest, SilentServerFailsAtTheConnectTimeout) {
  TcpGate gate(Postgres().port());
  gate.AcceptAndSilence();
  PgTarget target = Target(Postgres().TcpConninfo("postgres", "postgres", gate.port()));
  target.connect_timeout = 100ms;
  const SteadyTime start = SteadyNow();
  const OpenResult opened = TryOpen(target);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().state, ServerState::kTimeout);
  EXPECT_EQ(opened.error().error.message, "no answer within 100 ms");
  EXPECT_GE(SteadyNow() - start, 100ms);
  EXPECT_LT(SteadyNow() - start, 2s);
}

TEST_F(PgConnectionTest, SecondHostIsTried) {
  TcpGate closed(Postgres().port());
  closed.Refuse();
  Open(Target("host=127.0.0.1,127.0.0.1 port=" + std::to_string(closed.port()) + "," +
              std::to_string(Postgres().port()) + " user=postgres dbname=postgres"));
  ExpectUsable();
}

TEST_F(PgConnectionTest, PasswordFileIsReadAtEachAttempt) {
  Postgres().Exec("DROP ROLE IF EXISTS pw_user; CREATE ROLE pw_user LOGIN PASSWORD 'right one'");
  const std::string path = Postgres().socket_dir() + "/password";
  PgTarget target = Target(Postgres().TcpConninfo("postgres", "pw_user"));
  target.password_file = path;
  EXPECT_EQ(TryOpen(target).error().state, ServerState::kAuthFailed) << "no such file";
  std::ofstream(path) << "wrong one\n";
  EXPECT_EQ(TryOpen(target).error().state, ServerState::kAuthFailed);
  std::ofstream(path) << "right one\n";
  Open(target);
  EXPECT_EQ(Text(Query("SELECT current_user")), "pw_user");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace pgsteward
