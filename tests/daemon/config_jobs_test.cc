// Jobs in the configuration, with types of the test's own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tests/daemon/config_fixture.h"

namespace pgsteward {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kModes[] = {"look", "touch"};
constexpr std::string_view kHeavy[] = {"heavy_io"};
constexpr JobOption kSweepOptions[] = {
    {.name = "older_than", .kind = OptionKind::kAge, .fallback = "30 days", .help = "Which rows."},
    {.name = "mode",
     .kind = OptionKind::kWord,
     .fallback = "look",
     .help = "How.",
     .words = kModes},
    {.name = "rows",
     .kind = OptionKind::kInteger,
     .fallback = "100",
     .help = "At once.",
     .least = 1,
     .most = 1000},
    {.name = "factor", .kind = OptionKind::kNumber, .fallback = "", .help = "Of it.", .most = 2},
    {.name = "analyze", .kind = OptionKind::kSwitch, .fallback = "true", .help = "After it."},
    {.name = "rest",
     .kind = OptionKind::kDuration,
     .fallback = "1s",
     .help = "Between.",
     .most = 60},
    {.name = "users", .kind = OptionKind::kTexts, .fallback = "", .help = "Spared."},
    {.name = "key", .kind = OptionKind::kFile, .fallback = "", .help = "A secret."},
    {.name = "note", .kind = OptionKind::kText, .fallback = "", .help = "For people."},
};
constexpr JobOption kCallOptions[] = {
    {.name = "text",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "What is called.",
     .required = true},
    {.name = "every",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "For whom.",
     .required = true},
};

const JobSpec kCall = {.name = "call", .summary = "Calls.", .options = kCallOptions};
const JobSpec kSweep = {.name = "sweep",
                        .summary = "Sweeps.",
                        .schedule = "15 3 * * *",
                        .deadline = hours(2),
                        .options = kSweepOptions,
                        .groups = kHeavy,
                        .sole_option = "note",
                        .needs_confirmation = true,
                        .throttle_table = "public.swept"};
const std::array<const JobSpec*, 2> kTypes = {&kCall, &kSweep};

constexpr char kServers[] =
    "servers: [{name: hub, conninfo: dbname=hub}, {name: other, conninfo: dbname=o}]\n";

class ConfigJobsTest : public ConfigTest {
 protected:
  ConfigJobsTest() { UseJobTypes(kTypes); }

  std::string WithJobs(const std::string& jobs) {
    return kServers + ("jobs_state_directory: " + directory()) + "\njobs:\n" + jobs;
  }
  // Without the name of the file and the line of `jobs:`; the jobs begin in line 4.
  std::string JobErrors(const std::string& jobs) { return Errors(WithJobs(jobs)); }
};

// The part of PrintConfig that is about jobs.
std::string Tail(const Config& config) {
  const std::string text = PrintConfig(config);
  return text.substr(text.find("jobs_state_directory:"));
}

TEST_F(ConfigJobsTest, ThereIsNoneByDefault) {
  const Config config = Load(kServers);
  EXPECT_TRUE(config.jobs.empty());
  EXPECT_EQ(Tail(config),
            "jobs_state_directory: \"/var/lib/pgsteward\"\njobs_keep_history: 90 days\n"
            "jobs_lease: 30s\njobs: {}\n");
  EXPECT_TRUE(Load(std::string(kServers) + "jobs:\n").jobs.empty());
}

TEST_F(ConfigJobsTest, AJobHasDefaults) {
  const std::string text = WithJobs("  sweep:\n");
  EXPECT_EQ(Warnings(text), "");
  EXPECT_EQ(Tail(Load(text)), "jobs_state_directory: \"" + directory() + R"("
jobs_keep_history: 90 days
jobs_lease: 30s
jobs:
  "sweep":
    type: sweep
    server: "hub"
    enabled: false
    schedule: "15 3 * * *"
    time_zone: "UTC"
    gap: run_at_end
    fold: first
    jitter: 0s
    window: []
    blackout: []
    overlap: skip
    misfire: run_once
    misfire_grace: 6h
    misfire_max: 10
    retries: 3
    retry_pause: 30s
    retry_pause_most: 10m
    deadline: 2h
    max_age: none
    groups: ["heavy_io"]
    confirm: true
    throttle_replica_lag: "30s"
    throttle_replica_lag_mb: 1024
    throttle_slot_retained_mb: 8192
    throttle_archiver_files: 64
    throttle_active_sessions: 50
    throttle_xmin_age: "1h"
    throttle_xmin_xids: 10000000
    throttle_own_victims: true
    throttle_running_dump: true
    throttle_vacuum_running: true
    throttle_query: ""
    older_than: "30 days"
    mode: "look"
    rows: 100
    factor: ""
    analyze: true
    rest: "1s"
    users: []
    key: ""
    note: ""
)");
}

constexpr char kFull[] = R"(servers:
- {name: hub, conninfo: dbname=hub, jobs_conninfo: "dbname=hub user=jobs password=swordfish", jobs_password_file: p}
- {name: other, conninfo: dbname=o}
time_zone: Europe/Berlin
jobs_state_directory: state
jobs_keep_history: 1 Year
jobs_lease: 3s
jobs:
  night-sweep_2:
    type: sweep
    server: other
    enabled: true
    schedule: every 2h from 00:30
    time_zone: America/New_York
    gap: skip
    fold: both
    jitter: 90s
    window: ["22:00-05:00", "Sat,Sun 00:00-24:00"]
    blackout: ["2026-12-24 00:00 - 2027-01-02 00:00"]
    overlap: cancel_previous
    misfire: run_all
    misfire_grace: 10m
    misfire_max: 4
    retries: 0
    retry_pause: 20m
    deadline: 45m
    max_age: 5h
    groups: [night, heavy_io]
    confirm: false
    throttle_replica_lag: 0s
    throttle_own_victims: false
    older_than: 6 Months
    mode: touch
    rows: 7
    factor: 0.5
    analyze: false
    rest: 30s
    users: ["o'neill", "a: b"]
    key: secrets/key
    note: "two\nlines"
  call:
)";

TEST_F(ConfigJobsTest, ReadsEveryKey) {
  const Config config = Load(kFull);
  ASSERT_EQ(config.jobs.size(), 2U);
  const JobConfig& job = config.jobs[0];
  const JobPolicy& policy = job.policy;
  EXPECT_EQ(policy.name, "night-sweep_2");
  EXPECT_EQ(policy.spec, &kSweep);
  EXPECT_EQ(job.server, "other");
  EXPECT_TRUE(policy.enabled);
  EXPECT_EQ(policy.timetable.period(), hours(2));
  EXPECT_EQ(policy.zone.name(), "America/New_York");
  EXPECT_EQ(policy.window.Describe(), "22:00-05:00 or Sat,Sun 00:00-24:00, America/New_York");
  EXPECT_EQ(policy.blackout.Describe(), "2026-12-24 00:00 - 2027-01-02 00:00, America/New_York");
  EXPECT_EQ(policy.overlap, Overlap::kCancelPrevious);
  EXPECT_EQ(policy.misfire, Misfire::kRunAll);
  EXPECT_EQ(policy.Grace(), minutes(10));
  EXPECT_EQ(policy.misfire_max, 4);
  EXPECT_EQ(policy.retries, 0);
  EXPECT_EQ(policy.retry_pause.first, minutes(20));
  EXPECT_EQ(policy.retry_pause.longest, minutes(20));  // the default would be shorter
  EXPECT_EQ(policy.deadline, minutes(45));
  EXPECT_EQ(policy.max_age, hours(5));
  EXPECT_THAT(policy.groups, ElementsAre("night", "heavy_io"));
  EXPECT_FALSE(policy.confirm);
  const ThrottlePolicy throttle = ThrottlePolicyOf(policy.throttle);
  EXPECT_FALSE(throttle.max_replica_lag);
  EXPECT_FALSE(throttle.own_victims);
  EXPECT_TRUE(throttle.running_dump);
  EXPECT_EQ(policy.options.Text("older_than"), "6 months");
  EXPECT_EQ(policy.options.Text("mode"), "touch");
  EXPECT_EQ(policy.options.Integer("rows"), 7);
  EXPECT_EQ(policy.options.Number("factor"), 0.5);
  EXPECT_FALSE(policy.options.Switch("analyze"));
  EXPECT_EQ(policy.options.Duration("rest"), seconds(30));
  EXPECT_THAT(policy.options.Texts("users"), ElementsAre("o'neill", "a: b"));
  EXPECT_EQ(policy.options.Text("key"), directory() + "/secrets/key");
  EXPECT_EQ(policy.options.Text("note"), "two\nlines");
  EXPECT_EQ(config.jobs[1].policy.zone.name(), "Europe/Berlin");
  EXPECT_EQ(config.jobs[1].server, "hub");
  EXPECT_EQ(config.servers[0].jobs_conninfo, "dbname=hub user=jobs password=swordfish");
  EXPECT_EQ(config.servers[0].jobs_password_file, directory() + "/p");
  EXPECT_EQ(config.jobs_state_directory, directory() + "/state");
  EXPECT_EQ(config.jobs_keep_history, "1 year");
  EXPECT_EQ(config.jobs_lease, seconds(3));
  EXPECT_EQ(
      Warnings(kFull),
      "c.yaml:2:52: servers.jobs_conninfo: holds a password in plain text; hint: Move it to a "
      "file: "
      "jobs_password_file here, or passfile in the conninfo.\n"
      "c.yaml:2:115: servers.jobs_password_file: the file does not exist; hint: Create it with "
      "mode "
      "0600; a relative path begins at the configuration file.\n"
      "c.yaml:5:23: jobs_state_directory: the directory does not exist; hint: Without it the end "
      "of "
      "a run is forgotten when the database is away and pgsteward ends.\n"
      "c.yaml:39:10: jobs.night-sweep_2.key: the file does not exist; hint: Create it with mode "
      "0600; a relative path begins at the configuration file.\n");
}

TEST_F(ConfigJobsTest, PrintedJobsAreReadBackTheSame) {
  const Config config = Load(kFull);
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, Not(HasSubstr("swordfish")));
  EXPECT_EQ(PrintConfig(Load(printed)), printed);
}

TEST_F(ConfigJobsTest, MasksAPasswordInAnOption) {
  const std::string text = WithJobs("  sweep: {note: 'host=h password=swordfish'}\n");
  EXPECT_EQ(Warnings(text),
            "c.yaml:4:17: jobs.sweep.note: holds a password in plain text; hint: Move it to a "
            "file.\n");
  EXPECT_THAT(PrintConfig(Load(text)), HasSubstr("    note: \"password=<secret> host=h\"\n"));
}

TEST_F(ConfigJobsTest, TheEssenceIsWhatJobsDependOn) {
  const std::string base = WithJobs("  sweep: {note: 'host=h password=one'}\n");
  const auto same = [&](const std::string& from, const std::string& to) {
    std::string changed = base;
    changed.replace(changed.find(from), from.size(), to);
    const Config one = Load(base);  // the fixture has one file
    return AllEssences(one) == AllEssences(Load(changed));
  };
  EXPECT_TRUE(same("dbname=hub", "dbname=hub"));
  EXPECT_TRUE(same("dbname=o}", "dbname=elsewhere}"));  // has no jobs
  EXPECT_TRUE(same("jobs:", "web: {max_connections: 7}\nlog: {level: debug}\njobs:"));
  EXPECT_FALSE(same("dbname=hub", "dbname=elsewhere"));
  EXPECT_FALSE(same("dbname=hub", "dbname=hub, password_file: p"));
  EXPECT_FALSE(same("dbname=hub", "dbname=hub, jobs_conninfo: dbname=jobs"));
  EXPECT_FALSE(same("dbname=hub", "dbname=hub, jobs_password_file: p"));
  EXPECT_FALSE(same("dbname=hub", "dbname=hub, connect_timeout: 6s"));
  EXPECT_FALSE(same("password=one", "password=two"));
  EXPECT_FALSE(same("sweep: {", "sweep: {rows: 5, "));
  EXPECT_FALSE(same("sweep: {", "sweep: {server: other, "));
  EXPECT_FALSE(same("jobs:", "time_zone: Europe/Berlin\njobs:"));
  EXPECT_FALSE(same("jobs:", "jobs_lease: 5s\njobs:"));
  EXPECT_FALSE(same("jobs:", "jobs_keep_history: 5 days\njobs:"));
}

TEST_F(ConfigJobsTest, WarnsOfAStateDirectoryOnlyWhereJobsRun) {
  const std::string without = kServers + std::string("jobs_state_directory: none\njobs:\n");
  EXPECT_EQ(Warnings(without + "  sweep:\n"), "");
  EXPECT_THAT(Warnings(without + "  sweep: {enabled: true}\n"),
              HasSubstr("c.yaml:2:23: jobs_state_directory: the directory does not exist"));
  Write("file", "");
  EXPECT_THAT(Warnings(kServers + std::string("jobs_state_directory: file\njobs:\n"
                                              "  sweep: {enabled: true}\n")),
              HasSubstr("c.yaml:2:23: jobs_state_directory: is not a directory"));
  EXPECT_EQ(Warnings(kServers + std::string("jobs_state_directory: ''\njobs:\n"
                                            "  sweep: {enabled: true}\n")),
            "");
}

TEST_F(ConfigJobsTest, ExaminesTheFileOfAnOption) {
  const std::string text = WithJobs("  sweep: {key: k}\n");
  ::chmod(Write("k", "swordfish").c_str(), 0644);
  EXPECT_EQ(Warnings(text),
            "c.yaml:4:16: jobs.sweep.key: the file can be read by group or others; hint: Give it "
            "mode 0600.\n");
  ::chmod(Write("k", "swordfish").c_str(), 0600);
  EXPECT_EQ(Warnings(text), "");
  ::chmod(Write("k", "").c_str(), 0600);
  EXPECT_EQ(Warnings(text),
            "c.yaml:4:16: jobs.sweep.key: the file is empty; hint: Write the secret into it.\n");
}

TEST_F(ConfigJobsTest, WarnsOfAnAgeThatIsAlwaysTooOld) {
  EXPECT_EQ(Warnings(WithJobs("  sweep: {max_age: 23h}\n")),
            "c.yaml:4:20: jobs.sweep.max_age: 23h is shorter than the time between two runs; hint: "
            "The job will be overdue before each run.\n");
}

TEST_F(ConfigJobsTest, SeveralJobsOfOneType) {
  const Config config = Load(WithJobs(
      "  sweep: {rows: 1}\n  sweep-2: {type: sweep, rows: 2}\n  call: {type: call, text: x}\n"));
  ASSERT_EQ(config.jobs.size(), 3U);
  EXPECT_EQ(config.jobs[0].policy.options.Integer("rows"), 1);
  EXPECT_EQ(config.jobs[1].policy.options.Integer("rows"), 2);
  EXPECT_EQ(config.jobs[2].policy.spec, &kCall);
}

TEST_F(ConfigJobsTest, AManualJobMayBeEnabledWhenItSaysSo) {
  EXPECT_EQ(JobErrors("  call: {enabled: true, schedule: manual, text: x, every: [y]}\n"),
            "accepted");
}

struct BadJob {
  std::string jobs;
  std::string errors;
};

// The jobs begin in line 4.
TEST_F(ConfigJobsTest, SaysWhatIsWrong) {
  const std::vector<BadJob> cases = {
      // names and types
      {"  swep: {}\n",
       "4:3: jobs.swep: there is no type of jobs \"swep\"; hint: Did you mean \"sweep\"?"},
      {"  nightly: {}\n",
       "4:3: jobs.nightly: there is no type of jobs \"nightly\"; hint: Write type: one of call or "
       "sweep."},
      {"  nightly: {type: vacuum}\n",
       "4:19: jobs.nightly.type: there is no type of jobs \"vacuum\"; hint: The types are call and "
       "sweep."},
      {"  a: {type: [sweep]}\n", "4:13: jobs.a.type: must be a single value, not a list"},
      {"  Sweep: {type: sweep}\n",
       "4:3: jobs.Sweep: the name of a job: \"Sweep\" is not a name; hint: Write 1 to 63 lower "
       "case "
       "letters, digits, dashes or underscores."},
      {"  ? ''\n  : {type: sweep}\n",
       "4:5: jobs: the name of a job: is empty; hint: Write 1 to 63 lower case letters, digits, "
       "dashes or underscores."},
      {"  sweep: {}\n  sweep: {}\n",
       "5:3: jobs: duplicate key \"sweep\", first in line 4; hint: Keep one of them."},
      {"  sweep: true\n",
       "4:10: jobs.sweep: must be a mapping, not a single value; hint: Write \"key: value\" "
       "lines."},
      {"  sweep: {shedule: x}\n",
       "4:11: jobs.sweep: unknown key \"shedule\"; hint: Did you mean \"schedule\"?"},
      {"  sweep: {older: 1 day}\n",
       "4:11: jobs.sweep: unknown key \"older\"; hint: The keys here are type, enabled, server, "
       "time_zone, schedule, gap, fold, jitter, window, blackout, overlap, misfire, misfire_grace, "
       "misfire_max, retries, retry_pause, retry_pause_most, deadline, max_age, groups, confirm, "
       "older_than, mode, rows, factor, analyze, rest, users, key, note, throttle_replica_lag, "
       "throttle_replica_lag_mb, throttle_slot_retained_mb, throttle_archiver_files, "
       "throttle_active_sessions, throttle_xmin_age, throttle_xmin_xids, throttle_own_victims, "
       "throttle_running_dump, throttle_vacuum_running and throttle_query."},
      {"  call: {throttle_query: x}\n",
       "4:10: jobs.call: unknown key \"throttle_query\"; hint: The keys here are type, enabled, "
       "server, time_zone, schedule, gap, fold, jitter, window, blackout, overlap, misfire, "
       "misfire_grace, misfire_max, retries, retry_pause, retry_pause_most, deadline, max_age, "
       "groups, confirm, text and every."},
      {"  sweep: {server: hob}\n",
       "4:19: jobs.sweep.server: there is no server \"hob\"; hint: The servers are hub and other."},
      {"  sweep: {enabled: yes}\n",
       "4:20: jobs.sweep.enabled: \"yes\" is not a switch; hint: Write true or false, without "
       "quotes."},
      // when
      {"  sweep: {schedule: 15 25 * * *}\n",
       "4:21: jobs.sweep.schedule: \"25\" in the hour field is out of range; hint: This field "
       "takes 0 to 23, *, lists (1,3), ranges (1-5) and steps (*/2, 1-5/2)."},
      {"  sweep: {schedule: nightly}\n",
       "4:21: jobs.sweep.schedule: \"nightly\" is not a schedule; hint: Write five cron fields "
       "(0 2 * * *), @daily, every 15m or manual."},
      {"  sweep: {time_zone: Europe/Atlantis}\n",
       "4:22: jobs.sweep.time_zone: \"Europe/Atlantis\" is not a time zone of this machine; hint: "
       "Write an IANA name such as UTC or Europe/Berlin."},
      {"  sweep: {gap: jump}\n",
       "4:16: jobs.sweep.gap: \"jump\" is unknown here; hint: Write run_at_end or skip."},
      {"  sweep: {fold: second}\n",
       "4:17: jobs.sweep.fold: \"second\" is unknown here; hint: Write first or both."},
      {"  sweep: {schedule: every 5m, jitter: 5m}\n",
       "4:39: jobs.sweep.jitter: 5m is not shorter than the time between two runs; hint: Write "
       "less "
       "than 5m."},
      {"  sweep: {jitter: 25h}\n",
       "4:19: jobs.sweep.jitter: 1d1h is out of range; hint: Write 0s to 1d."},
      {"  sweep: {window: 22:00-05:00}\n",
       "4:19: jobs.sweep.window: must be a list, not a single value; hint: Write it like "
       "[one, two]."},
      {"  call: {enabled: true, text: x, every: [y]}\n",
       "4:9: jobs.call: the job is enabled and has no schedule; hint: Write schedule: when it "
       "runs, "
       "or schedule: manual if only by hand."},
      // what becomes of it
      {"  sweep: {overlap: wait}\n",
       "4:20: jobs.sweep.overlap: \"wait\" is unknown here; hint: Write skip, queue_one or "
       "cancel_previous."},
      {"  sweep: {misfire: run}\n",
       "4:20: jobs.sweep.misfire: \"run\" is unknown here; hint: Write run_once, skip or run_all."},
      {"  sweep: {misfire_grace: 0s}\n",
       "4:26: jobs.sweep.misfire_grace: 0s is out of range; hint: Write 1s to 366d."},
      {"  sweep: {misfire_max: 0}\n",
       "4:24: jobs.sweep.misfire_max: \"0\" is out of range; hint: Write a whole number from 1 to "
       "1000."},
      {"  sweep: {retries: -1}\n",
       "4:20: jobs.sweep.retries: \"-1\" is out of range; hint: Write a whole number from 0 to "
       "100."},
      {"  sweep: {retry_pause_most: 29s}\n",
       "4:29: jobs.sweep.retry_pause_most: 29s is shorter than retry_pause"},
      {"  sweep: {deadline: 0s}\n",
       "4:21: jobs.sweep.deadline: 0s is out of range; hint: Write 1s to 30d."},
      {"  sweep: {groups: [Heavy]}\n",
       "4:20: jobs.sweep.groups: \"Heavy\" is not a name; hint: Write 1 to 63 lower case letters, "
       "digits, dashes or underscores."},
      {"  sweep: {groups: [a, a]}\n",
       "4:23: jobs.sweep.groups: \"a\" stands here twice; hint: Keep one of them."},
      // two jobs of one type
      {"  sweep: {note: here}\n  mop: {type: sweep, note: there}\n  wipe: {type: sweep, note: "
       "here}\n",
       "6:9: jobs.wipe.note: is also that of job \"sweep\", of the same server; hint: Each would "
       "count the other's as its own: give one of them another note."},
      // options
      {"  sweep: {older_than: 30}\n",
       "4:23: jobs.sweep.older_than: \"30\" is not an age; hint: Write a whole number and days, "
       "weeks, months or years: 30 days, 1 year."},
      {"  sweep: {older_than: ''}\n",
       "4:23: jobs.sweep.older_than: this value is not an age; hint: Write a whole number and "
       "days, "
       "weeks, months or years: 30 days, 1 year."},
      {"  sweep: {mode: smash}\n",
       "4:17: jobs.sweep.mode: \"smash\" is unknown here; hint: Write one of: look, touch."},
      {"  sweep: {rows: 0}\n",
       "4:17: jobs.sweep.rows: \"0\" does not fit; hint: Write a whole number of at least 1 and at "
       "most 1000."},
      {"  sweep: {rows: '5'}\n",
       "4:17: jobs.sweep.rows: is text in quotes; hint: Leave the quotes out."},
      {"  sweep: {factor: half}\n",
       "4:19: jobs.sweep.factor: \"half\" does not fit; hint: Write a number of at least 0 and at "
       "most 2."},
      {"  sweep: {analyze: yes}\n",
       "4:20: jobs.sweep.analyze: \"yes\" is not a switch; hint: Write true or false."},
      {"  sweep: {rest: 5}\n", "4:17: jobs.sweep.rest: \"5\" has no unit; hint: Write 5s."},
      {"  sweep: {users: me}\n",
       "4:18: jobs.sweep.users: must be a list, not a single value; hint: Write it like "
       "[one, two]."},
      {"  sweep: {users: [\"a\\nb\", '']}\n",
       "4:19: jobs.sweep.users: has an item of two lines\n"
       "c.yaml:4:27: jobs.sweep.users: has an empty item"},
      {"  sweep: {note: [x]}\n", "4:17: jobs.sweep.note: must be a single value, not a list"},
      {"  sweep: {note: \"a\\0b\"}\n", "4:17: jobs.sweep.note: has a zero byte"},
      {"  call: {enabled: true, schedule: '@daily'}\n",
       "4:9: jobs.call: the job is enabled and has no every; hint: Write every: For whom.\n"
       "c.yaml:4:9: jobs.call: the job is enabled and has no text; hint: Write text: What is "
       "called."},
  };
  for (const BadJob& bad : cases) {
    EXPECT_EQ(JobErrors(bad.jobs), "c.yaml:" + bad.errors + "\n") << bad.jobs;
  }
  // A job that is not enabled may wait for what it needs.
  EXPECT_EQ(JobErrors("  call: {enabled: false}\n"), "accepted");
}

TEST_F(ConfigJobsTest, SaysWhichWindowIsWrong) {
  const std::string errors = JobErrors("  sweep: {window: [\"22:00-05:00\", \"25:00-26:00\"]}\n");
  EXPECT_EQ(errors.rfind("c.yaml:4:35: jobs.sweep.window: ", 0), 0U) << errors;
}

TEST_F(ConfigJobsTest, SaysWhatIsWrongWithAllJobs) {
  EXPECT_EQ(Errors(kServers + std::string("jobs_keep_history: 90\n")),
            "c.yaml:2:20: jobs_keep_history: \"90\" is not an age; hint: Write a whole number and "
            "days, weeks, months or years: 30 days, 1 year.\n");
  EXPECT_EQ(Errors(kServers + std::string("jobs_lease: 2s\n")),
            "c.yaml:2:13: jobs_lease: 2s is out of range; hint: Write 3s to 10m.\n");
  EXPECT_EQ(Errors(kServers + std::string("jobs: [sweep]\n")),
            "c.yaml:2:7: jobs: must be a mapping, not a list; hint: Write \"key: value\" lines.\n");
  EXPECT_EQ(Errors("servers: [{name: hub, conninfo: '', jobs_conninfo: 'nonsense'}]\n"),
            "c.yaml:1:52: servers.jobs_conninfo: " +
                Errors("servers: [{name: hub, conninfo: 'nonsense'}]\n").substr(31));
}

TEST_F(ConfigJobsTest, NeverRepeatsASecret) {
  for (const char* key : {"schedule", "time_zone", "type", "server", "older_than", "rows"}) {
    const std::string errors =
        JobErrors(std::string("  sweep: {") + key + ": 'host=h password=swordfish'}\n");
    EXPECT_NE(errors, "accepted") << key;
    EXPECT_THAT(errors, Not(HasSubstr("swordf"))) << key;
  }
}

}  // namespace
}  // namespace pgsteward
