#include "jobs/archive/archive_batches.h"

#include <charconv>

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);
// Somebody holds what a batch this small needs: it is left as a whole for the next pass. A larger
// one is halved first.
constexpr int kSkipWhole = 50;
// One row, or a few, may be odd; so many mean that something is wrong with the archive.
constexpr int kMostQuarantined = 100;

constexpr std::string_view kQuarantineSql = R"sql(
INSERT INTO pgsteward.quarantine (target, row_id, job, run_id, reason)
VALUES ('public.messages', $1, $2, $3::uuid, $4)
ON CONFLICT (target, row_id) DO NOTHING
)sql";

bool IsLockFailure(const Error& error) {
  return error.sqlstate == "55P03" || error.sqlstate == "40P01";
}

std::uint64_t Sum(const PgResult& rows, int column) {
  const std::string_view text = rows.Text(0, column);
  std::uint64_t sum = 0;
  std::from_chars(text.data(), text.data() + text.size(), sum);
  return sum;
}

std::optional<std::string> Optional(const PgResult& rows, int column) {
  if (rows.IsNull(0, column)) return std::nullopt;
  return std::string(rows.Text(0, column));
}

}  // namespace

PgValues ArchiveBatches::StartValues(int size) const {
  PgValues values;
  values.emplace_back(cutoff_);
  values.emplace_back(std::to_string(size));
  values.emplace_back(std::nullopt);
  values.emplace_back(std::nullopt);
  if (single_) {
    values[2] = single_->id;
  } else if (cursor_) {
    values[2] = cursor_->id;
    values[3] = cursor_->created_at;
  }
  return values;
}

Task<Result<PgResult>> ArchiveBatches::Move(JobSession& db, BatchStart start, int size) {
  std::string sql = MoveSql(shape_, mode_, start);
  PgValues values = StartValues(size);
  values.emplace_back(context_.run_id);
  values.push_back(totals_.first);
  values.push_back(totals_.last);
  values.emplace_back(shape_.catalog);
  values.emplace_back(std::to_string(allowed()));
  co_return co_await db.Query(std::move(sql), std::move(values), timeout_);
}

Task<Result<std::optional<ArchiveBatches::Row>>> ArchiveBatches::NextRow(JobSession& db) {
  std::string sql = SeenSql(shape_, cursor_ ? BatchStart::kAfter : BatchStart::kOldest);
  PgValues values = StartValues(1);
  auto rows = co_await db.Query(std::move(sql), std::move(values), timeout_);
  if (!rows) co_return rows.error();
  std::optional<Row> row;
  if (rows->Integer(0, 0) == 1) {
    row.emplace();
    row->id = rows->Text(0, 1);
    row->created_at = rows->Text(0, 2);
  }
  co_return row;
}

// The batch as a whole is somebody else's.
Task<Result<BatchOutcome>> ArchiveBatches::SkipAll(JobSession& db, BatchStart start, int size) {
  auto undone = co_await db.Query("ROLLBACK TO SAVEPOINT batch", PgValues(), kTimeout);
  if (!undone) co_return undone.error();
  std::string sql = SeenSql(shape_, start);
  PgValues values = StartValues(size);
  auto rows = co_await db.Query(std::move(sql), std::move(values), timeout_);
  if (!rows) co_return rows.error();
  BatchOutcome outcome;
  outcome.seen = rows->Integer(0, 0).value_or(0);
  outcome.skipped = outcome.seen;
  if (outcome.seen > 0) {
    next_cursor_.emplace();
    next_cursor_->id = rows->Text(0, 1);
    next_cursor_->created_at = rows->Text(0, 2);
  } else if (single_) {
    // Gone, or not old any more, since it was looked up.
    outcome.seen = 1;
    outcome.skipped = 0;
    next_cursor_ = single_;
  }
  co_return outcome;
}

Task<Result<BatchOutcome>> ArchiveBatches::Run(JobSession& db, int size) {
  next_cursor_.reset();
  next_totals_ = totals_;
  single_.reset();
  refusal_.clear();
  refusal_state_.clear();
  BatchStart start = cursor_ ? BatchStart::kAfter : BatchStart::kOldest;
  if (size == 1) {
    // Which row it is must be known even if the statement fails.
    auto row = co_await NextRow(db);
    if (!row) co_return row.error();
    if (!*row) co_return BatchOutcome();
    single_ = std::move(*row);
    start = BatchStart::kOnly;
  }
  if (size <= kSkipWhole) {
    auto saved = co_await db.Query("SAVEPOINT batch", PgValues(), kTimeout);
    if (!saved) co_return saved.error();
  }
  auto rows = co_await Move(db, start, size);
  if (rows) co_return Judge(*rows);
  const Error error = rows.error();
  if (IsLockFailure(error) && size <= kSkipWhole) co_return co_await SkipAll(db, start, size);
  co_return Refused(error, size);
}

Result<BatchOutcome> ArchiveBatches::Refused(const Error& error, int size) {
  if (!IsAboutRows(error)) return error;
  refusal_state_ = error.sqlstate;
  refusal_ = "the server refused it: SQLSTATE " + error.sqlstate;
  // What a trigger says may quote the message.
  if (!error.sqlstate.starts_with("P0")) refusal_ += ", " + error.message;
  BatchOutcome outcome;
  outcome.seen = size;
  outcome.mismatch = true;
  return outcome;
}

Result<BatchOutcome> ArchiveBatches::Judge(const PgResult& rows) {
  if (!rows.Bool(0, kSameCatalog)) {
    return Error(Errc::kQueryFailed,
                 "public.messages or public.messages_archive has got other columns or triggers "
                 "since the run began",
                 {}, "Nothing of this batch was moved; the next run looks at the tables anew.");
  }
  const auto count = [&](int column) { return rows.Integer(0, column).value_or(0); };
  BatchOutcome outcome;
  outcome.seen = count(kSeen);
  outcome.done = count(kMoved);
  outcome.skipped = count(kCandidates) - count(kMoved);
  if (outcome.seen > 0) {
    next_cursor_.emplace();
    next_cursor_->id = rows.Text(0, kCursorId);
    next_cursor_->created_at = rows.Text(0, kCursorCreatedAt);
  } else if (single_) {
    outcome.seen = 1;
    next_cursor_ = single_;
  }
  // What left the one table is in the other, each row as it was, or nothing has happened.
  const std::uint64_t moved_sum = Sum(rows, kMovedSum);
  const std::uint64_t stored_sum = rows.IsNull(0, kStoredSum) ? moved_sum : Sum(rows, kStoredSum);
  outcome.mismatch =
      count(kMoved) != count(kStored) || count(kDoubled) != 0 || moved_sum != stored_sum;
  next_totals_.moved += count(kMoved);
  next_totals_.stored += count(kStored);
  next_totals_.fresh += count(kFresh);
  // Behind the limit of a run the rest was not asked about.
  if (!rewound_ && count(kCandidates) < allowed()) {
    next_totals_.held += count(kSeen) - count(kCandidates);
  }
  next_totals_.moved_sum += moved_sum;
  next_totals_.stored_sum += stored_sum;
  next_totals_.fresh_sum += stored_sum - Sum(rows, kStaleSum);
  next_totals_.first = Optional(rows, kFirst);
  next_totals_.last = Optional(rows, kLast);
  return outcome;
}

std::string ArchiveBatches::CheckedRow() const {
  return single_ && refusal_state_ == "23514" ? single_->id : "";
}

void ArchiveBatches::Committed() {
  cursor_ = next_cursor_;
  totals_ = next_totals_;
}

// Only for the words of the reason: where it cannot be told in time it is false, and the message is
// set aside all the same.
Task<Result<bool>> ArchiveBatches::IsInArchive(JobSession& db) {
  auto saved = co_await db.Query("SAVEPOINT reason", PgValues(), kTimeout);
  if (!saved) co_return saved.error();
  std::string sql =
      "SELECT EXISTS (SELECT FROM public.messages_archive AS a WHERE a.id OPERATOR(pg_catalog.=) "
      "$1::text::" +
      shape_.id_type + ")";
  PgValues values = {single_->id};
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (rows) co_return rows->Bool(0, 0);
  if (!db.open()) co_return rows.error();
  auto undone = co_await db.Query("ROLLBACK TO SAVEPOINT reason", PgValues(), kTimeout);
  if (!undone) co_return undone.error();
  co_return false;
}

Task<Result<void>> ArchiveBatches::Quarantine(JobSession& db) {
  if (++quarantined_ > kMostQuarantined) {
    co_return Error(Errc::kQueryFailed,
                    "more than " + std::to_string(kMostQuarantined) +
                        " messages cannot be stored in the archive, the last one because: " +
                        (refusal_.empty() ? "it would not be what was written" : refusal_),
                    {},
                    "Look at pgsteward.quarantine and at the triggers, keys and partitions of "
                    "public.messages_archive.");
  }
  std::string reason = refusal_;
  if (reason.empty()) {
    auto conflict = co_await IsInArchive(db);
    if (!conflict) co_return conflict.error();
    reason = *conflict ? "the archive holds another message with this id"
                       : "the archive does not keep the message as it was written";
  }
  std::string sql(kQuarantineSql);
  PgValues values = {single_->id, context_.job, context_.run_id, std::move(reason)};
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  next_cursor_ = single_;
  next_totals_ = totals_;
  co_return Result<void>();
}

void ArchiveBatches::Rewind() {
  cursor_.reset();
  rewound_ = true;
}

}  // namespace pgsteward
