#include "jobs/archive/purge_batches.h"

#include "jobs/archive/holds.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(20);

std::string ColumnsOf(const PurgeScope& scope) {
  std::string columns = ", m.session_id, m.user_id";
  if (scope.has_archived_at) columns += ", m.archived_at";
  return columns;
}

}  // namespace

PurgeBatches::PurgeBatches(const PurgeScope& scope, std::vector<TimeRange> windows)
    : scope_(scope), windows_(std::move(windows)), walk_("", "", ColumnsOf(scope)) {
  Enter(0);
}

void PurgeBatches::Enter(std::size_t window) {
  window_ = window;
  walk_.Restart(TimeText(windows_[window].from), TimeText(windows_[window].to));
}

Task<Result<BatchOutcome>> PurgeBatches::Run(JobSession& db, int size) {
  BatchOutcome outcome;
  for (;;) {
    std::string filter = "NOT " + HeldSql("m");
    if (scope_.covered_until && scope_.has_archived_at) {
      filter += " AND NOT " + scope_.UncoveredSql("$5");
    }
    std::string sql = walk_.Sql("", filter, allowed());
    sql += ",\ngone AS (DELETE FROM public.messages_archive AS m WHERE " +
           ArchiveWalk::LockedSql() + " RETURNING 1)\nSELECT ";
    sql += ArchiveWalk::CountsSql();
    sql += ", (SELECT count(*) FROM gone)";
    PgValues values = walk_.Values(size);
    if (scope_.covered_until && scope_.has_archived_at) values.push_back(scope_.covered_until);
    auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
    if (!rows) co_return rows.error();
    outcome.seen = rows->Integer(0, 0).value_or(0);
    outcome.skipped = rows->Integer(0, 1).value_or(0) - rows->Integer(0, 5).value_or(0);
    outcome.done = rows->Integer(0, 5).value_or(0);
    // Behind the limit of a run the rest was not asked about.
    const long long chosen = rows->Integer(0, 1).value_or(0);
    next_kept_ = chosen < allowed() ? outcome.seen - chosen : 0;
    last_at_ = rows->Text(0, 3);
    last_id_ = rows->Text(0, 4);
    if (outcome.seen > 0 || window_ + 1 >= windows_.size()) break;
    Enter(window_ + 1);
  }
  co_return outcome;
}

void PurgeBatches::Committed() {
  walk_.MoveTo(last_at_, last_id_);
  if (!rewound_) kept_ += next_kept_;
}

void PurgeBatches::Rewind() {
  Enter(0);
  rewound_ = true;
}

// Nothing that is only deleted can mismatch.
Task<Result<void>> PurgeBatches::Quarantine(JobSession&) {
  co_return Error(Errc::kQueryFailed, "a row that is only deleted needs no quarantine");
}

BatchPolicy ArchiveBatchPolicy(const JobOptions& options) {
  BatchPolicy policy;
  policy.pacing.first = 500;
  policy.pacing.most = 50'000;
  policy.pacing.target = std::chrono::milliseconds(options.Integer("batch_target_ms"));
  policy.pacing.nice = options.Number("nice");
  policy.transaction.timeout = kTimeout;
  return policy;
}

}  // namespace pgsteward
