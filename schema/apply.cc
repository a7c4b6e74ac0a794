#include "schema/apply.h"

#include <utility>

#include "schema/index_builds.h"

namespace pgsteward {

namespace {

// A version without index builds is complete with its transaction.
constexpr std::string_view kRecordSql = R"sql(
INSERT INTO pgsteward.schema_version
  (component, version, started_at, completed_at, applied_by, daemon_version, checksum)
VALUES ($1, $2, clock_timestamp(), CASE WHEN $3::boolean THEN clock_timestamp() END,
        current_user, $4, $5)
)sql";

constexpr std::string_view kCompleteSql = R"sql(
UPDATE pgsteward.schema_version SET completed_at = clock_timestamp()
WHERE component = $1 AND version = $2 AND completed_at IS NULL
)sql";

constexpr std::string_view kLackingSql = R"sql(
SELECT count(*), string_agg(r.name, ', ' ORDER BY r.ordinality)
FROM unnest($1::text[]) WITH ORDINALITY AS r (name)
WHERE NOT EXISTS (
  SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = $2 AND c.relname = r.name)
)sql";

constexpr std::string_view kRecordExistsSql = R"sql(
SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'pgsteward' AND c.relname = 'schema_version'
)sql";

// duplicate table (index, view), object (trigger, policy), function, column
bool ExistsAlready(const Error& error) {
  for (const std::string_view state : {"42P07", "42710", "42723", "42701"}) {
    if (error.sqlstate == state) return true;
  }
  return false;
}

std::string BaselineHint(const SchemaComponent& component, const SchemaVersion& version) {
  std::string options = "--baseline " + std::string(version.name);
  if (&component != &HubSchema()) options += " --component " + std::string(component.name);
  return "If this database has all of " + version.label +
         " already, record that with: pgsteward schema apply " + options +
         ". If not, move away what is in the way, see docs/database.md.";
}

Error At(const std::string& step, Error error) {
  error.message = step + ": " + error.message;
  return error;
}

Task<Result<void>> EnsureRecord(ApplySession& session) {
  std::string exists_sql(kRecordExistsSql);
  auto exists = co_await session.Script(std::move(exists_sql));
  if (!exists) co_return exists.error();
  if (exists->rows() > 0) co_return Result<void>();
  std::string create_sql(SchemaText("record.sql"));
  auto created = co_await session.Script(std::move(create_sql));
  if (!created) co_return At("record.sql", created.error());
  co_return Result<void>();
}

Task<Result<void>> Record(ApplySession& session, const SchemaComponent& component,
                          const SchemaVersion& version, bool complete) {
  std::string sql(kRecordSql);
  PgValues values;
  values.emplace_back(std::string(component.name));
  values.emplace_back(std::string(version.name));
  values.emplace_back(complete ? "true" : "false");
  values.emplace_back(session.options().daemon_version);
  values.emplace_back(std::string(version.checksum));
  auto done = co_await session.Query(std::move(sql), std::move(values), session.options().timeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<void>> Complete(ApplySession& session, const SchemaComponent& component,
                            const SchemaVersion& version) {
  std::string sql(kCompleteSql);
  PgValues values;
  values.emplace_back(std::string(component.name));
  values.emplace_back(std::string(version.name));
  auto done = co_await session.Query(std::move(sql), std::move(values), session.options().timeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

// What stands between BEGIN and COMMIT.
Task<Result<void>> RunFiles(ApplySession& session, const SchemaComponent& component,
                            const SchemaVersion& version) {
  // First of all: whoever applies the same version in spite of the advisory lock fails here, at the
  // primary key, before it has changed anything.
  auto recorded = co_await Record(session, component, version, !version.concurrent);
  if (!recorded) co_return At(version.label, recorded.error());
  for (const SchemaFile& file : version.files) {
    const std::string step = version.label + " " + std::string(file.name);
    const SteadyTime start = SteadyNow();
    session.listener().Started(step);
    auto done = co_await session.Script(std::string(file.sql));
    session.listener().Finished(done ? "ok" : "failed", SteadyNow() - start);
    if (done) continue;
    Error error = At(step, done.error());
    if (ExistsAlready(error)) error.hint = BaselineHint(component, version);
    co_return error;
  }
  co_return Result<void>();
}

Task<Result<void>> InTransaction(ApplySession& session, const SchemaComponent& component,
                                 const SchemaVersion& version) {
  auto begun = co_await session.Script("BEGIN");
  if (!begun) co_return begun.error();
  auto done = co_await RunFiles(session, component, version);
  if (done) {
    auto committed = co_await session.Script("COMMIT");
    if (!committed) done = At(version.label, committed.error());
  }
  // When even this fails the session is gone or interrupted, and the server rolls back by itself.
  if (!done) co_await session.Script("ROLLBACK");
  co_return done;
}

Task<Result<void>> ApplyVersion(ApplySession& session, const SchemaComponent& component,
                                const SchemaVersion& version) {
  for (int attempt = 0;; ++attempt) {
    auto done = co_await InTransaction(session, component, version);
    if (done) co_return done;
    const bool again = co_await session.RetryAfter(done.error(), attempt);
    if (!again) co_return done;
  }
}

// The versions up to `to`, the newest when it is empty.
Result<std::size_t> CountUpTo(const SchemaComponent& component, const std::string& to) {
  if (to.empty()) return component.versions.size();
  const auto last = FindVersion(component, to);
  if (last) return *last + 1;
  std::string known;
  for (const SchemaVersion& version : component.versions) {
    known += (known.empty() ? "" : ", ") + std::string(version.name);
  }
  return Error(Errc::kBadConfig, "no version \"" + to + "\"; there are " + known);
}

Task<Result<void>> CheckRelations(ApplySession& session, const SchemaComponent& component,
                                  const SchemaVersion& version) {
  std::string sql(kLackingSql);
  PgValues values;
  values.emplace_back(RelationsArray(version));
  values.emplace_back(std::string(component.schema));
  auto lacking =
      co_await session.Query(std::move(sql), std::move(values), session.options().timeout);
  if (!lacking) co_return lacking.error();
  if (lacking->Integer(0, 0) == 0) co_return Result<void>();
  co_return Error(
      Errc::kQueryFailed,
      "this database has not " + version.label + ", it lacks " + std::string(lacking->Text(0, 1)),
      {}, "Nothing was recorded. See what it has with: pgsteward schema check.");
}

Task<Result<bool>> AllValid(ApplySession& session, const SchemaVersion& version) {
  for (const ConcurrentIndex& index : ConcurrentIndexes(version)) {
    auto state = co_await FindIndex(session, index, session.options().timeout);
    if (!state) co_return state.error();
    if (*state != IndexState::kValid) co_return false;
  }
  co_return true;
}

}  // namespace

Task<Result<ApplyReport>> ApplySchema(ApplySession& session, const SchemaComponent& component,
                                      std::string to) {
  const auto count = CountUpTo(component, to);
  if (!count) co_return count.error();
  auto ready = co_await EnsureRecord(session);
  if (!ready) co_return ready.error();
  auto status = co_await ReadStatus(session, component, session.options().timeout);
  if (!status) co_return status.error();

  ApplyReport report;
  for (std::size_t i = 0; i < *count; ++i) {
    const SchemaVersion& version = component.versions[i];
    const VersionState state = status->versions[i].state;
    if (state == VersionState::kPending) {
      auto done = co_await ApplyVersion(session, component, version);
      if (!done) co_return done.error();
      ++report.versions;
    }
    // An index that is missing from a complete version was dropped by the owner; one that is
    // invalid is of no use to anybody.
    auto built = co_await BuildIndexes(session, version, state != VersionState::kApplied);
    if (!built) co_return built.error();
    report.indexes += *built;
    auto completed = co_await Complete(session, component, version);
    if (!completed) co_return At(version.label, completed.error());
    report.reached = version.name;
  }
  co_return report;
}

Task<Result<ApplyReport>> BaselineSchema(ApplySession& session, const SchemaComponent& component,
                                         std::string version) {
  const auto count = CountUpTo(component, version);
  if (!count) co_return count.error();
  auto ready = co_await EnsureRecord(session);
  if (!ready) co_return ready.error();
  auto status = co_await ReadStatus(session, component, session.options().timeout);
  if (!status) co_return status.error();

  for (std::size_t i = 0; i < *count; ++i) {
    auto there = co_await CheckRelations(session, component, component.versions[i]);
    if (!there) co_return there.error();
  }
  ApplyReport report;
  report.reached = version;
  for (std::size_t i = 0; i < *count; ++i) {
    if (status->versions[i].state != VersionState::kPending) continue;
    auto valid = co_await AllValid(session, component.versions[i]);
    if (!valid) co_return valid.error();
    auto recorded = co_await Record(session, component, component.versions[i], *valid);
    if (!recorded) co_return recorded.error();
    session.listener().Note(component.versions[i].label + " recorded as applied");
    ++report.versions;
  }
  co_return report;
}

Task<Result<std::vector<PlannedStep>>> PlanSchema(Database& db, const SchemaComponent& component,
                                                  std::string to, Duration timeout) {
  const auto count = CountUpTo(component, to);
  if (!count) co_return count.error();
  auto status = co_await ReadStatus(db, component, timeout);
  if (!status) co_return status.error();
  std::vector<PlannedStep> steps;
  for (std::size_t i = 0; i < *count; ++i) {
    const SchemaVersion& version = component.versions[i];
    const VersionState state = status->versions[i].state;
    const std::string prefix = version.label + " ";
    if (state == VersionState::kPending) {
      for (const SchemaFile& file : version.files) {
        steps.push_back({prefix + std::string(file.name), "pending", std::string(file.sql)});
      }
    }
    for (const ConcurrentIndex& index : ConcurrentIndexes(version)) {
      auto found = co_await FindIndex(db, index, timeout);
      if (!found) co_return found.error();
      if (*found == IndexState::kInvalid) {
        std::string sql = DropIndexSql(index) + ";\n" + index.sql + ";\n";
        steps.push_back({prefix + index.name, "invalid", std::move(sql)});
      } else if (*found == IndexState::kMissing && state != VersionState::kApplied) {
        steps.push_back({prefix + index.name, "missing", index.sql + ";\n"});
      }
    }
  }
  co_return steps;
}

}  // namespace pgsteward
