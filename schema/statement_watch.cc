#include "schema/statement_watch.h"

#include <utility>

namespace pgsteward {

namespace {

constexpr Duration kQueryTimeout = std::chrono::seconds(5);

// pid 0 is a prepared transaction; a parallel leader may be listed more than once.
constexpr std::string_view kBlockersSql = R"sql(
SELECT string_agg(CASE
         WHEN b.pid = 0 THEN 'a prepared transaction (see pg_prepared_xacts)'
         ELSE format('pid %s (%s)', b.pid,
                     concat_ws(', ', nullif(a.application_name, ''), 'role ' || a.usename,
                               coalesce(a.state, a.backend_type)))
       END, ', ' ORDER BY b.pid)
FROM (SELECT DISTINCT unnest(pg_blocking_pids($1::int)) AS pid) AS b
LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
)sql";

constexpr std::string_view kCancelSql = "SELECT pg_cancel_backend($1::int)";

}  // namespace

StatementWatch::StatementWatch(Runtime& runtime, PgTarget target, Duration period,
                               std::function<void(const std::string&)> note)
    : runtime_(runtime),
      target_(std::move(target)),
      period_(period),
      note_(std::move(note)),
      changed_(runtime) {}

void StatementWatch::Begin(int pid) {
  pid_ = pid;
  begun_ = SteadyNow();
  blockers_.clear();
}

void StatementWatch::End() { pid_ = 0; }

void StatementWatch::Cancel() {
  cancel_ = true;
  changed_.Notify();
}

Task<void> StatementWatch::Run() {
  for (;;) {
    co_await changed_.WaitUntil(SteadyNow() + period_);
    if (pid_ == 0) continue;
    // Again at each look: a request that arrives between two statements cancels nothing.
    if (cancel_) {
      co_await CancelStatement();
    } else if (SteadyNow() - begun_ >= period_) {
      co_await LookForBlockers();
    }
  }
}

Task<bool> StatementWatch::Connect() {
  if (connection_ && connection_->usable()) co_return true;
  auto opened = co_await PgConnection::Open(runtime_, target_);
  if (opened) {
    connection_ = std::move(*opened);
    co_return true;
  }
  if (!std::exchange(complained_, true)) {
    note_("no second connection to watch the first one: " + opened.error().error.message);
  }
  co_return false;
}

Task<void> StatementWatch::CancelStatement() {
  const bool connected = co_await Connect();
  if (!connected || pid_ == 0) co_return;
  std::string sql(kCancelSql);
  PgValues values;
  values.emplace_back(std::to_string(pid_));
  co_await connection_->Query(std::move(sql), std::move(values), kQueryTimeout);
}

Task<void> StatementWatch::LookForBlockers() {
  const bool connected = co_await Connect();
  if (!connected || pid_ == 0) co_return;
  const SteadyTime begun = begun_;
  std::string sql(kBlockersSql);
  PgValues values;
  values.emplace_back(std::to_string(pid_));
  auto rows = co_await connection_->Query(std::move(sql), std::move(values), kQueryTimeout);
  // Best effort: the statement itself says when it fails. And it may be another one by now.
  if (!rows || begun != begun_ || rows->IsNull(0, 0)) co_return;
  std::string seen(rows->Text(0, 0));
  if (seen != blockers_) note_("waiting for " + seen);
  blockers_ = std::move(seen);
}

}  // namespace pgsteward
