#include "jobs/backup/drill.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <utility>

#include "core/durable_file.h"
#include "core/pg_text.h"
#include "core/process.h"
#include "jobs/backup/drill_blame.h"
#include "jobs/backup/drill_checks.h"
#include "jobs/backup/globals_script.h"
#include "jobs/backup/pg_tools.h"
#include "jobs/backup/pins.h"
#include "jobs/backup/restore_steps.h"
#include "jobs/backup/scratch_cluster.h"
#include "jobs/backup/verify.h"

namespace pgsteward {

namespace {

constexpr std::uint64_t kSpareBytes = std::uint64_t{1} << 30;  // for its WAL
constexpr Duration kStatementTimeout = std::chrono::minutes(5);
constexpr Duration kAmcheckTimeout = std::chrono::hours(24);

// Returned as an error where the backup is to blame: ends the drill with its verdict.
bool IsVerdict(const DrillResult& result) { return !result.problems.empty(); }

class Drill {
 public:
  Drill(Runtime& runtime, DrillRequest& request) : runtime_(runtime), request_(request) {}

  Task<Result<DrillResult>> Run();

 private:
  // Each returns an error for what this machine is to blame for, and notes the backup's problems.
  Task<Result<void>> Steps();
  Task<Result<void>> Verify();
  Result<void> ChooseDatabases();
  Task<Result<void>> FindTools();
  Task<Result<void>> MakeCluster();
  Task<Result<void>> RestoreGlobals();
  Task<Result<void>> RestoreDatabases();
  Task<Result<void>> MakeRoom(const std::string& database);
  Task<Result<void>> Analyze();
  Task<Result<void>> Check();
  Task<Result<void>> CheckOne(const BackupDatabase& database);
  Task<Result<void>> CheckPages();

  template <class T>
  Task<Result<T>> OnThread(std::function<Result<T>()> work);
  bool StopAsked();
  // The backup is to blame, or the machine.
  Result<void> Blame(const Error& error);
  Task<Result<std::unique_ptr<RestoredDatabase>>> Connect(const std::string& database);
  RestoreSource Source() const { return {request_.folder, &manifest(), request_.identity}; }
  RestoreStep Step();
  const Manifest& manifest() const { return *result_.manifest; }
  void Note(const std::string& text) const {
    if (request_.note) request_.note(text);
  }
  void EndPhase(std::string name);

  Runtime& runtime_;
  DrillRequest& request_;
  DrillResult result_;
  StopSwitch stop_;
  SteadyTime phase_begun_ = SteadyNow();
  std::string initdb_, postgres_, pg_restore_, psql_, pg_amcheck_;
  std::string globals_;
  std::unique_ptr<ScratchCluster> cluster_;
  std::atomic<std::uint64_t> fed_ = 0;
  double total_ = 0;
};

bool Drill::StopAsked() {
  if (request_.progress && total_ > 0) {
    request_.progress(std::min(1.0, static_cast<double>(fed_.load()) / total_));
  }
  return stop_.stopped() || (request_.stop_wanted && request_.stop_wanted());
}

template <class T>
Task<Result<T>> Drill::OnThread(std::function<Result<T>()> work) {
  StopWanted wanted = [this] { return StopAsked(); };
  co_return co_await OnOwnThread<Result<T>>(runtime_, stop_, std::move(work), std::move(wanted));
}

Result<void> Drill::Blame(const Error& error) {
  if (const std::optional<Error> machine = BlameOnMachine(error)) return *machine;
  if (cluster_ && cluster_->FreeBytes() < (std::uint64_t{1} << 24)) {
    return Error(Errc::kUnavailable, "no space left below " + request_.scratch, {}, error.message);
  }
  result_.problems.push_back(error.message);
  return Result<void>();
}

void Drill::EndPhase(std::string name) {
  const SteadyTime now = SteadyNow();
  result_.phases.emplace_back(std::move(name), Seconds(now - phase_begun_));
  phase_begun_ = now;
}

RestoreStep Drill::Step() {
  RestoreStep step;
  const ScratchCluster* cluster = cluster_.get();
  step.program = [cluster](std::vector<std::string> argv, const std::string& database) {
    argv.push_back("--dbname=" + cluster->Conninfo(database));
    StreamChildSpec spec(cluster->run_as().Argv(std::move(argv)));
    spec.environment = PgProgramEnvironment();
    return spec;
  };
  step.pg_restore = pg_restore_;
  step.psql = psql_;
  step.maintenance = cluster_->maintenance();
  step.jobs = request_.jobs;
  step.spool = cluster_->folder();
  step.spool_owner = cluster_->run_as();
  step.progress = [this](std::uint64_t bytes) { fed_ += bytes; };
  return step;
}

Task<Result<std::unique_ptr<RestoredDatabase>>> Drill::Connect(const std::string& database) {
  PgTarget target = cluster_->Target(database);
  auto opened = co_await PgConnection::Open(runtime_, std::move(target));
  if (!opened) co_return opened.error().error;
  co_return std::make_unique<RestoredDatabase>(std::move(*opened));
}

Task<Result<void>> Drill::Verify() {
  Note("verifying " + request_.folder);
  VerifyRequest verify;
  verify.folder = request_.folder;
  verify.contents = false;  // read while they are restored
  std::function<Result<VerifyReport>()> work = [this, &verify] {
    return VerifyBackup(verify, stop_);
  };
  auto report = co_await OnThread<VerifyReport>(std::move(work));
  if (!report) co_return report.error();
  result_.manifest = report->manifest;
  if (result_.manifest) {
    auto chosen = ChooseDatabases();
    if (!chosen) co_return chosen;
  }
  for (const VerifyProblem& problem : report->problems) result_.problems.push_back(problem.Text());
  for (const BackupDatabase& database :
       report->manifest ? manifest().databases : std::vector<BackupDatabase>()) {
    total_ += static_cast<double>(database.dump_bytes);
  }
  EndPhase("verify");
  co_return Result<void>();
}

Result<void> Drill::ChooseDatabases() {
  const std::vector<std::string>& wanted = request_.databases;
  if (wanted.empty()) return Result<void>();
  std::vector<BackupDatabase>& databases = result_.manifest->databases;
  for (const std::string& name : wanted) {
    const bool there = std::any_of(databases.begin(), databases.end(),
                                   [&name](const auto& each) { return each.name == name; });
    if (!there) return Error(Errc::kBadConfig, "the backup holds no database " + name);
  }
  std::erase_if(databases, [&wanted](const BackupDatabase& each) {
    return std::find(wanted.begin(), wanted.end(), each.name) == wanted.end();
  });
  return Result<void>();
}

Task<Result<void>> Drill::FindTools() {
  const int major = manifest().server_version / 10000;
  std::vector<WantedTool> wanted = {{"initdb", &initdb_},
                                    {"postgres", &postgres_},
                                    {"pg_restore", &pg_restore_},
                                    {"psql", &psql_}};
  auto found = co_await FindPgTools(runtime_, std::move(wanted), major, request_.tool_directories);
  if (!found) co_return found;
  if (request_.amcheck == Amcheck::kOff) co_return Result<void>();
  std::string name = "pg_amcheck";
  std::vector<std::string> directories = request_.tool_directories;
  auto tool = co_await FindPgTool(runtime_, std::move(name), major, std::move(directories));
  if (tool) pg_amcheck_ = tool->path;
  if (!tool && request_.amcheck == Amcheck::kRequired) co_return tool.error();
  if (!tool) result_.notes.push_back("no pg_amcheck of version " + std::to_string(major));
  co_return Result<void>();
}

Task<Result<void>> Drill::MakeCluster() {
  std::function<Result<std::string>()> read = [this] { return ReadGlobals(Source(), stop_); };
  auto globals = co_await OnThread<std::string>(std::move(read));
  if (!globals) co_return Blame(globals.error());
  globals_ = std::move(*globals);
  // Decrypted, it was no part of a restore yet.
  phase_begun_ = SteadyNow();
  Note("making a scratch cluster");
  ScratchOptions options;
  options.base = request_.scratch;
  options.run_as = request_.run_as;
  options.initdb = initdb_;
  options.postgres = postgres_;
  options.superuser = SuperuserOf(globals_, "postgres");
  options.settings = request_.settings;
  options.keep_at = request_.keep_at;
  options.needed_bytes = kSpareBytes;
  for (const BackupDatabase& database : manifest().databases) {
    const std::uint64_t spool = request_.jobs > 1 ? database.dump_bytes : 0;
    options.needed_bytes += database.database_bytes + database.database_bytes / 5 + spool;
  }
  auto made = co_await ScratchCluster::Make(runtime_, std::move(options));
  if (!made) co_return made.error();
  cluster_ = std::move(*made);
  if (!cluster_->without_network()) {
    result_.notes.push_back("the scratch server could reach the network");
  }
  EndPhase("cluster");
  co_return Result<void>();
}

Task<Result<void>> Drill::RestoreGlobals() {
  if (globals_.empty()) co_return Result<void>();
  Note("restoring roles");
  GlobalsTarget target;
  target.roles = {cluster_->superuser()};
  target.alter_roles = target.roles;
  target.tablespace_root =
      (request_.keep_at.empty() ? cluster_->folder() + "/" : request_.keep_at + "-") +
      "tablespaces";
  const GlobalsScript script = FitGlobals(globals_, target);
  if (!script.folders.empty()) {
    auto made = cluster_->MakeFolders(script.folders);
    if (!made) co_return made;
  }
  const RestoreStep step = Step();
  std::function<Result<void>()> work = [this, &script, &step] {
    return RunSql(step, script.sql, step.maintenance, stop_);
  };
  auto done = co_await OnThread<void>(std::move(work));
  if (!done) co_return Blame(Error(done.error().code, "roles: " + done.error().message));
  EndPhase("globals");
  co_return Result<void>();
}

// Those that initdb has made are replaced by the dump's.
Task<Result<void>> Drill::MakeRoom(const std::string& database) {
  const std::string maintenance = cluster_->maintenance();
  auto db = co_await Connect(maintenance);
  if (!db) co_return db.error();
  PgValues values = {database};
  std::string find = "UPDATE pg_database SET datistemplate = false WHERE datname = $1 RETURNING 1";
  auto found = co_await (*db)->Query(std::move(find), std::move(values), kStatementTimeout);
  if (!found) co_return found.error();
  if (found->rows() == 0) co_return Result<void>();
  std::string drop = "DROP DATABASE " + QuoteIdentifier(database);
  auto dropped = co_await (*db)->Query(std::move(drop), {}, kStatementTimeout);
  if (!dropped) co_return dropped.error();
  co_return Result<void>();
}

Task<Result<void>> Drill::RestoreDatabases() {
  const RestoreSource source = Source();
  const RestoreStep step = Step();
  for (const BackupDatabase& database : manifest().databases) {
    Note("restoring " + database.name);
    auto room = co_await MakeRoom(database.name);
    if (!room) co_return room;
    std::function<Result<std::uint64_t>()> work = [this, &source, &database, &step] {
      return RestoreDatabase(source, database, step, stop_);
    };
    auto restored = co_await OnThread<std::uint64_t>(std::move(work));
    if (!restored) co_return Blame(restored.error());
    if (*restored != database.dump_bytes) {
      result_.problems.push_back(database.file + " holds a dump of " + std::to_string(*restored) +
                                 " bytes instead of " + std::to_string(database.dump_bytes));
      co_return Result<void>();
    }
  }
  EndPhase("databases");
  co_return Result<void>();
}

Task<Result<void>> Drill::Analyze() {
  const RestoreStep step = Step();
  for (const BackupDatabase& database : manifest().databases) {
    Note("analyzing " + database.name);
    std::function<Result<void>()> work = [this, &database, &step] {
      return RunSql(step, "ANALYZE;\n", database.name, stop_);
    };
    auto done = co_await OnThread<void>(std::move(work));
    if (!done) co_return Blame(done.error());
  }
  EndPhase("analyze");
  co_return Result<void>();
}

Task<Result<void>> Drill::CheckOne(const BackupDatabase& database) {
  auto db = co_await Connect(database.name);
  if (!db) co_return db.error();
  DrillChecks checks;
  std::function<bool()> stopped = [this] { return StopAsked(); };
  auto checked = co_await CheckRows(**db, database, std::move(stopped), checks);
  if (checked) checked = co_await CheckObjects(**db, database, checks);
  Database* live =
      request_.live && request_.live->database() == database.name ? request_.live : nullptr;
  if (checked) checked = co_await CheckHub(**db, live, database, checks);
  result_.tables += checks.tables;
  result_.rows += checks.rows;
  const std::string where = manifest().databases.size() > 1 ? database.name + ": " : "";
  for (const std::string& problem : checks.problems) result_.problems.push_back(where + problem);
  for (const std::string& note : checks.notes) result_.notes.push_back(where + note);
  if (!checked) co_return Blame(checked.error());
  co_return Result<void>();
}

Task<Result<void>> Drill::Check() {
  for (const BackupDatabase& database : manifest().databases) {
    Note("checking " + database.name);
    auto checked = co_await CheckOne(database);
    if (!checked) co_return checked;
  }
  EndPhase("checks");
  co_return Result<void>();
}

// Last: it makes an extension where there is none.
Task<Result<void>> Drill::CheckPages() {
  if (pg_amcheck_.empty()) co_return Result<void>();
  for (const BackupDatabase& database : manifest().databases) {
    Note("checking the pages of " + database.name);
    std::vector<std::string> argv = {pg_amcheck_, "--install-missing", "--heapallindexed",
                                     "--no-password", cluster_->Conninfo(database.name)};
    ProcessSpec spec(cluster_->run_as().Argv(std::move(argv)));
    spec.environment = PgProgramEnvironment();
    auto ended = co_await RunProcess(runtime_, std::move(spec), SteadyNow() + kAmcheckTimeout);
    if (!ended) co_return ended.error();
    if (ended->ok()) continue;
    std::string why = ended->exit_code == 2 ? ended->output : ended->error_output;
    const bool absent = why.find("control file") != std::string::npos ||
                        why.find("is not available") != std::string::npos;
    why = why.substr(0, 500);
    if (ended->exit_code == 2) {
      result_.problems.push_back(database.name + ": pg_amcheck: " + why);
    } else if (absent && request_.amcheck == Amcheck::kAuto) {
      result_.notes.push_back("pg_amcheck lacks its extension amcheck on this machine");
      co_return Result<void>();
    } else {
      co_return Error(Errc::kChildFailed, "pg_amcheck failed: " + why);
    }
  }
  EndPhase("amcheck");
  co_return Result<void>();
}

Task<Result<void>> Drill::Steps() {
  using Part = Task<Result<void>> (Drill::*)();
  const std::array<Part, 8> parts = {
      &Drill::Verify,           &Drill::FindTools, &Drill::MakeCluster, &Drill::RestoreGlobals,
      &Drill::RestoreDatabases, &Drill::Analyze,   &Drill::Check,       &Drill::CheckPages};
  for (const Part part : parts) {
    auto done = co_await (this->*part)();
    if (!done) co_return done;
    // What comes after the first problem proves nothing.
    if (IsVerdict(result_)) co_return Result<void>();
    if (StopAsked()) co_return Stopped();
  }
  co_return Result<void>();
}

Task<Result<DrillResult>> Drill::Run() {
  auto done = co_await Steps();
  const bool restored = !result_.phases.empty() &&
                        std::any_of(result_.phases.begin(), result_.phases.end(),
                                    [](const auto& phase) { return phase.first == "analyze"; });
  if (done && cluster_ && restored && !request_.keep_at.empty()) {
    done = co_await cluster_->Keep();
  } else if (cluster_) {
    co_await cluster_->Remove();
  }
  // What is wrong with the backup stays so, whatever the machine lacks for the rest.
  if (!done && (result_.problems.empty() || StopAsked())) co_return done.error();
  if (!done) result_.notes.push_back(done.error().message);
  for (const auto& [name, seconds] : result_.phases) {
    const bool waited =
        name == "cluster" || name == "globals" || name == "databases" || name == "analyze";
    if (waited) result_.restore_seconds += seconds;
  }
  result_.proven = result_.problems.empty();
  if (!result_.proven) result_.reason = result_.problems.front();
  co_return std::move(result_);
}

std::string SecondsText(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3f", seconds);
  return text.data();
}

}  // namespace

Task<Result<DrillResult>> RunDrill(Runtime& runtime, DrillRequest request) {
  Drill drill(runtime, request);
  co_return co_await drill.Run();
}

BackupProof ProofOf(const DrillResult& result, WallTime at, std::string host) {
  BackupProof proof;
  proof.verdict = result.proven ? "proven" : "failed";
  proof.reason = result.reason;
  proof.at = at;
  proof.restore_seconds = result.restore_seconds;
  for (const auto& [name, seconds] : result.phases) {
    proof.phases.push_back({name, SecondsText(seconds)});
  }
  proof.host = std::move(host);
  return proof;
}

Result<void> AddProof(const BackupPlace& place, const std::string& id, const BackupProof& proof) {
  const auto lock = PlaceLock::Take(place);
  if (!lock) return lock.error();
  const std::string path = place.Published(id) + "/" + std::string(kManifestFile);
  auto text = ReadWholeFile(path, kLargestManifest);
  if (!text) return text.error();
  auto manifest = ParseManifest(*text);
  if (!manifest) return manifest.error();
  manifest->proofs.push_back(proof);
  return WriteFileDurably(path, ManifestJson(*manifest));
}

}  // namespace pgsteward
