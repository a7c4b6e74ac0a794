#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "collectors/registry.h"
#include "tests/daemon/config_fixture.h"

namespace pgsteward {
namespace {

using std::chrono::seconds;

constexpr char kSmallest[] = "servers: [{name: hub, conninfo: dbname=hub}]\n";

// The lines of PrintConfig before the collectors, and one collector's line.
std::string Head(const Config& config) {
  const std::string text = PrintConfig(config);
  return text.substr(0, text.find("collectors:\n"));
}
std::string CollectorLine(const Config& config, const std::string& name) {
  const std::string text = PrintConfig(config);
  const auto begin = text.find("\n  " + name + ": {") + 1;
  return text.substr(begin, text.find('\n', begin) - begin);
}

TEST_F(ConfigTest, HasDefaultsForEverythingButTheConnection) {
  const Config config = Load(kSmallest);
  EXPECT_EQ(Warnings(kSmallest), "");
  EXPECT_EQ(Head(config), R"(servers:
  - name: "hub"
    conninfo: "dbname=hub"
    password_file: ""
    databases: []
    connect_timeout: 5s
    jobs_conninfo: ""
    jobs_password_file: ""
web:
  listen_address: "127.0.0.1:19187"
  max_connections: 100
log:
  level: info
  format: logfmt
time_zone: "UTC"
stale_after_intervals: 3
)");
  EXPECT_TRUE(config.collectors.empty());
  for (const CollectorSpec* spec : AllCollectors()) {
    EXPECT_TRUE(EnabledIn(config, *spec)) << spec->name;
    EXPECT_EQ(IntervalOf(config, *spec), spec->interval) << spec->name;
    EXPECT_EQ(TimeoutOf(config, *spec), spec->timeout) << spec->name;
  }
}

TEST_F(ConfigTest, ReadsEveryKey) {
  ::mkdir((directory() + "/secrets").c_str(), 0700);
  const std::string secret = Write("secrets/hub", "swordfish\n");
  ::chmod(secret.c_str(), 0600);
  const std::string text = ReadSource("tests/daemon/testdata/full.yaml");
  const Config config = Load(text);
  EXPECT_EQ(Head(config), R"(servers:
  - name: "hub"
    conninfo: "host=/run/postgresql dbname=aio_creative_hub user=pgsteward"
    password_file: ")" + directory() +
                              R"(/secrets/hub"
    databases: ["other_db", "Größe \"x\""]
    connect_timeout: 7s
    jobs_conninfo: ""
    jobs_password_file: ""
  - name: "replica-1.example"
    conninfo: "user=pgsteward password=<secret> dbname=aio_creative_hub host=10.0.0.2 port=5433 sslmode=require"
    password_file: ""
    databases: []
    connect_timeout: 5s
    jobs_conninfo: ""
    jobs_password_file: ""
web:
  listen_address: "[::1]:19188"
  max_connections: 7
log:
  level: debug
  format: json
time_zone: "Europe/Berlin"
stale_after_intervals: 5
)");
  EXPECT_EQ(CollectorLine(config, "locks"), "  locks: {enabled: true, interval: 10s, timeout: 2s}");
  EXPECT_EQ(CollectorLine(config, "long_running"),
            "  long_running: {enabled: true, interval: 10s, timeout: 3s, threshold: 1h30m}");
  EXPECT_EQ(CollectorLine(config, "tool_uses"),
            "  tool_uses: {enabled: true, interval: 5m, timeout: 30s, top: 3}");
  EXPECT_EQ(CollectorLine(config, "connections"),
            "  connections: {enabled: true, interval: 10s, timeout: 2s}");
  EXPECT_EQ(CollectorLine(config, "wal"), "  wal: {enabled: false, interval: 1m, timeout: 5s}");
  // The default timeout of 10s does not fit the shortened interval.
  EXPECT_EQ(CollectorLine(config, "database"),
            "  database: {enabled: true, interval: 5s, timeout: 5s}");
  EXPECT_EQ(config.servers[1].conninfo,
            "postgresql://pgsteward:swordfish@10.0.0.2:5433/aio_creative_hub?sslmode=require");
  EXPECT_EQ(config.options.long_query_threshold, seconds(5400));
  EXPECT_EQ(config.options.tool_uses_top, 3);
  EXPECT_EQ(Warnings(text),
            "c.yaml:9:15: servers.conninfo: holds a password in plain text; hint: Move it to a "
            "file: password_file here, or passfile in the conninfo.\n");
}

TEST_F(ConfigTest, PrintedConfigurationIsReadBackTheSame) {
  Config config = Load(ReadSource("tests/daemon/testdata/full.yaml"));
  config.servers[0].conninfo = "application_name='a \"b\" \\\\ \t c\x7f' password=swordfish";
  config.servers[0].password_file = "/no where/\"quoted\"\nfile";
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, testing::Not(testing::HasSubstr("swordfish")));
  EXPECT_EQ(PrintConfig(Load(printed)), printed);
  const Config small = Load(kSmallest);
  EXPECT_EQ(PrintConfig(Load(PrintConfig(small))), PrintConfig(small));
}

TEST_F(ConfigTest, EmptySectionsKeepDefaults) {
  const std::string sections = "web:\nlog:\ncollectors:\n";
  EXPECT_EQ(PrintConfig(Load(kSmallest + sections)), PrintConfig(Load(kSmallest)));
}

TEST_F(ConfigTest, AnEmptyConninfoLeavesAllToLibpq) {
  EXPECT_EQ(Load("servers: [{name: hub, conninfo: ''}]").servers[0].conninfo, "");
}

TEST_F(ConfigTest, MergeKeysGiveWhatIsNotSaid) {
  const Config config = Load(std::string(kSmallest) + R"(
collectors:
  wal: &a {interval: 10s, timeout: 1s, enabled: false}
  roles: &b {interval: 20s}
  locks: {<<: [*b, *a], timeout: 3s}
  static: {<<: *a, "enabled": true}
)");
  EXPECT_EQ(CollectorLine(config, "locks"),
            "  locks: {enabled: false, interval: 20s, timeout: 3s}");
  EXPECT_EQ(CollectorLine(config, "static"),
            "  static: {enabled: true, interval: 10s, timeout: 1s}");
}

TEST_F(ConfigTest, ReadsOtherLineEndsAndMarks) {
  EXPECT_EQ(
      PrintConfig(Load("\xEF\xBB\xBFservers:\r\n  - name: hub\r\n    conninfo: dbname=hub\r\n")),
      PrintConfig(Load(kSmallest)));
  EXPECT_EQ(PrintConfig(Load("%YAML 1.2\n---\n" + std::string(kSmallest) + "...\n# end\n")),
            PrintConfig(Load(kSmallest)));
}

// ---- the file itself ----

TEST_F(ConfigTest, SaysWhyAFileCannotBeRead) {
  EXPECT_EQ(ErrorsOfFile(directory() + "/none.yaml"),
            "none.yaml: cannot be opened: No such file or directory; hint: Check the path.\n");
  ::mkdir((directory() + "/d").c_str(), 0700);
  EXPECT_EQ(ErrorsOfFile(directory() + "/d"),
            "d: is a directory; hint: Name the configuration file itself.\n");
  ::mkfifo((directory() + "/pipe").c_str(), 0600);
  EXPECT_EQ(ErrorsOfFile(directory() + "/pipe"),
            "pipe: is not a regular file; hint: Name the configuration file itself.\n");
  EXPECT_EQ(ErrorsOfFile("/dev/zero"),
            "/dev/zero: is not a regular file; hint: Name the configuration file itself.\n");
  EXPECT_EQ(Errors(std::string((1 << 20) + 1, '#')),
            "c.yaml: is larger than 1 MiB; hint: Name the configuration file itself.\n");
}

TEST_F(ConfigTest, SaysThatAFileMayNotBeRead) {
  const std::string path = Write("c.yaml", kSmallest);
  ::chmod(path.c_str(), 0000);
  ::chmod(directory().c_str(), 0755);
  // Root reads everything.
  const bool root = ::geteuid() == 0;
  ASSERT_EQ(root ? ::seteuid(65534) : 0, 0);
  const std::string errors = ErrorsOfFile(path);
  ASSERT_EQ(root ? ::seteuid(0) : 0, 0);
  EXPECT_EQ(errors,
            "c.yaml: cannot be opened: Permission denied; hint: Let the daemon's user read it.\n");
}

TEST_F(ConfigTest, SaysThatAFileIsEmpty) {
  const std::string kEmpty =
      "c.yaml: is empty; hint: Write servers: with at least one item of name and conninfo; "
      "pgsteward.yaml of the package shows all keys.\n";
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "~\n"}) {
    EXPECT_EQ(Errors(text), kEmpty) << text;
  }
}

// ---- password files ----

constexpr char kWithFile[] =
    "servers:\n- name: hub\n  conninfo: dbname=hub\n  password_file: secret\n";

TEST_F(ConfigTest, WarnsOfOddPasswordFiles) {
  EXPECT_EQ(
      Warnings(kWithFile),
      "c.yaml:4:18: servers.password_file: the file does not exist; hint: Create it with mode "
      "0600; a relative path begins at the configuration file.\n");
  std::string path = Write("secret", "");
  EXPECT_EQ(
      Warnings(kWithFile),
      "c.yaml:4:18: servers.password_file: the file is empty; hint: Write the password as its "
      "first line.\n");
  path = Write("secret", "swordfish\n");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(Warnings(kWithFile), "");
  for (const mode_t mode : {0640U, 0604U, 0644U}) {
    ::chmod(path.c_str(), mode);
    EXPECT_EQ(Warnings(kWithFile),
              "c.yaml:4:18: servers.password_file: the file can be read by group or others; hint: "
              "Give it mode 0600.\n");
  }
  ::setenv("CREDENTIALS_DIRECTORY", directory().c_str(), 1);
  ::chmod(path.c_str(), 0440);
  EXPECT_EQ(Warnings(kWithFile), "");
  ::unsetenv("CREDENTIALS_DIRECTORY");
  ::unlink(path.c_str());
  ::mkdir(path.c_str(), 0700);
  EXPECT_EQ(Warnings(kWithFile),
            "c.yaml:4:18: servers.password_file: is not a regular file; hint: Name the file "
            "itself.\n");
}

TEST_F(ConfigTest, PasswordFileBeginsAtTheConfigurationFile) {
  EXPECT_EQ(Load(kWithFile).servers[0].password_file, directory() + "/secret");
  EXPECT_EQ(
      Load("servers: [{name: h, conninfo: '', password_file: ../x/./y}]").servers[0].password_file,
      std::filesystem::path(directory()).parent_path().string() + "/x/y");
  EXPECT_EQ(
      Load("servers: [{name: h, conninfo: '', password_file: /etc/pw}]").servers[0].password_file,
      "/etc/pw");
  // Also where the configuration itself is named relative to the working directory.
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory());
  Write("c.yaml", kWithFile);
  const auto loaded = LoadConfig("c.yaml");
  std::filesystem::current_path(before);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->config.servers[0].password_file, directory() + "/secret");
}

}  // namespace
}  // namespace pgsteward
