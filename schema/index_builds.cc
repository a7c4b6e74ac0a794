#include "schema/index_builds.h"

#include <utility>

namespace pgsteward {

namespace {

constexpr std::string_view kFindSql = R"sql(
SELECT i.indisvalid AND i.indisready
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relname = $1 AND t.relname = $2
)sql";

// An index is also invalid while somebody builds it, and DROP INDEX CONCURRENTLY would wait for the
// end of that build and then drop a good index. A build holds this lock on its table all the time:
// once it was ours, nobody builds.
Task<Result<void>> WaitForBuilders(ApplySession& session, const ConcurrentIndex& index) {
  auto locked = co_await session.Script("BEGIN; LOCK TABLE public." + index.table +
                                        " IN SHARE UPDATE EXCLUSIVE MODE; COMMIT");
  if (locked) co_return Result<void>();
  co_await session.Script("ROLLBACK");
  co_return locked.error();
}

Task<Result<void>> DropAndCreate(ApplySession& session, const ConcurrentIndex& index, bool drop) {
  if (drop) {
    auto dropped = co_await session.Script(DropIndexSql(index));
    if (!dropped) co_return dropped.error();
  }
  auto created = co_await session.Script(index.sql);
  if (!created) co_return created.error();
  co_return Result<void>();
}

// True when it was built.
Task<Result<bool>> BuildIndex(ApplySession& session, const SchemaVersion& version,
                              const ConcurrentIndex& index, bool missing) {
  const Duration timeout = session.options().timeout;
  auto state = co_await FindIndex(session, index, timeout);
  if (!state) co_return state.error();
  if (*state == IndexState::kInvalid) {
    auto alone = co_await WaitForBuilders(session, index);
    if (!alone) co_return alone.error();
    state = co_await FindIndex(session, index, timeout);
    if (!state) co_return state.error();
  }
  if (*state == IndexState::kValid) co_return false;
  if (*state == IndexState::kMissing && !missing) co_return false;
  const bool invalid = *state == IndexState::kInvalid;
  if (invalid) session.listener().Note(index.name + " is invalid, it is built again");

  const SteadyTime start = SteadyNow();
  session.listener().Started(version.label + " " + index.name);
  // Both statements wait for transactions that are older than they are, and nobody who reads or
  // writes waits behind them: no reason to give up early and leave an invalid index.
  auto patient = co_await session.SetLockTimeout(Duration::zero());
  if (!patient) co_return patient.error();
  auto built = co_await DropAndCreate(session, index, invalid);
  session.listener().Finished(built ? "ok" : "failed", SteadyNow() - start);
  if (!built) {
    co_await session.SetLockTimeout(session.options().lock_timeout);
    co_return built.error();
  }
  auto impatient = co_await session.SetLockTimeout(session.options().lock_timeout);
  if (!impatient) co_return impatient.error();
  co_return true;
}

}  // namespace

Task<Result<IndexState>> FindIndex(Database& db, ConcurrentIndex index, Duration timeout) {
  std::string sql(kFindSql);
  PgValues values;
  values.emplace_back(index.name);
  values.emplace_back(index.table);
  auto rows = co_await db.Query(std::move(sql), std::move(values), timeout);
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) co_return IndexState::kMissing;
  co_return rows->Bool(0, 0) ? IndexState::kValid : IndexState::kInvalid;
}

std::string DropIndexSql(const ConcurrentIndex& index) {
  return "DROP INDEX CONCURRENTLY public." + index.name;
}

Task<Result<int>> BuildIndexes(ApplySession& session, const SchemaVersion& version, bool missing) {
  int built = 0;
  for (const ConcurrentIndex& index : ConcurrentIndexes(version)) {
    for (int attempt = 0;; ++attempt) {
      auto done = co_await BuildIndex(session, version, index, missing);
      if (done) {
        built += *done ? 1 : 0;
        break;
      }
      Error error = done.error();
      error.message = version.label + " " + index.name + ": " + error.message;
      const bool again = co_await session.RetryAfter(error, attempt);
      if (!again) co_return error;
    }
  }
  co_return built;
}

}  // namespace pgsteward
