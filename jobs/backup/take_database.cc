#include "jobs/backup/take_database.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>

#include "jobs/backup/dump_watch.h"
#include "jobs/backup/snapshot.h"

namespace pgsteward {

namespace asio = boost::asio;

namespace {

constexpr Duration kFarewell = std::chrono::seconds(30);
constexpr Duration kRetryPause = std::chrono::seconds(2);
constexpr Duration kStopLook = std::chrono::milliseconds(200);
constexpr std::string_view kDumpTrailer = "-- PostgreSQL database dump complete";
constexpr std::string_view kGlobalsTrailer = "-- PostgreSQL database cluster dump complete";

std::string Milliseconds(std::chrono::seconds seconds) {
  return std::to_string(seconds.count() * 1000);
}

// A session whose client is gone notices that also while it waits for a lock.
std::string ServerOptions(int server_version) {
  return server_version >= 140000 ? "-c client_connection_check_interval=2000" : "";
}

DumpPlan PlanOf(const BackupTaking& taking, std::vector<std::string> argv,
                const ChildConnection& connection, const std::string& file) {
  StreamChildSpec source(std::move(argv));
  connection.Lend(source);
  DumpPlan plan(std::move(source));
  const BackupSettings& settings = taking.settings;
  plan.encrypt = EncryptArgv(settings.recipients);
  plan.compression_level = settings.compression_level;
  plan.compression_threads = settings.compression_threads;
  plan.nice = settings.nice;
  plan.idle_io = settings.idle_io;
  plan.path = taking.partial->PathOf(file);
  return plan;
}

void Show(BackupTaking& taking, const DumpBeat& beat, std::uint64_t expected, SteadyTime started) {
  auto& details = taking.report.details;
  const std::uint64_t dumped = taking.dumped_before + beat.progress.dump_bytes;
  details["dump_bytes"] = std::to_string(dumped);
  details["stored_bytes"] = std::to_string(taking.stored_before + beat.progress.stored_bytes);
  const std::string table = beat.progress.table();
  if (!table.empty()) details["table"] = table;
  details["waits_for"] = beat.blocker;
  const double seconds = Seconds(SteadyNow() - started);
  const auto bytes = static_cast<double>(beat.progress.dump_bytes.load());
  details["eta_seconds"].clear();
  if (expected > 0 && bytes > 0 && seconds > 1) {
    const double left = std::max(0.0, static_cast<double>(expected) - bytes);
    details["eta_seconds"] = std::to_string(static_cast<long long>(left / (bytes / seconds)));
  }
  for (const char* name : {"waits_for", "eta_seconds"}) {
    if (details[name].empty()) details.erase(name);
  }
  taking.context.control.Progress(taking.report);
}

// The dump and what goes on beside it, to the end of all of it.
struct WatchedDump {
  BackupTaking& taking;
  std::shared_ptr<DumpBeat> beat;
  Snapshot* snapshot = nullptr;  // none: nothing to count
  std::uint64_t expected = 0;

  Task<Result<Dumped>> Run(DumpPlan plan);

 private:
  Task<Result<Dumped>> RunBoth(DumpPlan plan, TaskGroup& group);
};

Task<Result<Dumped>> WatchedDump::RunBoth(DumpPlan plan, TaskGroup& group) {
  JobContext& context = taking.context;
  StopSwitch stop;
  const SteadyTime started = SteadyNow();
  auto shared = beat;
  std::function<Result<Dumped>()> work = [plan, shared, &stop] {
    return RunDump(plan, shared->progress, stop);
  };
  StopWanted wanted = [this, started, &context] {
    Show(taking, *beat, expected, started);
    return beat->error.has_value() || !context.control.StopReason().empty();
  };
  while (snapshot && !beat->locked && !wanted()) co_await SleepUntil(SteadyNow() + kStopLook);
  if (beat->error) co_return *beat->error;
  if (wanted()) co_return StoppedBecause(context.control.StopReason());
  auto dumped = co_await OnOwnThread(context.runtime, stop, std::move(work), wanted);
  beat->dumped = true;
  while (dumped && !group.empty()) {
    if (wanted()) break;
    co_await group.Join(SteadyNow() + kStopLook);
  }
  if (beat->error) co_return *beat->error;
  const std::string reason = context.control.StopReason();
  if (!dumped && dumped.error().code == Errc::kTimeout && !reason.empty()) {
    co_return StoppedBecause(reason);
  }
  if (dumped && snapshot && beat->counted < beat->tables.size()) co_return StoppedBecause(reason);
  co_return dumped;
}

Task<Result<Dumped>> WatchedDump::Run(DumpPlan plan) {
  JobContext& context = taking.context;
  TaskGroup group(context.runtime);
  group.Spawn("backup locks", WatchLocks(beat, context.db));
  const std::string path = plan.path;
  const Duration lock_wait = taking.settings.lock_wait;
  if (snapshot) group.Spawn("backup counts", CountTables(beat, *snapshot, lock_wait));
  std::exception_ptr failure;
  std::optional<Result<Dumped>> dumped;
  try {
    auto result = co_await RunBoth(std::move(plan), group);
    dumped.emplace(std::move(result));
  } catch (...) {
    failure = std::current_exception();
  }
  // The tasks refer to what ends with this coroutine, and no backend may be left: also when it is
  // cancelled there must be time for that.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  beat->dumped = true;
  group.Stop();
  co_await group.Join(SteadyNow() + kFarewell);
  if (failure || !*dumped || !group.empty()) {
    PgTarget target = context.db.target();
    co_await EndBackends(context.runtime, std::move(target), taking.Applications());
  }
  while (!group.empty()) co_await group.Join(SteadyNow() + kFarewell);
  // The next attempt makes it anew.
  if (failure || !*dumped) {
    auto remove = [path] { return ::unlink(path.c_str()); };
    co_await Offload(context.runtime, std::move(remove), SteadyNow() + kFarewell);
  }
  co_await asio::this_coro::reset_cancellation_state();
  if (failure) std::rethrow_exception(failure);
  co_return std::move(*dumped);
}

std::uint64_t ExpectedBytes(const BackupFacts& facts, const BackupDatabase& database) {
  if (facts.last) {
    for (const BackupDatabase& each : facts.last->databases) {
      if (each.oid == database.oid) return each.dump_bytes;
    }
  }
  return 0;
}

std::vector<std::string> DumpArgv(const BackupTaking& taking, const BackupDatabase& database) {
  const BackupSettings& settings = taking.settings;
  std::vector<std::string> argv = {taking.facts.pg_dump.path};
  if (settings.plain) {
    argv.insert(argv.end(), {"--format=plain", "--clean", "--create", "--if-exists"});
  } else {
    argv.insert(argv.end(), {"--format=custom", "--compress=0"});
  }
  argv.insert(
      argv.end(),
      {"--verbose", "--no-password", "--lock-wait-timeout=" + Milliseconds(settings.lock_wait),
       "--snapshot=" + database.snapshot, "--dbname=" + ServiceConninfo(database.name)});
  return argv;
}

Task<Result<TakenDatabase>> TakeOnce(BackupTaking& taking, const std::string& name) {
  JobContext& context = taking.context;
  PgTarget target = context.db.target();
  target.part = taking.SnapshotPart();
  auto snapshot = co_await Snapshot::Take(context.runtime, std::move(target), name);
  if (!snapshot) co_return snapshot.error();
  TakenDatabase taken;
  taken.database = (*snapshot)->facts();
  auto connection = ChildConnection::Make(taking.service, taking.Application(),
                                          ServerOptions((*snapshot)->server_version()));
  if (!connection) co_return connection.error();
  const std::string base = FileNameOf(name) + "-" + std::to_string(taken.database.oid) +
                           (taking.settings.plain ? ".sql" : ".dump");
  taken.file.name = StoredName(base, taking.settings.recipients);
  DumpPlan plan = PlanOf(taking, DumpArgv(taking, taken.database), *connection, taken.file.name);
  if (taking.settings.plain) {
    plan.trailer = kDumpTrailer;
  } else {
    plan.reader = {taking.facts.pg_restore.path, "--file=/dev/null"};
  }
  WatchedDump dump{taking, std::make_shared<DumpBeat>(taking.Applications())};
  auto tables = co_await (*snapshot)->ReadTables();
  if (!tables) co_return tables.error();
  dump.beat->tables = std::move(*tables);
  dump.snapshot = snapshot->get();
  dump.expected = ExpectedBytes(taking.facts, taken.database);
  auto dumped = co_await dump.Run(std::move(plan));
  if (!dumped) {
    Error error = dumped.error();
    if (error.code == Errc::kBusy && !dump.beat->blocker.empty()) {
      error.message += "; " + dump.beat->blocker;
    }
    co_return error;
  }
  auto there = co_await (*snapshot)->Check();
  if (!there) co_return there.error();
  taken.database.tables = std::move(dump.beat->tables);
  taken.database.file = taken.file.name;
  taken.database.format = taking.settings.plain ? "plain" : "custom";
  taken.database.dump_bytes = dumped->dump_bytes;
  taken.file.bytes = dumped->stored_bytes;
  taken.file.sha256 = dumped->sha256;
  co_return taken;
}

}  // namespace

std::string StoredName(const std::string& base, const Recipients& recipients) {
  return base + ".zst" + std::string(EncryptionSuffix(recipients.kind));
}

Error StoppedBecause(const std::string& reason) {
  return Error(Errc::kTimeout, "stopped (" + reason + "); nothing was published");
}

Task<Result<BackupFile>> TakeGlobals(BackupTaking& taking) {
  JobContext& context = taking.context;
  const std::string database = context.db.database();
  auto connection = ChildConnection::Make(taking.service, taking.Application(),
                                          ServerOptions(taking.facts.server_version));
  if (!connection) co_return connection.error();
  // pg_dumpall takes the database from --database only, and there again a connection string.
  std::vector<std::string> argv = {taking.facts.pg_dumpall.path, "--globals-only", "--no-password",
                                   "--database=" + ServiceConninfo(database),
                                   "--dbname=service=pgsteward"};
  if (!taking.facts.role_passwords) argv.emplace_back("--no-role-passwords");
  BackupFile file;
  file.name = StoredName("globals.sql", taking.settings.recipients);
  DumpPlan plan = PlanOf(taking, std::move(argv), *connection, file.name);
  plan.trailer = kGlobalsTrailer;
  WatchedDump dump{taking, std::make_shared<DumpBeat>(taking.Applications())};
  auto dumped = co_await dump.Run(std::move(plan));
  if (!dumped) co_return dumped.error();
  file.bytes = dumped->stored_bytes;
  file.sha256 = dumped->sha256;
  co_return file;
}

Task<Result<TakenDatabase>> TakeDatabase(BackupTaking& taking, std::string name) {
  RunControl& control = taking.context.control;
  for (int attempt = 1;; ++attempt) {
    auto taken = co_await TakeOnce(taking, name);
    if (taken || taken.error().code != Errc::kBusy) co_return taken;
    if (attempt >= taking.settings.lock_attempts) {
      Error error = taken.error();
      error.hint = "End what holds the lock, raise lock_wait, or take backups at another time.";
      co_return error;
    }
    control.Note("attempt " + std::to_string(attempt) + ": " + taken.error().message);
    const SteadyTime again = SteadyNow() + kRetryPause;
    while (SteadyNow() < again && control.StopReason().empty()) {
      co_await SleepUntil(SteadyNow() + kStopLook);
    }
    if (!control.StopReason().empty()) co_return StoppedBecause(control.StopReason());
  }
}

}  // namespace pgsteward
