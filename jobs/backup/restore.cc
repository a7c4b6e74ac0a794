#include "jobs/backup/restore.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <set>

#include "jobs/backup/child_connection.h"
#include "jobs/backup/database_statements.h"
#include "jobs/backup/drill_blame.h"
#include "jobs/backup/drill_checks.h"
#include "jobs/backup/globals_script.h"
#include "jobs/backup/pg_tools.h"
#include "jobs/backup/restore_steps.h"
#include "jobs/backup/restore_target.h"
#include "jobs/backup/verify.h"

namespace pgsteward {

namespace {

constexpr Duration kReadTimeout = std::chrono::minutes(10);
constexpr Duration kLockTimeout = std::chrono::seconds(10);

class Restoration {
 public:
  Restoration(Runtime& runtime, RestoreRequest& request) : runtime_(runtime), request_(request) {}

  Task<Result<RestoreOutcome>> Run();

 private:
  Task<Result<void>> Steps();
  Task<Result<void>> Verify();
  Task<Result<void>> Connect();
  Task<Result<void>> FindTools();
  Task<Result<void>> LookAtNames();
  Task<Result<void>> RestoreGlobals();
  Task<Result<void>> RestoreOne(const BackupDatabase& database);
  Task<Result<void>> RestorePlain(const BackupDatabase& database);
  Task<Result<void>> Fill(const BackupDatabase& database, const std::string& into);
  Task<Result<void>> Finish(const BackupDatabase& database, const std::string& into);
  Task<Result<void>> Analyze(const std::string& name);
  Task<Result<void>> Check(const BackupDatabase& database, const std::string& name);
  Task<Result<void>> TakePlace(const BackupDatabase& database, const std::string& into);
  Task<Error> Remove(const std::string& into, Error why);

  template <class T>
  Task<Result<T>> OnThread(std::function<Result<T>()> work);
  Task<Result<void>> Load(const BackupDatabase& database, const std::string& into);
  bool StopAsked();
  std::string NameOf(const BackupDatabase& database) const {
    return request_.as.empty() ? database.name : request_.as;
  }
  RestoreSource Source() const { return {request_.folder, &*manifest_, request_.identity}; }
  RestoreStep Step();
  void Note(const std::string& text) const {
    if (request_.note) request_.note(text);
  }
  void EndPhase(const std::string& name);

  Runtime& runtime_;
  RestoreRequest& request_;
  RestoreOutcome outcome_;
  std::optional<Manifest> manifest_;
  StopSwitch stop_;
  SteadyTime phase_begun_ = SteadyNow();
  std::optional<RestoreTarget> server_;
  std::optional<ChildConnection> child_;
  std::string pg_restore_, psql_;
  std::set<std::string> there_;  // databases
  std::atomic<std::uint64_t> fed_ = 0;
  double total_ = 0;
};

bool Restoration::StopAsked() {
  if (request_.progress && total_ > 0) {
    request_.progress(std::min(1.0, static_cast<double>(fed_.load()) / total_));
  }
  return stop_.stopped() || (request_.stop_wanted && request_.stop_wanted());
}

template <class T>
Task<Result<T>> Restoration::OnThread(std::function<Result<T>()> work) {
  StopWanted wanted = [this] { return StopAsked(); };
  auto result =
      co_await OnOwnThread<Result<T>>(runtime_, stop_, std::move(work), std::move(wanted));
  if (result) co_return result;
  const std::optional<Error> machine = BlameOnMachine(result.error());
  co_return machine ? *machine : result.error();
}

void Restoration::EndPhase(const std::string& name) {
  const SteadyTime now = SteadyNow();
  outcome_.phases.emplace_back(name, Seconds(now - phase_begun_));
  phase_begun_ = now;
}

RestoreStep Restoration::Step() {
  RestoreStep step;
  const ChildConnection* child = &*child_;
  step.program = [child](std::vector<std::string> argv, const std::string& database) {
    argv.push_back("--dbname=" + ServiceConninfo(database));
    StreamChildSpec spec(std::move(argv));
    child->Lend(spec);
    return spec;
  };
  step.pg_restore = pg_restore_;
  step.psql = psql_;
  step.maintenance = server_->maintenance();
  step.jobs = request_.jobs;
  step.spool = request_.spool;
  step.progress = [this](std::uint64_t bytes) { fed_ += bytes; };
  return step;
}

Task<Result<void>> Restoration::Verify() {
  Note("verifying " + request_.folder);
  VerifyRequest verify;
  verify.folder = request_.folder;
  verify.contents = false;
  std::function<Result<VerifyReport>()> work = [this, &verify] {
    return VerifyBackup(verify, stop_);
  };
  auto report = co_await OnThread<VerifyReport>(std::move(work));
  if (!report) co_return report.error();
  if (!report->whole()) {
    co_return Error(Errc::kQueryFailed, "the backup is damaged: " + report->problems.front().Text(),
                    {},
                    "See all of it with: pgsteward backup verify " + request_.folder +
                        ". Take another backup, or restore by hand what --plan says.");
  }
  manifest_ = std::move(report->manifest);
  const std::vector<std::string>& wanted = request_.databases;
  std::vector<BackupDatabase>& databases = manifest_->databases;
  for (const std::string& name : wanted) {
    const bool found = std::any_of(databases.begin(), databases.end(),
                                   [&name](const auto& each) { return each.name == name; });
    if (!found) co_return Error(Errc::kBadConfig, "the backup holds no database " + name);
  }
  std::erase_if(databases, [&wanted](const auto& each) {
    return !wanted.empty() && std::find(wanted.begin(), wanted.end(), each.name) == wanted.end();
  });
  for (const BackupDatabase& database : databases) {
    total_ += static_cast<double>(database.dump_bytes);
  }
  if (databases.size() > 1 && (!request_.as.empty() || !request_.overwrite.empty())) {
    co_return Error(Errc::kBadConfig, "more than one database, and one name", {},
                    "Name one of the backup's databases with --database.");
  }
  EndPhase("verify");
  co_return Result<void>();
}

// Not to a database that is replaced.
Task<Result<void>> Restoration::Connect() {
  PgTarget target = request_.target;
  target.read_only = false;
  target.part = "restore";
  target.database = request_.overwrite == "postgres" ? "template1" : "postgres";
  target.lock_timeout = kLockTimeout;
  auto read = [target] { return ServiceOf(target); };
  auto service = co_await Offload(runtime_, std::move(read), SteadyNow() + kReadTimeout);
  if (!service) co_return Error(Errc::kTimeout, "reading the connection's files hangs");
  if (!*service) co_return service->error();
  server_.emplace(runtime_, std::move(target));
  auto opened = co_await server_->Open();
  if (!opened) co_return opened;
  std::string options =
      "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 "
      "-c row_security=off";
  if (server_->server_version() >= 140000) options += " -c idle_session_timeout=0";
  auto child = ChildConnection::Make(std::move(**service), "pgsteward:restore", options);
  if (!child) co_return child.error();
  child_.emplace(std::move(*child));
  co_return Result<void>();
}

Task<Result<void>> Restoration::FindTools() {
  const int dumped = manifest_->server_version / 10000;
  const int server = server_->server_version() / 10000;
  if (server < dumped) {
    co_return Error(Errc::kUnsupported,
                    "the backup is of PostgreSQL " + std::to_string(dumped) +
                        " and the server is " + std::to_string(server),
                    {}, "Restore into a server of the same version or a later one.");
  }
  std::vector<WantedTool> wanted = {{"pg_restore", &pg_restore_}, {"psql", &psql_}};
  co_return co_await FindPgTools(runtime_, std::move(wanted), server, request_.tool_directories);
}

Task<Result<void>> Restoration::LookAtNames() {
  auto names = co_await server_->Names("SELECT datname FROM pg_database");
  if (!names) co_return names.error();
  there_ = std::move(*names);
  for (const BackupDatabase& database : manifest_->databases) {
    const std::string name = NameOf(database);
    if (name.size() > kLongestName) {
      co_return Error(Errc::kBadConfig,
                      "a database's name has at most " + std::to_string(kLongestName) + " bytes, " +
                          name + " has " + std::to_string(name.size()),
                      {}, "PostgreSQL would cut it off, to that of another database perhaps.");
    }
    const bool overwrites = request_.overwrite == name;
    if (database.format == "plain" && (overwrites || name != database.name)) {
      co_return Error(Errc::kUnsupported, "a dump in plain format makes its database itself", {},
                      "Restore it under its own name, where there is none of that name.");
    }
    if (there_.contains(name) && !overwrites) {
      co_return Error(Errc::kBusy, "there is a database " + name + " already", {},
                      "Restore beside it with --as OTHER_NAME, or type its name to have it "
                      "replaced: --overwrite " +
                          name + ".");
    }
    if (overwrites && (name == "template0" || name == "template1")) {
      co_return Error(Errc::kUnsupported, "a template is not replaced: " + name, {},
                      "Restore beside it with --as OTHER_NAME.");
    }
    if (overwrites && there_.contains(name)) {
      auto replaceable = co_await server_->CheckReplaceable(name);
      if (!replaceable) co_return replaceable;
    }
    if (!there_.contains(name) && !request_.overwrite.empty()) {
      co_return Error(
          Errc::kBadConfig,
          "there is no database " + request_.overwrite + " that " + name + " could replace", {},
          "Leave --overwrite out.");
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Restoration::RestoreGlobals() {
  if (!request_.globals) co_return Result<void>();
  Note("restoring roles that are not there");
  std::function<Result<std::string>()> read = [this] { return ReadGlobals(Source(), stop_); };
  auto globals = co_await OnThread<std::string>(std::move(read));
  if (!globals) co_return globals.error();
  GlobalsTarget target;
  auto roles = co_await server_->Names("SELECT rolname FROM pg_roles");
  if (!roles) co_return roles.error();
  auto spaces = co_await server_->Names("SELECT spcname FROM pg_tablespace");
  if (!spaces) co_return spaces.error();
  target.roles = std::move(*roles);
  target.tablespaces = std::move(*spaces);
  const GlobalsScript script = FitGlobals(*globals, target);
  for (const std::string& name : script.left_out)
    outcome_.notes.push_back(name + " is there: left as it is");
  const RestoreStep step = Step();
  std::function<Result<void>()> work = [this, &script, &step] {
    return RunSql(step, script.sql, step.maintenance, stop_);
  };
  auto done = co_await OnThread<void>(std::move(work));
  if (!done) co_return done;
  EndPhase("globals");
  co_return Result<void>();
}

Task<Result<void>> Restoration::Load(const BackupDatabase& database, const std::string& into) {
  const RestoreSource source = Source();
  RestoreStep step = Step();
  step.into = into;
  std::function<Result<std::uint64_t>()> work = [this, &source, &database, &step] {
    return RestoreDatabase(source, database, step, stop_);
  };
  auto restored = co_await OnThread<std::uint64_t>(std::move(work));
  if (restored) co_return Result<void>();
  Error error = restored.error();
  const bool role = error.message.find("role \"") != std::string::npos &&
                    error.message.find("does not exist") != std::string::npos;
  if (role && !request_.globals) error.hint = "Restore the roles as well: --globals.";
  co_return error;
}

Task<Result<void>> Restoration::Fill(const BackupDatabase& database, const std::string& into) {
  auto made = co_await server_->Create(database, into);
  if (!made) co_return made;
  // No session in template1, perhaps, for hours.
  server_->Rest();
  auto loaded = co_await Load(database, into);
  EndPhase("databases");
  co_return loaded;
}

// Its settings last: with them sessions may be others.
Task<Result<void>> Restoration::Finish(const BackupDatabase& database, const std::string& into) {
  auto done = co_await Analyze(into);
  if (done) done = co_await Check(database, into);
  if (!done) co_return done;
  std::vector<std::string> statements = DatabaseStatements(database, into);
  for (std::string& sql : statements) {
    auto set = co_await server_->Sql(std::move(sql));
    if (set) continue;
    Error error = set.error();
    if (error.sqlstate == "42704" && !request_.globals) error.message += " (see --globals)";
    co_return error;
  }
  co_return Result<void>();
}

Task<Result<void>> Restoration::Analyze(const std::string& name) {
  Note("analyzing " + name);
  const RestoreStep step = Step();
  std::function<Result<void>()> work = [this, &step, &name] {
    return RunSql(step, "ANALYZE;\n", name, stop_);
  };
  auto analyzed = co_await OnThread<void>(std::move(work));
  EndPhase("analyze");
  co_return analyzed;
}

Task<Result<void>> Restoration::Check(const BackupDatabase& database, const std::string& name) {
  if (!request_.check) co_return Result<void>();
  Note("counting the rows of " + name);
  PgTarget target = request_.target;
  target.part = "restore";
  target.database = name;
  auto opened = co_await PgConnection::Open(runtime_, std::move(target));
  if (!opened) co_return opened.error().error;
  RestoredDatabase db(std::move(*opened));
  DrillChecks checks;
  std::function<bool()> stopped = [this] { return StopAsked(); };
  auto checked = co_await CheckRows(db, database, std::move(stopped), checks);
  if (checked) checked = co_await CheckObjects(db, database, checks);
  if (!checked) co_return checked;
  outcome_.rows += checks.rows;
  outcome_.tables += checks.tables;
  for (const std::string& problem : checks.problems)
    outcome_.problems.push_back(name + ": " + problem);
  for (const std::string& note : checks.notes) outcome_.notes.push_back(name + ": " + note);
  EndPhase("checks");
  co_return Result<void>();
}

// Nothing is dropped: the old one stays for whoever still needs it.
Task<Result<void>> Restoration::TakePlace(const BackupDatabase& database, const std::string& into) {
  const std::string name = NameOf(database);
  if (!there_.contains(name)) {
    auto named = co_await server_->Rename(into, name);
    if (named) co_return named;
    Error error = named.error();
    error.hint =
        "What was restored is whole, and there as " + into + ": rename it yourself, or drop it.";
    co_return error;
  }
  if (!outcome_.problems.empty()) {
    outcome_.notes.push_back(name + " was not replaced; what was restored is there as " + into);
    co_return Result<void>();
  }
  Note("putting it in the place of " + name);
  const std::string old = NameBeside(name, "before");
  auto replaced = co_await server_->Replace(name, into, old);
  if (replaced) {
    outcome_.notes.push_back("the database that was replaced is there as " + old +
                             "; drop it when nobody needs it any more");
    co_return replaced;
  }
  Error error = replaced.error();
  error.message = name + " was not replaced, and is as it was: " + error.message;
  error.hint = "What was restored is whole, and there as " + into +
               ": put it in its place yourself, or drop it and try again.";
  co_return error;
}

Task<Error> Restoration::Remove(const std::string& into, Error why) {
  auto dropped = co_await server_->Drop(into);
  if (dropped) co_return why;
  Error left = dropped.error();
  left.hint.clear();
  why.message += "; and what was begun could not be removed: " + ToText(left);
  why.hint = "Drop the database " + into + ".";
  co_return why;
}

// It makes its database itself: the server refuses that when somebody else was faster. Whose the
// one is that is there after another error nobody knows.
Task<Result<void>> Restoration::RestorePlain(const BackupDatabase& database) {
  auto names = co_await server_->Names("SELECT datname FROM pg_database");
  if (!names) co_return names.error();
  if (names->contains(database.name)) {
    co_return Error(Errc::kBusy, "there is a database " + database.name + " now");
  }
  auto done = co_await Load(database, "");
  if (!done) {
    Error error = done.error();
    error.message += "; a part of " + database.name + " may be there";
    co_return error;
  }
  EndPhase("databases");
  auto analyzed = co_await Analyze(database.name);
  if (!analyzed) co_return analyzed;
  co_return co_await Check(database, database.name);
}

Task<Result<void>> Restoration::RestoreOne(const BackupDatabase& database) {
  if (database.format == "plain") {
    Note("restoring " + database.name);
    co_return co_await RestorePlain(database);
  }
  const std::string into = NameBeside(NameOf(database), "restoring");
  Note("restoring " + database.name + " into " + into);
  auto filled = co_await Fill(database, into);
  auto finished = filled;
  if (filled) finished = co_await Finish(database, into);
  if (finished) co_return co_await TakePlace(database, into);
  Error error = finished.error();
  // A half is worse than nothing; of a whole one its owner decides.
  if (!filled || StopAsked()) co_return co_await Remove(into, std::move(error));
  error.hint = "What was restored is there as " + into +
               ", not checked or without its settings: rename it yourself, or drop it.";
  co_return error;
}

Task<Result<void>> Restoration::Steps() {
  using Part = Task<Result<void>> (Restoration::*)();
  const std::array<Part, 5> parts = {&Restoration::Verify, &Restoration::Connect,
                                     &Restoration::FindTools, &Restoration::LookAtNames,
                                     &Restoration::RestoreGlobals};
  for (const Part part : parts) {
    auto done = co_await (this->*part)();
    if (!done) co_return done;
    if (StopAsked()) co_return Stopped();
  }
  for (const BackupDatabase& database : manifest_->databases) {
    if (StopAsked()) co_return Stopped();
    auto done = co_await RestoreOne(database);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<RestoreOutcome>> Restoration::Run() {
  auto done = co_await Steps();
  if (done) co_return std::move(outcome_);
  // Of databases that were restored before the error.
  for (const std::string& note : outcome_.notes) Note(note);
  for (const std::string& problem : outcome_.problems) Note("differs: " + problem);
  co_return done.error();
}

}  // namespace

Task<Result<RestoreOutcome>> RestoreIntoServer(Runtime& runtime, RestoreRequest request) {
  Restoration restoration(runtime, request);
  co_return co_await restoration.Run();
}

}  // namespace pgsteward
