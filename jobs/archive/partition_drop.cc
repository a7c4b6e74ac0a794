#include "jobs/archive/partition_drop.h"

#include <charconv>
#include <optional>

#include "core/pg_text.h"
#include "jobs/archive/holds.h"
#include "jobs/retry.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(30);
// Of reading a whole partition, which nobody waits for.
constexpr Duration kReadTimeout = std::chrono::minutes(10);

constexpr std::string_view kMark = "pgsteward: purging from ";
constexpr std::string_view kMarkMiddle = " to ";

// attached, pending, detached; no row: gone, or no longer a table of the archive's owner.
constexpr std::string_view kStateSql = R"sql(
SELECT CASE WHEN i.inhrelid IS NULL THEN 'detached'
            WHEN coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false) THEN 'pending'
            ELSE 'attached' END,
       coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class AS c
JOIN pg_class AS a ON a.oid = 'public.messages_archive'::regclass AND a.relowner = c.relowner
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.oid = $1::oid AND c.oid = to_regclass($2) AND c.relkind = 'r'
    AND (i.inhparent IS NULL OR i.inhparent = a.oid)
)sql";

constexpr std::string_view kDetachedSql = R"sql(
SELECT c.oid, c.relname, format('%I.%I', n.nspname, c.relname), pg_get_userbyid(c.relowner),
       obj_description(c.oid, 'pg_class')
FROM pg_class AS a
JOIN pg_class AS c ON c.relowner = a.relowner AND c.relkind = 'r' AND NOT c.relispartition
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.oid = to_regclass('public.messages_archive') AND a.relkind = 'p'
    AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
    AND starts_with(obj_description(c.oid, 'pg_class'), 'pgsteward: purging from ')
ORDER BY 2
)sql";

// What does not go with the table: views, keys of other tables, columns of its row type. What a
// table has of its own depends on it as well: conditions of triggers, checks, policies.
constexpr std::string_view kDependedSql = R"sql(
SELECT EXISTS (
  SELECT FROM pg_class AS c
  JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                      OR d.refclassid = 'pg_type'::regclass AND d.refobjid = c.reltype
  WHERE c.oid = $1::oid AND d.deptype = 'n'
    AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE d.classid = 'pg_constraint'::regclass
                    AND k.oid = d.objid AND k.conrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_attrdef AS k WHERE d.classid = 'pg_attrdef'::regclass
                    AND k.oid = d.objid AND k.adrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_trigger AS k WHERE d.classid = 'pg_trigger'::regclass
                    AND k.oid = d.objid AND k.tgrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_policy AS k WHERE d.classid = 'pg_policy'::regclass
                    AND k.oid = d.objid AND k.polrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_rewrite AS k WHERE d.classid = 'pg_rewrite'::regclass
                    AND k.oid = d.objid AND k.ev_class = c.oid)
    AND NOT EXISTS (SELECT FROM pg_statistic_ext AS k WHERE d.classid = 'pg_statistic_ext'::regclass
                    AND k.oid = d.objid AND k.stxrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_index AS k WHERE d.classid = 'pg_class'::regclass
                    AND k.indexrelid = d.objid AND k.indrelid = c.oid))
)sql";

// Before it is examined: from which transaction on changes are news, and all holds in one text.
constexpr std::string_view kMomentSql = R"sql(
SELECT txid_snapshot_xmin(txid_current_snapshot())::text,
       (SELECT count(*) || ' ' || coalesce(sum(hashtextextended(h::text, 0)), 0)
        FROM pgsteward.retention_hold AS h)
)sql";

// In front of the owner's own comment, which comes back when the partition stays.
std::string Marked(const ArchivePartition& partition) {
  return std::string(kMark) + std::to_string(partition.range.from) + std::string(kMarkMiddle) +
         std::to_string(partition.range.to) + "\n" + partition.comment;
}

struct Mark {
  TimeRange range;
  std::string comment;
};
std::optional<Mark> ParseMark(std::string_view text) {
  if (!text.starts_with(kMark)) return std::nullopt;
  text.remove_prefix(kMark.size());
  Mark mark;
  auto number = std::from_chars(text.data(), text.data() + text.size(), mark.range.from);
  if (number.ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(number.ptr - text.data()));
  if (!text.starts_with(kMarkMiddle)) return std::nullopt;
  text.remove_prefix(kMarkMiddle.size());
  number = std::from_chars(text.data(), text.data() + text.size(), mark.range.to);
  if (number.ec != std::errc() || mark.range.from >= mark.range.to) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(number.ptr - text.data()));
  if (!text.starts_with("\n")) return std::nullopt;
  mark.comment = text.substr(1);
  return mark;
}

std::string CommentSql(const std::string& table, const std::string& comment) {
  return "COMMENT ON TABLE " + table + " IS " + (comment.empty() ? "NULL" : QuoteLiteral(comment));
}

std::string WhyLeft(const PartitionRows& rows) {
  if (rows.held > 0) return "held";
  return rows.uncovered > 0 ? "uncovered" : "young";
}

struct Moment {
  std::string xmin;
  std::string holds;
};

Task<Result<Moment>> ReadMoment(Database& db) {
  std::string sql(kMomentSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  Moment moment;
  moment.xmin = rows->Text(0, 0);
  moment.holds = rows->Text(0, 1);
  co_return moment;
}

// One partition on its way out.
class Dropping {
 public:
  Dropping(JobContext& context, const ArchivePartition& partition, const PurgeScope& scope,
           DropPolicy policy)
      : context_(context), db_(context.db), partition_(partition), scope_(scope), policy_(policy) {}

  // One step further; an error may be tried again.
  Task<Result<void>> Step() {
    auto state = co_await ReadState();
    if (!state) co_return state.error();
    if (*state == "attached" && policy_.detach) co_return co_await Detach();
    if (*state == "attached") co_return co_await DropUnderLock(true);
    if (*state == "pending") co_return co_await FinishDetach();
    if (*state == "detached") co_return co_await DropUnderLock(false);
    Leave("gone");
    co_return Result<void>();
  }

  bool done() const { return done_; }
  DropOutcome outcome;

 private:
  void Leave(std::string why) {
    outcome.left = std::move(why);
    done_ = true;
  }

  Task<Result<std::string>> ReadState() {
    std::string sql(kStateSql);
    PgValues values;
    values.emplace_back(partition_.oid);
    values.emplace_back(partition_.table);
    auto rows = co_await db_.Query(std::move(sql), std::move(values), kTimeout);
    if (!rows) co_return rows.error();
    if (rows->rows() == 0) co_return std::string("gone");
    mark_ = ParseMark(rows->Text(0, 1));
    co_return std::string(rows->Text(0, 0));
  }

  Task<Result<void>> BeginFenced() {
    TransactionSettings settings(kTimeout);
    settings.lock_timeout = policy_.lock_wait;
    auto begun = co_await db_.Begin(settings);
    if (!begun) co_return begun;
    auto fenced = co_await context_.control.Fence(db_);
    if (!fenced) co_await db_.Rollback();
    co_return fenced;
  }

  // Commits, or rolls back and passes the error on.
  Task<Result<void>> End(Result<void> done) {
    if (done) co_return co_await db_.Commit();
    co_await db_.Rollback();
    co_return done;
  }

  Task<Result<void>> Command(std::string sql) {
    auto done = co_await db_.Query(std::move(sql), PgValues(), kTimeout);
    if (!done) co_return done.error();
    co_return Result<void>();
  }

  // Reads all of it, without a lock that anybody could wait for, once for the run: later only what
  // has changed since.
  Task<Result<void>> Examine() {
    if (rows_) co_return Result<void>();
    auto moment = co_await ReadMoment(db_);
    if (!moment) co_return moment.error();
    auto rows = co_await ExaminePartition(db_, partition_.table, scope_);
    if (!rows) co_return rows.error();
    moment_ = std::move(*moment);
    rows_ = *rows;
    co_return Result<void>();
  }

  // The mark is committed before the partition can be out of the archive.
  Task<Result<void>> Detach() {
    auto examined = co_await Examine();
    if (!examined) co_return examined;
    auto begun = co_await BeginFenced();
    if (!begun) co_return begun;
    auto marked = co_await MarkIfDroppable();
    auto ended = co_await End(marked);
    if (!ended || done_) co_return ended;
    co_return co_await Alone("CONCURRENTLY");
  }

  Task<Result<void>> MarkIfDroppable() {
    auto depended = co_await IsDependedOn();
    if (!depended) co_return depended.error();
    if (!rows_->droppable() || *depended) {
      Leave(*depended ? "depended_on" : WhyLeft(*rows_));
      // Of an earlier run that could drop it.
      if (mark_) co_return co_await Command(CommentSql(partition_.table, mark_->comment));
      co_return Result<void>();
    }
    if (mark_) co_return Result<void>();
    co_return co_await Command(CommentSql(partition_.table, Marked(partition_)));
  }

  Task<Result<bool>> IsDependedOn() {
    std::string sql(kDependedSql);
    PgValues values;
    values.emplace_back(partition_.oid);
    auto rows = co_await db_.Query(std::move(sql), std::move(values), kTimeout);
    if (!rows) co_return rows.error();
    co_return rows->Bool(0, 0);
  }

  // Without a transaction to be fenced in: the fence stands directly before. Somebody who has taken
  // over would detach the same partition; it is dropped only under the fence.
  Task<Result<void>> FinishDetach() {
    auto begun = co_await BeginFenced();
    if (!begun) co_return begun;
    auto ended = co_await End(Result<void>());
    if (!ended) co_return ended;
    co_return co_await Alone("FINALIZE");
  }

  // Our own timeout instead of lock_timeout, which cannot be set for a statement outside of a
  // transaction: while it waits for users and chat_sessions others wait behind it.
  Task<Result<void>> Alone(const std::string& how) {
    std::string sql =
        "ALTER TABLE public.messages_archive DETACH PARTITION " + partition_.table + " " + how;
    auto done = co_await db_.Alone(std::move(sql), policy_.lock_wait);
    if (done) co_return Result<void>();
    // Another partition's detach is pending: that one comes first.
    if (done.error().sqlstate == "55000") {
      Leave("another_pending");
      co_return Result<void>();
    }
    co_return done.error();
  }

  Task<Result<void>> DropUnderLock(bool attached) {
    // A table that is no partition and has no mark is somebody else's.
    if (!attached && !mark_) {
      Leave("detached");
      co_return Result<void>();
    }
    auto examined = co_await Examine();
    if (!examined) co_return examined;
    auto begun = co_await BeginFenced();
    if (!begun) co_return begun;
    auto dropped = co_await LockLookDrop(attached);
    if (dropped && done_ && outcome.left.empty()) outcome.dropped = true;
    auto ended = co_await End(dropped);
    if (!ended) {
      outcome = DropOutcome();
      done_ = false;
    }
    co_return ended;
  }

  // Deleting a user or a chat waits for the lock on the table, writing a hold for the other: what
  // is done under them is short.
  Task<Result<void>> LockLookDrop(bool attached) {
    const std::string& table = partition_.table;
    auto done = co_await Command("LOCK TABLE " + table + " IN SHARE ROW EXCLUSIVE MODE");
    if (!done) co_return done;
    done = co_await Command("LOCK TABLE pgsteward.retention_hold IN SHARE MODE");
    if (!done) co_return done;
    // Under the lock: nobody has attached it, or put another table into its place.
    auto state = co_await ReadState();
    if (!state) co_return state.error();
    if (*state != (attached ? "attached" : "detached")) co_return Result<void>();
    auto moment = co_await ReadMoment(db_);
    if (!moment) co_return moment.error();
    if (moment->holds != moment_.holds) {
      rows_.reset();
      co_return Error(Errc::kBusy, "holds were written meanwhile", "55P03");
    }
    auto news = co_await ExaminePartition(db_, table, scope_, moment_.xmin, policy_.lock_wait);
    if (!news) co_return news.error();
    if (rows_->droppable() && news->droppable()) {
      // Without CASCADE: what depends on it keeps it.
      done = co_await Command("DROP TABLE " + table);
      if (!done) co_return done;
      outcome.rows = rows_->rows;
      done_ = true;
      co_return Result<void>();
    }
    Leave(WhyLeft(rows_->droppable() ? *news : *rows_));
    if (attached) co_return Result<void>();
    done = co_await Command("ALTER TABLE public.messages_archive ATTACH PARTITION " + table +
                            " FOR VALUES " + BoundsSql(mark_->range));
    if (!done) co_return done;
    co_return co_await Command(CommentSql(table, mark_->comment));
  }

  JobContext& context_;
  JobSession& db_;
  const ArchivePartition& partition_;
  const PurgeScope& scope_;
  DropPolicy policy_;
  std::optional<Mark> mark_;
  std::optional<PartitionRows> rows_;  // as they were at moment_
  Moment moment_;
  bool done_ = false;
};

}  // namespace

Task<Result<PartitionRows>> ExaminePartition(Database& db, const std::string& table,
                                             const PurgeScope& scope) {
  co_return co_await ExaminePartition(db, table, scope, std::string(), kReadTimeout);
}

Task<Result<PartitionRows>> ExaminePartition(Database& db, const std::string& table,
                                             const PurgeScope& scope, std::string since,
                                             Duration timeout) {
  // Nulls of the cut-off's column are young: nothing says that they are not.
  std::string sql =
      "SELECT count(*), count(*) FILTER (WHERE (m.created_at < $1::timestamptz) IS NOT TRUE), "
      "count(*) FILTER (WHERE " +
      scope.UncoveredSql("$2") + " AND $2::text IS NOT NULL), count(*) FILTER (WHERE " +
      HeldSql("m") + ") FROM ONLY " + table + " AS m";
  PgValues values;
  values.emplace_back(scope.cutoff);
  values.push_back(scope.covered_until);
  if (!since.empty()) {
    // A few that are older do no harm: the next xid of age() and of the snapshot may differ.
    sql +=
        " WHERE age(m.xmin) <= (SELECT least(txid_snapshot_xmax(txid_current_snapshot()) - "
        "$3::bigint + 1000, 2147483646)::int)";
    values.emplace_back(std::move(since));
  }
  auto rows = co_await db.Query(std::move(sql), std::move(values), timeout);
  if (!rows) co_return rows.error();
  PartitionRows counts;
  counts.rows = rows->Integer(0, 0).value_or(0);
  counts.young = rows->Integer(0, 1).value_or(0);
  counts.uncovered = rows->Integer(0, 2).value_or(0);
  counts.held = rows->Integer(0, 3).value_or(0);
  co_return counts;
}

Task<Result<DropOutcome>> DropPartition(JobContext& context, const ArchivePartition& partition,
                                        const PurgeScope& scope, DropPolicy policy) {
  Dropping dropping(context, partition, scope, policy);
  Retrying retrying(context, policy.attempts);
  while (!dropping.done()) {
    const std::string stop = co_await retrying.Ready();
    if (!stop.empty()) {
      dropping.outcome.stopped = stop;
      break;
    }
    auto stepped = co_await dropping.Step();
    if (stepped) continue;
    // Objects depend on it: a person's decision, and no reason to leave the other partitions.
    if (stepped.error().sqlstate == "2BP01") {
      dropping.outcome.left = "depended_on";
      break;
    }
    // It was detached, must come back, and somebody has made another partition in its place.
    if (stepped.error().sqlstate == "42P17") {
      dropping.outcome.left = "overlaps";
      break;
    }
    if (!IsLockTrouble(stepped.error())) co_return stepped.error();
    if (!retrying.Again(stepped.error())) {
      dropping.outcome.left = "locked";
      break;
    }
  }
  co_return dropping.outcome;
}

Task<Result<std::vector<ArchivePartition>>> ReadDetached(Database& db) {
  std::string sql(kDetachedSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<ArchivePartition> detached;
  for (int row = 0; row < rows->rows(); ++row) {
    const auto mark = ParseMark(rows->Text(row, 4));
    if (!mark) continue;
    ArchivePartition partition;
    partition.oid = rows->Text(row, 0);
    partition.name = rows->Text(row, 1);
    partition.table = rows->Text(row, 2);
    partition.owner = rows->Text(row, 3);
    partition.attached = false;
    partition.range = mark->range;
    partition.comment = mark->comment;
    detached.push_back(std::move(partition));
  }
  co_return detached;
}

}  // namespace pgsteward
