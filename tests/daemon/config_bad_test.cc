// Files that are refused, each with everything that is said about them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "collectors/registry.h"
#include "tests/daemon/config_fixture.h"

namespace pgsteward {
namespace {

// Line 1; the cases begin in line 2.
constexpr char kServer[] = "servers: [{name: hub, conninfo: dbname=hub}]\n";

struct BadCase {
  std::string text;
  std::string errors;
};

constexpr char kDurations[] = "; hint: Write it like 15s, 5m, 1h30m or 2d.\n";
constexpr char kIntervals[] = "; hint: Write 1s to 1d.\n";
constexpr char kTimeouts[] = "; hint: Write 1s to 1h.\n";
constexpr char kAddresses[] =
    "; hint: Write it like 127.0.0.1:19187, [::1]:19187 or :19187 (all addresses).\n";
constexpr char kSwitch[] = "; hint: Write true or false, without quotes.\n";
constexpr char kZones[] = "; hint: Write an IANA name such as UTC or Europe/Berlin.\n";
constexpr char kOneToTen[] = "; hint: Write a whole number from 1 to 10.\n";
constexpr char kValue[] = "; hint: Write one, or leave the key out.\n";
constexpr char kKeys[] = "; hint: Write \"key: value\" lines.\n";

TEST_F(ConfigTest, RefusesBadSettings) {
  const BadCase kCases[] = {
      // unknown keys
      {"wbe: {}", "c.yaml:2:1: unknown key \"wbe\"; hint: Did you mean \"web\"?\n"},
      {"tasks: {}",
       "c.yaml:2:1: unknown key \"tasks\"; hint: The keys here are servers, web, log, time_zone, "
       "stale_after_intervals, collectors, jobs_state_directory, jobs_keep_history, jobs_lease and "
       "jobs.\n"},
      {"web: {listen_adress: x}",
       "c.yaml:2:7: web: unknown key \"listen_adress\"; hint: Did you mean \"listen_address\"?\n"},
      {"log:\n  colour: true",
       "c.yaml:3:3: log: unknown key \"colour\"; hint: The keys here are level and format.\n"},
      {"collectors:\n  lock: {}",
       "c.yaml:3:3: collectors: unknown key \"lock\"; hint: Did you mean \"locks\"?\n"},
      {"collectors: {locks: {intervall: 5s}}",
       "c.yaml:2:22: collectors.locks: unknown key \"intervall\"; hint: Did you mean "
       "\"interval\"?\n"},
      {"collectors: {locks: {threshold: 5s}}",
       "c.yaml:2:22: collectors.locks: unknown key \"threshold\"; hint: The keys here are enabled, "
       "interval and timeout.\n"},
      {"\"sword fish\": 1",
       "c.yaml:2:1: unknown key; hint: The keys here are servers, web, log, time_zone, "
       "stale_after_intervals, collectors, jobs_state_directory, jobs_keep_history, jobs_lease and "
       "jobs.\n"},
      {"? [a]\n: b", "c.yaml:2:3: a key must be a single word\n"},
      // duplicate keys
      {"log: {level: info}\nlog: {level: debug}",
       "c.yaml:3:1: duplicate key \"log\", first in line 2; hint: Keep one of them.\n"},
      {"log: {level: info, 'level': info}",
       "c.yaml:2:20: log: duplicate key \"level\", first in line 2; hint: Keep one of them.\n"},
      {"collectors:\n  wal: {}\n  roles: {}\n  wal: {}",
       "c.yaml:5:3: collectors: duplicate key \"wal\", first in line 3; hint: Keep one of them.\n"},
      // wrong types
      {"web: []", "c.yaml:2:6: web: must be a mapping, not a list" + std::string(kKeys)},
      {"web: on", "c.yaml:2:6: web: must be a mapping, not a single value" + std::string(kKeys)},
      {"collectors: [locks]",
       "c.yaml:2:13: collectors: must be a mapping, not a list" + std::string(kKeys)},
      {"collectors: {locks: true}",
       "c.yaml:2:21: collectors.locks: must be a mapping, not a single value" + std::string(kKeys)},
      {"time_zone: [UTC]", "c.yaml:2:12: time_zone: must be a single value, not a list\n"},
      {"time_zone: {a: b}", "c.yaml:2:12: time_zone: must be a single value, not a mapping\n"},
      {"time_zone:", "c.yaml:2:1: time_zone: has no value" + std::string(kValue)},
      {"time_zone: ~", "c.yaml:2:1: time_zone: has no value" + std::string(kValue)},
      {"collectors: {locks: {interval: }}",
       "c.yaml:2:22: collectors.locks.interval: has no value" + std::string(kValue)},
      {"collectors: {locks: {enabled: yes}}",
       "c.yaml:2:31: collectors.locks.enabled: \"yes\" is not a switch" + std::string(kSwitch)},
      {"collectors: {locks: {enabled: \"true\"}}",
       "c.yaml:2:31: collectors.locks.enabled: \"true\" is not a switch" + std::string(kSwitch)},
      {"web: {max_connections: many}",
       "c.yaml:2:24: web.max_connections: \"many\" is not a whole number; hint: Write a whole "
       "number from 1 to 10000.\n"},
      {"web: {max_connections: \"5\"}",
       "c.yaml:2:24: web.max_connections: is text in quotes; hint: Write a whole number from 1 to "
       "10000.\n"},
      {"collectors: {tool_uses: {top: 2.5}}",
       "c.yaml:2:31: collectors.tool_uses.top: \"2.5\" is not a whole number" +
           std::string(kOneToTen)},
      {"time_zone: !env TZ",
       "c.yaml:2:12: time_zone: has a YAML tag (!...) that means nothing here; hint: Write the "
       "value itself.\n"},
      {"web: !include web.yaml",
       "c.yaml:2:6: web: has a YAML tag (!...) that means nothing here; hint: Write the value "
       "itself.\n"},
      // durations
      {"collectors: {locks: {interval: 15}}",
       "c.yaml:2:32: collectors.locks.interval: \"15\" has no unit; hint: Write 15s.\n"},
      {"collectors: {locks: {interval: 500ms}}",
       "c.yaml:2:32: collectors.locks.interval: \"500ms\" is finer than a second; hint: Write "
       "whole "
       "seconds such as 1s.\n"},
      {"collectors: {locks: {interval: often}}",
       "c.yaml:2:32: collectors.locks.interval: \"often\" is not a duration" +
           std::string(kDurations)},
      {"collectors: {locks: {interval: 0s}}",
       "c.yaml:2:32: collectors.locks.interval: 0s is out of range" + std::string(kIntervals)},
      {"collectors: {locks: {interval: 24h1s}}",
       "c.yaml:2:32: collectors.locks.interval: 1d1s is out of range" + std::string(kIntervals)},
      {"collectors: {locks: {timeout: 0s}}",
       "c.yaml:2:31: collectors.locks.timeout: 0s is out of range" + std::string(kTimeouts)},
      {"collectors: {locks: {interval: 1d, timeout: 61m}}",
       "c.yaml:2:45: collectors.locks.timeout: 1h1m is out of range" + std::string(kTimeouts)},
      {"collectors: {locks: {interval: 10s, timeout: 11s}}",
       "c.yaml:2:46: collectors.locks.timeout: 11s is longer than the interval; hint: Write at "
       "most "
       "10s, or a longer interval.\n"},
      {"collectors: {locks: {timeout: 16s}}",
       "c.yaml:2:31: collectors.locks.timeout: 16s is longer than the interval; hint: Write at "
       "most "
       "15s, or a longer interval.\n"},
      {"collectors: {locks: {interval: 0s, timeout: 16s}}",
       "c.yaml:2:32: collectors.locks.interval: 0s is out of range" + std::string(kIntervals)},
      {"collectors: {long_running: {threshold: 0s}}",
       "c.yaml:2:40: collectors.long_running.threshold: 0s is out of range; hint: Write 1s to "
       "30d.\n"},
      // numbers
      {"web: {max_connections: 0}",
       "c.yaml:2:24: web.max_connections: \"0\" is out of range; hint: Write a whole number from 1 "
       "to 10000.\n"},
      {"web: {max_connections: 99999999999999999999}",
       "c.yaml:2:24: web.max_connections: \"99999999999999999999\" is out of range; hint: Write a "
       "whole number from 1 to 10000.\n"},
      {"collectors: {tool_uses: {top: 0}}",
       "c.yaml:2:31: collectors.tool_uses.top: \"0\" is out of range" + std::string(kOneToTen)},
      {"collectors: {tool_uses: {top: 11}}",
       "c.yaml:2:31: collectors.tool_uses.top: \"11\" is out of range" + std::string(kOneToTen)},
      {"stale_after_intervals: 0",
       "c.yaml:2:24: stale_after_intervals: \"0\" is out of range; hint: Write a whole number from "
       "2 to 100.\n"},
      // words
      {"log: {level: trace}",
       "c.yaml:2:14: log.level: \"trace\" is unknown here; hint: Write debug, info, warning or "
       "error.\n"},
      {"log: {format: xml}",
       "c.yaml:2:15: log.format: \"xml\" is unknown here; hint: Write logfmt or json.\n"},
      {"time_zone: Mars/Phobos",
       "c.yaml:2:12: time_zone: \"Mars/Phobos\" is not a time zone of this machine" +
           std::string(kZones)},
      {"time_zone: ''", "c.yaml:2:12: time_zone: this value is not a time zone of this machine" +
                            std::string(kZones)},
      {"web: {listen_address: localhost:19187}",
       "c.yaml:2:23: web.listen_address: \"localhost:19187\" is not an address to listen on" +
           std::string(kAddresses)},
      {"web: {listen_address: 127.0.0.1:99999}",
       "c.yaml:2:23: web.listen_address: the port is not a number from 0 to 65535" +
           std::string(kAddresses)},
      // merge keys
      {"web: {<<: [a]}",
       "c.yaml:2:7: web: a merge key needs a mapping, not a single value; hint: Write it like "
       "\"<<: "
       "*anchor\".\n"},
      {"web: &a {<<: *a}",
       "c.yaml:2:10: web: merge keys nest too deep; hint: Write the settings out.\n"},
      {"web: &a {<<: [*a, *a, *a]}",
       "c.yaml:2:10: web: merge keys nest too deep; hint: Write the settings out.\n"},
      {"web: {<<: {}, <<: {}}",
       "c.yaml:2:15: web: duplicate key, first in line 2; hint: Keep one of them.\n"},
      // what stands behind an alias is told once
      {"collectors:\n  wal: &a {interval: 0s}\n  roles: *a",
       "c.yaml:3:22: collectors.roles.interval: 0s is out of range; hint: Write 1s to 1d.\n"
       "c.yaml:3:22: collectors.wal.interval: 0s is out of range; hint: Write 1s to 1d.\n"},
      {"collectors:\n  wal: {<<: &a {inter: 0s}}\n  locks: {<<: [*a, *a]}",
       "c.yaml:3:17: collectors.locks: unknown key \"inter\"; hint: The keys here are enabled, "
       "interval and timeout.\n"
       "c.yaml:3:17: collectors.wal: unknown key \"inter\"; hint: The keys here are enabled, "
       "interval and timeout.\n"},
  };
  for (const BadCase& bad : kCases) {
    EXPECT_EQ(Errors(kServer + bad.text + "\n"), bad.errors) << bad.text;
  }
}

TEST_F(ConfigTest, NamesAllCollectorsWhenNoneIsMeant) {
  std::string names;
  for (const CollectorSpec* spec : AllCollectors()) {
    if (!names.empty()) names += spec == AllCollectors().back() ? " and " : ", ";
    names += spec->name;
  }
  EXPECT_EQ(Errors(kServer + std::string("collectors: {everything: {}}\n")),
            "c.yaml:2:14: collectors: unknown key \"everything\"; hint: The keys here are " +
                names + ".\n");
}

TEST_F(ConfigTest, RefusesBadServers) {
  const std::string kNone =
      "there is no server to measure; hint: Write servers: with at least one item of name and "
      "conninfo.\n";
  const std::string kName = "; hint: Write 1 to 63 letters, digits, dots, dashes or underscores.\n";
  const BadCase kCases[] = {
      {"web: {}", "c.yaml:1:1: " + kNone},
      {"servers:", "c.yaml:1:1: " + kNone},
      {"servers: []", "c.yaml:1:1: " + kNone},
      {"servers: hub",
       "c.yaml:1:10: servers: must be a list, not a single value; hint: Begin each item with \"- "
       "\".\n"},
      {"servers: {name: hub}",
       "c.yaml:1:10: servers: must be a list, not a mapping; hint: Begin each item with \"- \".\n"},
      {"servers: [hub]",
       "c.yaml:1:11: servers: must be a mapping, not a single value; hint: Write \"key: value\" "
       "lines.\n"},
      {"servers:\n  - {conninfo: ''}",
       "c.yaml:2:5: servers: a server has no name; hint: Add a name, the label \"server\".\n"},
      {"servers:\n  - {name: hub}",
       "c.yaml:2:5: servers: a server has no conninfo; hint: Add one like \"host=/run/postgresql "
       "dbname=postgres user=pgsteward\".\n"},
      {"servers: [{name: hub, conninfo: }]",
       "c.yaml:1:23: servers.conninfo: has no value" + std::string(kValue)},
      {"servers: [{name: '', conninfo: ''}]", "c.yaml:1:18: servers.name: is empty" + kName},
      {"servers: [{name: a b, conninfo: ''}]",
       "c.yaml:1:18: servers.name: \"a b\" is not a server name" + kName},
      {"servers: [{name: 'a\"}', conninfo: ''}]",
       "c.yaml:1:18: servers.name: this value is not a server name" + kName},
      {"servers: [{name: a, conninfo: ''}, {name: b, conninfo: ''}, {name: a, conninfo: ''}]",
       "c.yaml:1:68: servers.name: \"a\" is another server's name; hint: Give each server a name "
       "of "
       "its own.\n"},
      {"servers: [{name: a, conninfo: host}]",
       "c.yaml:1:31: servers.conninfo: connection string has a word that is not keyword=value; "
       "hint: Write it like host=/run/postgresql dbname=postgres user=pgsteward.\n"},
      {"servers: [{name: a, conninfo: {host: h}}]",
       "c.yaml:1:31: servers.conninfo: must be a single value, not a mapping\n"},
      {"servers: [{name: a, conninfo: '', host: h}]",
       "c.yaml:1:35: servers: unknown key \"host\"; hint: The keys here are name, conninfo, "
       "password_file, databases, connect_timeout, jobs_conninfo and jobs_password_file.\n"},
      {"servers: [{name: a, conninfo: '', password: swordfish}]",
       "c.yaml:1:35: servers: unknown key \"password\"; hint: The keys here are name, conninfo, "
       "password_file, databases, connect_timeout, jobs_conninfo and jobs_password_file.\n"},
      {"servers: [{name: a, conninfo: '', connect_timeout: 0s}]",
       "c.yaml:1:52: servers.connect_timeout: 0s is out of range" + std::string(kTimeouts)},
      {"servers: [{name: a, conninfo: '', databases: x}]",
       "c.yaml:1:46: servers.databases: must be a list, not a single value; hint: Write it like "
       "[one, two].\n"},
      {"servers: [{name: a, conninfo: dbname=d, databases: [x, y, x, '', d, [z], ~]}]",
       "c.yaml:1:41: servers.databases: has no value; hint: Write one, or leave the key out.\n"
       "c.yaml:1:59: servers.databases: \"x\" stands here twice; hint: Keep one of them.\n"
       "c.yaml:1:62: servers.databases: is empty; hint: Write the name of a database.\n"
       "c.yaml:1:66: servers.databases: \"d\" is the database of the conninfo; hint: Leave it out: "
       "that database is measured anyway.\n"
       "c.yaml:1:69: servers.databases: must be a single value, not a list\n"},
      {"servers: [{name: a, conninfo: user=d, databases: [d]}]",
       "c.yaml:1:51: servers.databases: \"d\" is the database of the conninfo; hint: Leave it out: "
       "that database is measured anyway.\n"},
      {"servers: [{name: a, conninfo: '', databases: ['host=h password=swordfish']}]",
       "c.yaml:1:47: servers.databases: looks like a connection string; hint: Write the name of a "
       "database of this server.\n"},
  };
  for (const BadCase& bad : kCases) {
    EXPECT_EQ(Errors(bad.text + "\n"), bad.errors) << bad.text;
  }
}

TEST_F(ConfigTest, RefusesWhatIsNotYaml) {
  const std::string kCheck = "; hint: Check quotes, brackets and indentation here and above.\n";
  const std::string kSecond =
      "a second YAML document begins here; hint: Write everything into one document, and check the "
      "indentation.\n";
  const BadCase kCases[] = {
      {"servers: [\n", "c.yaml:1:1: is not YAML: end of sequence flow not found" + kCheck},
      {"a: 1\nb: {c: 1,\n  d: 2\ne: 3\n",
       "c.yaml:4:2: is not YAML: end of map flow not found" + kCheck},
      {"a: 'b\n", "c.yaml:1:6: is not YAML: illegal EOF in scalar" + kCheck},
      {"a: \"b\nc: d\n\n", "c.yaml:2:5: is not YAML: illegal EOF in scalar" + kCheck},
      {"a: b: c\n", "c.yaml:1:5: is not YAML: illegal map value" + kCheck},
      {"a: *swordfish\n", "c.yaml:1:4: is not YAML: the referenced anchor is not defined" + kCheck},
      {"a: \"\\q\"\n", "c.yaml:1:7: is not YAML: unknown escape character" + kCheck},
      {std::string(kServer) + "---\nlog: {}\n", "c.yaml:2:1: " + kSecond},
      {"---\n---\n" + std::string(kServer), "c.yaml:2:1: " + kSecond},
      {"- a\nb: c\n", "c.yaml:2:1: " + kSecond},
      {"hub\n",
       "c.yaml:1:1: must be a mapping, not a single value; hint: Write \"key: value\" lines.\n"},
      {std::string(20'000, '['), "c.yaml:1:1: is not YAML that can be read: nested too deep\n"},
  };
  for (const BadCase& bad : kCases) {
    EXPECT_EQ(Errors(bad.text), bad.errors) << bad.text.substr(0, 80);
  }
}

// Every kind of mistake in one file: everything is told, in the order of the file.
TEST_F(ConfigTest, TellsEverythingAtOnce) {
  EXPECT_EQ(Errors(ReadSource("tests/daemon/testdata/bad.yaml")),
            ReadSource("tests/daemon/testdata/bad.txt"));
}

}  // namespace
}  // namespace pgsteward
