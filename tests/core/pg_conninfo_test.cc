#include "core/pg_conninfo.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/pg_connection.h"

namespace pgsteward {
namespace {

// What libpq's environment says is taken away, and set where a test is about it.
class PgConninfoTest : public testing::Test {
 protected:
  PgConninfoTest() {
    for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD",
                             "PGSERVICE", "PGSERVICEFILE"}) {
      ::unsetenv(name);
    }
  }
};

std::string Verdict(const std::string& conninfo) {
  const auto right = CheckConninfo(conninfo);
  return right ? "right" : ToText(right.error());
}

TEST_F(PgConninfoTest, AcceptsWhatLibpqAccepts) {
  for (const char* conninfo :
       {"", "host=/run/postgresql dbname=hub", "host = a password = 'it\\'s'",
        "host=a,b port=5432,5433", "host=a,b port=,5433", "postgresql://", "postgres://u:p@h:1/db",
        "postgresql://[::1]:5432/db?sslmode=require", "postgresql://a:1,b:2/db", "service=hub",
        "host=@abstract", "host=h password='a b \\' c'"}) {
    EXPECT_EQ(Verdict(conninfo), "right") << conninfo;
  }
}

TEST_F(PgConninfoTest, SaysWhatIsWrongWithoutQuoting) {
  const struct {
    std::string conninfo;
    std::string verdict;
  } kCases[] = {
      {"swordfish",
       "connection string has a word that is not keyword=value; hint: Write it like "
       "host=/run/postgresql dbname=postgres user=pgsteward."},
      {"password=sword fish",
       "connection string has a word that is not keyword=value; hint: Write it like "
       "host=/run/postgresql dbname=postgres user=pgsteward."},
      {"password='swordfish",
       "connection string has a quote (') that is not closed; hint: Write a quote inside a value "
       "as \\'."},
      {"host=h swordfish=1",
       "connection string has an option that libpq does not know; hint: The usual ones are host, "
       "port, dbname, user, sslmode, passfile and service."},
      {"postgresql://u:swordfish@h/db?swordfish=1",
       "connection string has a URI parameter that libpq does not know; hint: The usual ones are "
       "sslmode, passfile and target_session_attrs."},
      {"postgresql://u:swordfish@h/db?sslmode=a=b",
       "connection string has a URI parameter with two \"=\"; hint: Write it like "
       "postgresql://user@host:5432/dbname, special characters as %XX."},
      {"postgresql://u:swordfish@h/db?sslmode",
       "connection string has a URI parameter without \"=\"; hint: Write it like "
       "postgresql://user@host:5432/dbname, special characters as %XX."},
      {"postgresql://u:swordfish%zz@h/db",
       "connection string has a bad %XX in its URI; hint: Write a percent sign as %25."},
      {"postgresql://u:swordfish%00@h/db",
       "connection string has a %00 in its URI; hint: Leave it out."},
      {"postgresql://u:swordfish@[::1/db",
       "connection string has a \"[\" without \"]\" in its URI; hint: Write an IPv6 host like "
       "[::1]."},
      {"postgresql://u:swordfish@[]/db",
       "connection string has an empty IPv6 host in its URI; hint: Write an IPv6 host like [::1]."},
      {"postgresql://u:swordfish@[::1]x/db",
       "connection string has a wrong character after the IPv6 host in its URI; hint: After \"]\" "
       "comes \":port\", \"/dbname\" or the end."},
      {"host=h port=0 password=swordfish",
       "connection string has a bad port; hint: Write a number from 1 to 65535."},
      {"host=h port=65536",
       "connection string has a bad port; hint: Write a number from 1 to 65535."},
      {"port=swordfish", "connection string has a bad port; hint: Write a number from 1 to 65535."},
      {"dbname='host=h password=swordfish'",
       "connection string has another one as its dbname; hint: Write the name of the database "
       "only."},
      {"host= password=swordfish",
       "connection string has a keyword without a value; hint: Write nothing after \"=\" as ''."},
      {"host=h user= password=swordfish dbname=d",
       "connection string has a keyword without a value; hint: Write nothing after \"=\" as ''."},
      {"postgresql://u:sword@fish@h/db",
       "connection string has an \"@\" in a host or database name; hint: In a URI write special "
       "characters of user and password as %XX."},
      {"postgresql://u:12/fish@h/db",
       "connection string has an \"@\" in a host or database name; hint: In a URI write special "
       "characters of user and password as %XX."},
      {"postgresql://u:sword/fish@h/db",
       "connection string has a bad port; hint: Write a number from 1 to 65535."},
      {std::string("host=h\0password=swordfish", 25), "connection string has a NUL byte"},
  };
  for (const auto& [conninfo, verdict] : kCases) EXPECT_EQ(Verdict(conninfo), verdict) << conninfo;
}

TEST_F(PgConninfoTest, FindsPasswords) {
  for (const char* conninfo : {"host=h password=x", "postgresql://u:x@h", "sslpassword=x",
                               "postgresql://h/db?password=x"}) {
    EXPECT_TRUE(HasPassword(conninfo)) << conninfo;
  }
  for (const char* conninfo :
       {"", "host=password", "passfile=/x", "password=", "password=''", "postgresql://u@h/db"}) {
    EXPECT_FALSE(HasPassword(conninfo)) << conninfo;
  }
}

TEST_F(PgConninfoTest, MasksPasswords) {
  const struct {
    std::string conninfo;
    std::string masked;
  } kCases[] = {
      {"", ""},
      {"host=h  dbname='d b'", "host=h  dbname='d b'"},
      {"postgresql://u@h/db", "postgresql://u@h/db"},
      {"host=h password=swordfish dbname=d", "password=<secret> dbname=d host=h"},
      {"password='sword fi\\'sh' application_name='a \\'b\\' \\\\c'",
       "password=<secret> application_name='a \\'b\\' \\\\c'"},
      {"password=first password=swordfish", "password=<secret>"},
      {"sslpassword=swordfish sslkey=/k", "sslkey=/k sslpassword=<secret>"},
      {"postgresql://u:sword%20fish@h:5433/db?sslmode=require&application_name=",
       "user=u password=<secret> dbname=db host=h port=5433 application_name='' sslmode=require"},
      {"postgresql://h/db?password=swordfish", "password=<secret> dbname=db host=h"},
      {"swordfish", "<secret>"},
  };
  for (const auto& [conninfo, masked] : kCases) {
    EXPECT_EQ(MaskPasswords(conninfo), masked) << conninfo;
    EXPECT_EQ(MaskPasswords(masked), masked) << "masking twice changes nothing";
  }
}

std::string Label(const std::string& conninfo, const std::string& database = {}) {
  PgTarget target;
  target.conninfo = conninfo;
  target.database = database;
  return TargetLabel(target);
}

TEST_F(PgConninfoTest, LabelsTargets) {
  EXPECT_EQ(Label("host=/run/postgresql dbname=hub user=u password=swordfish"),
            "/run/postgresql:5432/hub");
  EXPECT_EQ(Label("postgresql://u:swordfish@db.example:6432/hub"), "db.example:6432/hub");
  EXPECT_EQ(Label("host=h dbname=hub", "other"), "h:5432/other");
  EXPECT_EQ(Label("hostaddr=10.0.0.1 user=u"), "10.0.0.1:5432/u");
  EXPECT_EQ(Label("postgresql://[::1]/hub"), "[::1]:5432/hub");
  EXPECT_EQ(Label("host=a,b,c port=1,2,3 dbname=d"), "a:1,b:2,c:3/d");
  EXPECT_EQ(Label("host=a,b port=7 dbname=d"), "a:7,b:7/d");
  EXPECT_EQ(Label("host=a,b port=,8 dbname=d"), "a:5432,b:8/d");
  EXPECT_EQ(Label("dbname=d"), "local:5432/d");
  EXPECT_EQ(Label("service=hub"), "service hub");
  EXPECT_EQ(Label("service=hub dbname=d"), "service hub/d");
}

TEST_F(PgConninfoTest, LabelsKnowTheEnvironment) {
  ::setenv("PGHOST", "env.example", 1);
  ::setenv("PGPORT", "7777", 1);
  ::setenv("PGUSER", "env_user", 1);
  EXPECT_EQ(Label(""), "env.example:7777/env_user");
  ::setenv("PGDATABASE", "env_db", 1);
  EXPECT_EQ(Label(""), "env.example:7777/env_db");
  EXPECT_EQ(Label("host=h port=1 dbname=d"), "h:1/d");
}

std::string DatabaseOf(const std::string& conninfo, const std::string& database = {}) {
  PgTarget target;
  target.conninfo = conninfo;
  target.database = database;
  return TargetDatabase(target);
}

TEST_F(PgConninfoTest, TellsTheDatabase) {
  EXPECT_EQ(DatabaseOf("host=h dbname=hub"), "hub");
  EXPECT_EQ(DatabaseOf("host=h dbname=hub", "other"), "other");
  EXPECT_EQ(DatabaseOf("host=h user=u"), "u");
  EXPECT_EQ(DatabaseOf("service=hub"), "");
  ::setenv("PGDATABASE", "env_db", 1);
  EXPECT_EQ(DatabaseOf("host=h user=u"), "env_db");
}

}  // namespace
}  // namespace pgsteward
