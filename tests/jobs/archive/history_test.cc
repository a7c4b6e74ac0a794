// No row is ever lost or doubled, whatever happens: histories by chance, of clients and of
// archivers that are killed, cancelled, cut off and started twice. PGSTEWARD_HISTORIES says how
// many, and PGSTEWARD_HISTORY_SEED repeats one; what happens in it is the same, when exactly is
// not.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "jobs/registry.h"
#include "jobs/runner/execution.h"
#include "tests/jobs/archive/hub_model.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const JobSpec kArchivePurge;
extern const JobSpec kMessageArchive;
extern const JobSpec kMessageUnarchive;

namespace {

using namespace std::chrono_literals;

// How the hub's own triggers look.
enum class Layout { kGuarded, kDocumented, kStatement };

struct Order {
  const JobSpec* spec = &kMessageArchive;
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> arguments;
  bool leases = false;  // with all that a runner does
};

// What a run told of itself; nothing when it was killed.
struct Told {
  std::string text;
  std::map<std::string, std::string> details;
};

Task<void> Execute(Runtime& runtime, LeaseKeeper& keeper, JobExecution& execution,
                   RunOutcome& outcome) {
  TaskGroup tasks(runtime);
  tasks.Spawn("leases", keeper.Run());
  outcome = co_await execution.Run();
  tasks.Stop();
  co_await tasks.Join(SteadyNow() + 5s);
}

class HistoryTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    // An answered COMMIT must also survive the server's own death.
    Exec("ALTER DATABASE " + hub_ + " SET synchronous_commit = on");
    Exec(R"(CREATE FUNCTION public.count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      UPDATE public.chat_sessions s SET message_count = message_count - d.n
      FROM (SELECT session_id, count(*) AS n FROM gone GROUP BY 1) d WHERE s.id = d.session_id;
      RETURN NULL; END $$)");
  }

  std::size_t Below(std::size_t count) { return random_() % count; }
  void Clear(std::uint64_t seed) const;
  void Arrange();
  Order AnyOrder();
  Told RunLeased(const Order& order, Duration ttl);
  // Leases for so long.
  Told RunHere(const Order& order, Duration ttl);

  struct Child {
    pid_t pid = -1;
    int output = -1;
  };
  Child Start(const Order& order);
  bool Ended(Child& child);
  Told Read(Child& child) const;

  void Partition();
  void Undisturbed();
  void Purge(bool clients);
  void AddColumn();
  void Last();
  void Disturbed(bool may_crash);
  void Signal(const char* function);
  void Crash();
  void LockSome();
  void WaitAlone();
  void Check(const Told& told) const;
  void Tell(const std::string& text) { story_ += text + "\n"; }
  void Play(std::uint64_t seed);

  std::mt19937_64 random_;
  std::optional<HubModel> model_;
  std::optional<PgClient> locker_;
  Layout layout_ = Layout::kGuarded;
  bool partitioned_ = false;
  std::string story_;
  // A run's own helper may find no server: the child ends with 2.
  bool crashed_ = false;
  std::map<std::string, int> seen_;  // ends of runs, for the summary
};

void HistoryTest::Clear(std::uint64_t seed) const {
  // Deleting a few rows is faster, and leaves dead ones.
  Exec(seed % 20 == 1 ? "TRUNCATE public.users CASCADE"
                      : "DELETE FROM public.users; DELETE FROM public.messages_archive");
  Exec(
      "ALTER TABLE public.messages DROP COLUMN IF EXISTS extra; "
      "ALTER TABLE public.messages_archive DROP COLUMN IF EXISTS extra; "
      "DELETE FROM pgsteward.retention_hold; DELETE FROM pgsteward.quarantine; DELETE FROM "
      "pgsteward.lease; DELETE FROM pgsteward.job_run; DELETE FROM pgsteward.job_state");
}

// Half of the histories, and some of them begin without any month of theirs.
void HistoryTest::Partition() {
  if (!partitioned_) {
    Postgres().Psql(hub_, {"-q", "-f", PGSTEWARD_SCHEMA "/partitioned_archive.sql"});
    partitioned_ = true;
  }
  if (Below(3) > 0) return;
  Exec(R"(DO $$ DECLARE t regclass; BEGIN
    FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.messages_archive'::regclass
    LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$)");
}

void HistoryTest::Arrange() {
  const Layout layout = static_cast<Layout>(Below(3));
  if (layout == layout_) return;
  layout_ = layout;
  std::string sql = "DROP TRIGGER IF EXISTS update_message_count_trigger ON public.messages;";
  if (layout == Layout::kStatement) {
    sql +=
        "CREATE TRIGGER update_message_count_trigger AFTER DELETE ON public.messages REFERENCING "
        "OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.count_deleted()";
  } else {
    sql +=
        "CREATE TRIGGER update_message_count_trigger AFTER INSERT OR DELETE ON public.messages "
        "FOR EACH ROW ";
    if (layout == Layout::kGuarded) {
      sql += "WHEN (current_setting('pgsteward.archiving', true) IS DISTINCT FROM 'on') ";
    }
    sql += "EXECUTE FUNCTION public.update_message_count()";
  }
  Exec(sql);
}

Order HistoryTest::AnyOrder() {
  Order order;
  order.leases = Below(2) == 0;
  if (Below(6) == 0 && !model_->AnyChat().empty()) {
    order.spec = &kMessageUnarchive;
    order.options = {{"nice", "0"}};
    order.options["trigger_mode"] = Below(2) == 0 ? "guard" : "respect";
    order.arguments = {{"chat", model_->AnyChat()}, {"until", "infinity"}, {"reason", "asked for"}};
    return order;
  }
  const std::vector<std::string> modes[] = {{"auto", "guard", "respect", "statement", "replica"},
                                            {"auto", "respect", "replica"},
                                            {"auto", "statement", "respect", "replica"}};
  const auto& fit = modes[static_cast<int>(layout_)];
  const std::string rows = std::to_string(1 + Below(9));
  order.options = {{"nice", "0"},
                   {"trigger_mode", fit[Below(fit.size())]},
                   {"batch_rows", rows},
                   {"batch_rows_most", rows},
                   {"vacuum", Below(4) == 0 ? "true" : "false"}};
  return order;
}

Told HistoryTest::RunLeased(const Order& order, Duration ttl) {
  Runtime runtime;
  JobPolicy policy(*order.spec);
  for (const auto& [name, value] : order.options) policy.options.Set(name, value);
  Journal journal(runtime, "");
  LeaseKeeper keeper(runtime, Target(), LeaseHolder(), ttl, journal.Check());
  RunRequest request(policy);
  request.arguments = order.arguments;
  request.confirmed_plan = policy.PlanHash();
  JobExecution execution(runtime, Target(), keeper, journal, std::move(request));
  RunOutcome outcome;
  RunCoro(runtime, Execute(runtime, keeper, execution, outcome));
  if (outcome.end == RunOutcome::End::kBusy) return {"busy", {}};
  if (outcome.end != RunOutcome::End::kRan) {
    return {"not begun: " + (outcome.error ? outcome.error->message : ""), {}};
  }
  RunResult result;
  result.report = outcome.record.report;
  if (outcome.error) result.outcome = *outcome.error;
  return {result.Text(), result.report.details};
}

Told HistoryTest::RunHere(const Order& order, Duration ttl) {
  if (order.leases) return RunLeased(order, ttl);
  const RunResult result = Run(*order.spec, order.options, order.arguments);
  return {result.Text(), result.report.details};
}

// The parent has no threads now: a Runtime's end with it.
HistoryTest::Child HistoryTest::Start(const Order& order) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  Child child;
  child.pid = ::fork();
  if (child.pid < 0) throw std::runtime_error("no fork");
  if (child.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    control_ = FakeControl();
    int code = 0;
    try {
      // Short ones, that others take over from those who are killed.
      const Told told = RunHere(order, 1s);
      std::string text = told.text + '\0';
      for (const auto& [name, value] : told.details) text += name + '\0' + value + '\0';
      if (::write(ends[1], text.data(), text.size()) < 0) code = 1;
    } catch (...) {
      code = 2;
    }
    ::_exit(code);
  }
  ::close(ends[1]);
  child.output = ends[0];
  return child;
}

bool HistoryTest::Ended(Child& child) {
  if (child.pid < 0) return true;
  int status = 0;
  if (::waitpid(child.pid, &status, WNOHANG) != child.pid) return false;
  child.pid = -1;
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT_TRUE(killed || (WIFEXITED(status) &&
                         WEXITSTATUS(status) == (crashed_ ? WEXITSTATUS(status) & 2 : 0)))
      << status;
  return true;
}

Told HistoryTest::Read(Child& child) const {
  std::vector<std::string> words(1);
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(child.output, buffer, sizeof buffer)) > 0;) {
    for (ssize_t n = 0; n < got; ++n) {
      if (buffer[n] == '\0') {
        words.emplace_back();
      } else {
        words.back() += buffer[n];
      }
    }
  }
  ::close(child.output);
  Told told;
  told.text = words.size() > 1 ? words.front() : "killed";
  for (std::size_t n = 1; n + 2 < words.size(); n += 2) told.details[words[n]] = words[n + 1];
  return told;
}

void HistoryTest::Check(const Told& told) const {
  const auto detail = [&](const char* name) {
    const auto found = told.details.find(name);
    return found == told.details.end() ? std::string() : found->second;
  };
  EXPECT_EQ(detail("moved"), detail("stored"));
  EXPECT_EQ(detail("moved_checksum"), detail("stored_checksum"));
}

// In this process; clients come between the batches.
void HistoryTest::Undisturbed() {
  const Order order = AnyOrder();
  const bool clients = Below(2) == 0 && order.spec == &kMessageArchive;
  if (clients) {
    // So many, or the run would never end.
    control_.on_progress = [this, steps = 10](const JobReport&) mutable {
      if (--steps > 0) model_->Step();
    };
  }
  const Told told = RunHere(order, 30s);
  control_ = FakeControl();
  Tell(std::string(order.spec->name) + " here: " + told.text);
  ++seen_["here " + told.text.substr(0, 20)];
  const bool busy = order.leases && told.text == "busy";
  // Un-archiving gives up on a chat that somebody holds on to.
  const bool locked = locker_ && told.text.starts_with("error 55P03");
  EXPECT_TRUE(told.text == "ok" || told.text.starts_with("partial ") || busy || locked)
      << told.text;
  Check(told);
  model_->SettleCopies();
}

// In this process, so that it comes to its end: what a purge has taken out and not dropped would be
// neither there nor gone.
void HistoryTest::Purge(bool clients) {
  locker_.reset();
  model_->StartPurge();
  if (clients) {
    control_.on_progress = [this, steps = 10](const JobReport&) mutable {
      if (--steps > 0) model_->Step();
    };
  }
  const std::string age = Value(std::string("SELECT (now() AT TIME ZONE 'UTC')::date - '") +
                                HubModel::kPurged + "'::date || ' days'");
  const RunResult run = Run(kArchivePurge, {{"older_than", age}, {"require_backup", "false"}});
  control_ = FakeControl();
  Tell("archive_purge: " + run.Text());
  ++seen_["purge " + run.Text().substr(0, 20)];
  EXPECT_EQ(run.Text(), "ok");
  model_->SettlePurged(!clients);
}

// Nothing is moved while the archive lacks it.
void HistoryTest::AddColumn() {
  model_->AddColumn();
  const RunResult run = Run(kMessageArchive);
  Tell("a column more: " + run.Text());
  EXPECT_TRUE(run.Text().starts_with("error ")) << run.Text();
  EXPECT_EQ(run.report.rows_done, 0);
  Exec("ALTER TABLE public.messages_archive ADD COLUMN extra text");
}

// To the runs' sessions.
void HistoryTest::Signal(const char* function) {
  Exec(std::string("SELECT ") + function +
       "(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE "
       "'pgsteward:%'");
}

void HistoryTest::Crash() {
  locker_.reset();
  Postgres().Restart(PrivatePostgres::StopMode::kImmediate);
  model_->Reconnect();
}

// One archiver or two, in processes of their own, and what may happen to them.
void HistoryTest::Disturbed(bool may_crash) {
  crashed_ = may_crash;
  std::vector<Order> orders(1, AnyOrder());
  if (Below(3) == 0) orders.push_back(AnyOrder());
  bool clients = Below(2) == 0;
  // More, and the run would never end.
  int steps = 12;
  std::vector<Child> children;
  for (const Order& order : orders) {
    // Which of two equal rows came back is not known before it ended.
    if (order.spec == &kMessageUnarchive) clients = false;
    children.push_back(Start(order));
  }
  enum Fault { kNone, kKill, kCancel, kTerminate, kCrash };
  const Fault fault = may_crash ? kCrash : static_cast<Fault>(Below(4));
  constexpr const char* kFaults[] = {"none", "kill", "cancel", "terminate", "crash"};
  int faults = fault == kNone ? 0 : fault == kCancel ? static_cast<int>(1 + Below(6)) : 1;
  const auto begun = SteadyNow();
  // Early or late, on a fast machine or a slow one.
  auto next = begun + std::chrono::microseconds(Below(2'000U << Below(7)));
  for (bool ended = false; !ended;) {
    if (SteadyNow() > begun + 60s) {
      ADD_FAILURE() << "a run does not end";
      for (Child& child : children) {
        if (child.pid > 0) ::kill(child.pid, SIGKILL);
      }
    }
    if (faults > 0 && SteadyNow() >= next) {
      --faults;
      next = SteadyNow() + std::chrono::microseconds(Below(30'000));
      if (fault == kKill && children.front().pid > 0) ::kill(children.front().pid, SIGKILL);
      if (fault == kCancel) Signal("pg_cancel_backend");
      if (fault == kTerminate) Signal("pg_terminate_backend");
      if (fault == kCrash) Crash();
    } else if (clients && --steps > 0) {
      model_->Step();
    }
    std::this_thread::sleep_for(1ms);
    ended = true;
    for (Child& child : children) ended = Ended(child) && ended;
  }
  if (faults > 0 && fault == kCrash) Crash();
  for (std::size_t n = 0; n < children.size(); ++n) {
    const Told told = Read(children[n]);
    Tell(std::string(orders[n].spec->name) + (orders[n].leases ? " leased" : "") + ", fault " +
         kFaults[fault] + (clients ? ", clients: " : ": ") + told.text);
    ++seen_[std::string(kFaults[fault]) + " " + told.text.substr(0, 20)];
    Check(told);
  }
  WaitAlone();
  model_->SettleCopies();
}

// A killed client's session ends when it has something to say.
void HistoryTest::WaitAlone() {
  std::string mine = std::to_string(model_->pid());
  if (locker_) mine += ", " + std::to_string(locker_->pid());
  WaitFor(
      "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND "
      "backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid NOT IN (" +
      mine + ")");
}

void HistoryTest::LockSome() {
  locker_.emplace(Connect());
  locker_->Exec("BEGIN; SET LOCAL lock_timeout = '1s'; " + model_->AnyLockSql());
}

void HistoryTest::Play(std::uint64_t seed) {
  SCOPED_TRACE("PGSTEWARD_HISTORY_SEED=" + std::to_string(seed));
  random_.seed(seed);
  story_.clear();
  Clear(seed);
  Arrange();
  if (seed % 2 == 0) Partition();
  model_.emplace([this] { return Connect(); }, random_, std::to_string(seed));
  const bool may_crash = seed % 20 < 2 && seed % 40 > 1;
  const std::size_t rounds = 2 + Below(2);
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t steps = Below(8); steps > 0; --steps) model_->Step();
    if (round == 1 && Below(4) == 0) AddColumn();
    if (Below(4) == 0) LockSome();
    model_->RememberHeld();
    if (Below(3) == 0 && !(may_crash && round == 0)) {
      Undisturbed();
    } else {
      Disturbed(may_crash && round == 0);
    }
    locker_.reset();
    if (Below(6) == 0) Purge(true);
    model_->CheckHeld();
  }
  WaitAlone();
  model_->RememberHeld();
  Last();
  if (Below(2) == 0) Purge(false);
  model_->CheckHeld();
  // And it recovers: what a hold has kept goes with the next run.
  if (model_->EndHolds()) Last();
  model_.reset();
}

void HistoryTest::Last() {
  const RunResult last =
      Run(kMessageArchive, {{"nice", "0"}, {"batch_target_ms", "10000"}, {"vacuum", "false"}});
  EXPECT_TRUE(last.Text() == "ok" || last.Text().starts_with("partial quarantined")) << last.Text();
  Check({last.Text(), last.report.details});
  EXPECT_EQ(model_->Problems(last.report.cutoff), "") << story_;
}

TEST_F(HistoryTest, NoRowIsEverLostOrDoubled) {
  const char* const one = std::getenv("PGSTEWARD_HISTORY_SEED");
  if (one) {
    Play(std::strtoull(one, nullptr, 10));
    return;
  }
  const char* const wanted = std::getenv("PGSTEWARD_HISTORIES");
  const std::uint64_t count = wanted ? std::strtoull(wanted, nullptr, 10) : 200;
  ASSERT_GT(count, 0U);
  // Odd ones first: there is no way back from a partitioned archive.
  for (const std::uint64_t first : {1, 2}) {
    for (std::uint64_t seed = first; seed <= count; seed += 2) {
      Play(seed);
      ASSERT_FALSE(HasFailure()) << "history " << seed;
    }
  }
  for (const auto& [end, times] : seen_) std::printf("%4d %s\n", times, end.c_str());
}

}  // namespace
}  // namespace pgsteward
