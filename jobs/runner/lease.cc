#include "jobs/runner/lease.h"

#include <unistd.h>

#include <algorithm>

#include "core/host.h"
#include "core/pg_text.h"
#include "core/random.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
// Clocks of two machines run at different speeds, and a renewal was under way for a while.
constexpr double kTrusted = 0.8;

// The timeline that writes now: the control file follows only at the next checkpoint.
#define TIMELINE_SQL \
  "('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int"

constexpr std::string_view kFactsSql = R"sql(
SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean,
       to_regclass('pgsteward.job_run') IS NOT NULL,
       (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE )sql" TIMELINE_SQL R"sql( END
)sql";

// A lease of a later timeline of the same cluster is nobody's to take: this server is a primary
// from before a failover.
constexpr std::string_view kAcquireSql = R"sql(
INSERT INTO pgsteward.lease AS l
  (name, epoch, holder, acquired_at, renewed_at, expires_at, timeline, system_identifier)
SELECT w.name, 1, $2, clock_timestamp(), clock_timestamp(),
       clock_timestamp() + $3::float8 * interval '1 second', )sql" TIMELINE_SQL R"sql(,
       (SELECT system_identifier FROM pg_control_system())
FROM unnest($1::text[]) AS w (name)
ORDER BY w.name
ON CONFLICT (name) DO UPDATE
SET epoch = l.epoch + 1, holder = excluded.holder, acquired_at = excluded.acquired_at,
    renewed_at = excluded.renewed_at, expires_at = excluded.expires_at,
    timeline = excluded.timeline, system_identifier = excluded.system_identifier
WHERE l.expires_at <= clock_timestamp()
  AND NOT (l.system_identifier = excluded.system_identifier AND l.timeline > excluded.timeline)
RETURNING l.name, l.epoch
)sql";

constexpr std::string_view kHoldersSql = R"sql(
SELECT name, holder, to_char(acquired_at, 'YYYY-MM-DD HH24:MI:SS'), expires_at > clock_timestamp()
FROM pgsteward.lease
WHERE name = ANY ($1::text[]) AND NOT (holder = $2 AND acquired_at >= transaction_timestamp())
ORDER BY expires_at > clock_timestamp() DESC, name
)sql";

constexpr std::string_view kRowsSql = R"sql(
SELECT name, holder, epoch, extract(epoch FROM acquired_at), extract(epoch FROM expires_at),
       expires_at > clock_timestamp()
FROM pgsteward.lease
WHERE name = ANY ($1::text[])
ORDER BY name
)sql";

// What was taken before a promotion is lost with it: what came last may not have been replicated.
constexpr std::string_view kRenewSql = R"sql(
UPDATE pgsteward.lease AS l
SET renewed_at = clock_timestamp(),
    expires_at = clock_timestamp() + $4::float8 * interval '1 second'
FROM unnest($1::text[], $2::bigint[]) AS g (name, epoch)
WHERE l.name = g.name AND l.epoch = g.epoch AND l.holder = $3 AND l.timeline = )sql" TIMELINE_SQL
                                       R"sql(
RETURNING l.name, l.epoch
)sql";

// The row stays: its epoch must not begin anew.
constexpr std::string_view kReleaseSql = R"sql(
UPDATE pgsteward.lease AS l
SET expires_at = clock_timestamp()
FROM unnest($1::text[], $2::bigint[]) AS g (name, epoch)
WHERE l.name = g.name AND l.epoch = g.epoch AND l.holder = $3
)sql";

constexpr std::string_view kFenceSql = R"sql(
SELECT FROM pgsteward.lease AS l
JOIN unnest($1::text[], $2::bigint[]) AS g (name, epoch) ON l.name = g.name AND l.epoch = g.epoch
WHERE l.holder = $3 AND l.timeline = )sql" TIMELINE_SQL R"sql(
FOR KEY SHARE OF l
)sql";

#undef TIMELINE_SQL

std::string NamesOf(const std::vector<LeaseGrant>& grants) {
  std::vector<std::string> names;
  for (const LeaseGrant& grant : grants) names.push_back(grant.name);
  return ArrayText(names);
}

std::string EpochsOf(const std::vector<LeaseGrant>& grants) {
  std::vector<std::string> epochs;
  for (const LeaseGrant& grant : grants) epochs.push_back(std::to_string(grant.epoch));
  return ArrayText(epochs);
}

std::string SecondsText(Duration d) { return std::to_string(Seconds(d)); }

std::vector<LeaseGrant> Grants(const PgResult& rows) {
  std::vector<LeaseGrant> grants;
  for (int row = 0; row < rows.rows(); ++row) {
    grants.push_back({std::string(rows.Text(row, 0)), rows.Integer(row, 1).value_or(0)});
  }
  return grants;
}

// A lock timeout here means that somebody is in the middle of a fenced transaction.
Error Busy(Error failure) {
  if (failure.sqlstate == "55P03") {
    return Error(Errc::kBusy, "busy: another holder is in the middle of a transaction",
                 failure.sqlstate);
  }
  return failure;
}

Error HeldBy(const PgResult& rows) {
  if (rows.rows() == 0) return Error(Errc::kBusy, "busy: taken by somebody else just now");
  const std::string name(rows.Text(0, 0));
  const std::string holder(rows.Text(0, 1));
  if (rows.Bool(0, 3)) {
    return Error(Errc::kBusy, "busy: " + name + " is held by " + holder + " since " +
                                  std::string(rows.Text(0, 2)) + " UTC");
  }
  return Error(Errc::kBusy, "busy: " + name + " belongs to a later timeline", {},
               "This server is a primary from before a failover: connect to the present one.");
}

Error NotPrimary(const ServerFacts& facts) {
  if (facts.in_recovery) {
    return Error(Errc::kUnavailable, "standby: the server is in recovery", "25006",
                 "Jobs run on the primary: target_session_attrs=read-write finds it.");
  }
  return Error(Errc::kUnavailable, "read_only: the database or the role is set to read only",
               "25006",
               "Jobs run again when default_transaction_read_only is off for this role and "
               "database; on a standby target_session_attrs=read-write finds the primary.");
}

}  // namespace

std::string LeaseHolder() {
  return HostName() + ":" + std::to_string(::getpid()) + ":" + RandomHex(8);
}

Task<Result<ServerFacts>> ReadServerFacts(Database& db) {
  std::string sql(kFactsSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  ServerFacts facts;
  facts.in_recovery = rows->Bool(0, 0);
  facts.read_only = rows->Bool(0, 1);
  facts.has_tables = rows->Bool(0, 2);
  facts.system_identifier = rows->Integer(0, 3).value_or(0);
  facts.timeline = static_cast<int>(rows->Integer(0, 4).value_or(0));
  co_return facts;
}

Task<Result<ServerFacts>> OpenPrimary(JobSession& db, const ServerCheck& check) {
  if (!db.open()) {
    auto opened = co_await db.Open();
    if (!opened) co_return opened.error();
  }
  auto facts = co_await ReadServerFacts(db);
  if (!facts) co_return facts.error();
  std::optional<Error> wrong;
  if (facts->in_recovery || facts->read_only) {
    wrong = NotPrimary(*facts);
  } else if (!facts->has_tables) {
    wrong = Error(Errc::kUnsupported, "no_schema: this database has no schema pgsteward", "3F000",
                  "Make it with: pgsteward schema apply --component pgsteward.");
  } else if (auto right = check(*facts); !right) {
    wrong = right.error();
  }
  // Of several hosts the next attempt may find another one.
  if (wrong) db.Close();
  if (wrong) co_return *wrong;
  co_return facts;
}

namespace {

Task<Result<PgResult>> ReadHolders(JobSession& db, const std::string& names,
                                   const std::string& holder) {
  std::string sql(kHoldersSql);
  PgValues values;
  values.emplace_back(names);
  values.emplace_back(holder);
  co_return co_await db.Query(std::move(sql), std::move(values), kTimeout);
}

}  // namespace

Task<Result<std::vector<LeaseGrant>>> AcquireLeases(JobSession& db, std::vector<std::string> names,
                                                    std::string holder, Duration ttl) {
  const std::string array = ArrayText(names);
  // Who finds them held need not wait for the transaction that their holder has fenced.
  auto before = co_await ReadHolders(db, array, holder);
  if (!before) co_return before.error();
  if (before->rows() > 0 && before->Bool(0, 3)) co_return HeldBy(*before);
  std::string sql(kAcquireSql);
  PgValues values;
  values.emplace_back(array);
  values.emplace_back(holder);
  values.emplace_back(SecondsText(ttl));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return Busy(rows.error());
  std::vector<LeaseGrant> grants = Grants(*rows);
  if (grants.size() == names.size()) co_return grants;
  auto holders = co_await ReadHolders(db, array, holder);
  if (!holders) co_return holders.error();
  co_return HeldBy(*holders);
}

Task<Result<std::vector<LeaseGrant>>> RenewLeases(JobSession& db, std::vector<LeaseGrant> grants,
                                                  std::string holder, Duration ttl) {
  std::string sql(kRenewSql);
  PgValues values;
  values.emplace_back(NamesOf(grants));
  values.emplace_back(EpochsOf(grants));
  values.emplace_back(holder);
  values.emplace_back(SecondsText(ttl));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  co_return Grants(*rows);
}

Task<Result<void>> ReleaseLeases(JobSession& db, std::vector<LeaseGrant> grants,
                                 std::string holder) {
  std::string sql(kReleaseSql);
  PgValues values;
  values.emplace_back(NamesOf(grants));
  values.emplace_back(EpochsOf(grants));
  values.emplace_back(holder);
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<void>> FenceByLeases(JobSession& db, const std::vector<LeaseGrant>& grants,
                                 const std::string& holder) {
  std::string sql(kFenceSql);
  const auto wanted = static_cast<int>(grants.size());
  PgValues values;
  values.emplace_back(NamesOf(grants));
  values.emplace_back(EpochsOf(grants));
  values.emplace_back(holder);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) {
    // Somebody waits for the row in order to take over, or has it.
    Error failure = rows.error();
    if (failure.sqlstate == "55P03") failure = Error(Errc::kBusy, "lease_lost: being taken over");
    co_return failure;
  }
  if (rows->rows() != wanted) {
    co_return Error(Errc::kBusy, "lease_lost: another holder has taken over");
  }
  co_return Result<void>();
}

Task<Result<std::vector<LeaseRow>>> ReadLeases(Database& db, std::vector<std::string> names) {
  std::string sql(kRowsSql);
  PgValues values;
  values.emplace_back(ArrayText(names));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  const auto time = [&rows](int row, int column) {
    const std::chrono::duration<double> seconds(rows->Number(row, column).value_or(0));
    return WallTime(std::chrono::duration_cast<WallTime::duration>(seconds));
  };
  std::vector<LeaseRow> leases;
  for (int row = 0; row < rows->rows(); ++row) {
    LeaseRow lease;
    lease.name = rows->Text(row, 0);
    lease.holder = rows->Text(row, 1);
    lease.epoch = rows->Integer(row, 2).value_or(0);
    lease.acquired_at = time(row, 3);
    lease.expires_at = time(row, 4);
    lease.held = rows->Bool(row, 5);
    leases.push_back(std::move(lease));
  }
  co_return leases;
}

LeaseKeeper::LeaseKeeper(Runtime& runtime, PgTarget target, std::string holder, Duration ttl,
                         ServerCheck check)
    : db_(runtime, std::move(target)),
      holder_(std::move(holder)),
      ttl_(ttl),
      check_(std::move(check)),
      changed_(runtime),
      lost_(runtime) {}

Task<void> LeaseKeeper::Run() {
  for (;;) {
    co_await changed_.WaitUntil(SteadyNow() + ttl_ / 3);
    if (!kept_.empty()) co_await RenewAll();
  }
}

Task<void> LeaseKeeper::RenewAll() {
  // When this fails Holds() says no in time, and the fence is the last word.
  if (!db_.open()) {
    auto reached = co_await OpenPrimary(db_, check_);
    if (!reached) co_return;
  }
  std::vector<LeaseGrant> grants;
  for (const Kept& kept : kept_) grants.push_back(kept.grant);
  const SteadyTime asked = SteadyNow();
  auto renewed = co_await RenewLeases(db_, grants, holder_, ttl_);
  if (!renewed) co_return;
  bool lost = false;
  for (const LeaseGrant& grant : grants) {
    const auto same = [&grant](const LeaseGrant& other) {
      return other.name == grant.name && other.epoch == grant.epoch;
    };
    const auto kept = std::find_if(kept_.begin(), kept_.end(),
                                   [&same](const Kept& each) { return same(each.grant); });
    if (kept == kept_.end()) continue;  // given back meanwhile
    if (std::any_of(renewed->begin(), renewed->end(), same)) {
      kept->trusted_until = asked + std::chrono::duration_cast<Duration>(
                                        std::chrono::duration<double>(Seconds(ttl_) * kTrusted));
    } else {
      kept_.erase(kept);
      lost = true;
    }
  }
  if (lost) lost_.Notify();
}

void LeaseKeeper::Add(const std::vector<LeaseGrant>& grants, SteadyTime asked) {
  const auto trusted =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(Seconds(ttl_) * kTrusted));
  for (const LeaseGrant& grant : grants) kept_.push_back({grant, asked + trusted});
}

void LeaseKeeper::Remove(const std::vector<LeaseGrant>& grants) {
  for (const LeaseGrant& grant : grants) {
    std::erase_if(kept_, [&grant](const Kept& kept) {
      return kept.grant.name == grant.name && kept.grant.epoch == grant.epoch;
    });
  }
}

bool LeaseKeeper::Holds(const LeaseGrant& grant) const {
  return std::any_of(kept_.begin(), kept_.end(), [&grant](const Kept& kept) {
    return kept.grant.name == grant.name && kept.grant.epoch == grant.epoch &&
           SteadyNow() < kept.trusted_until;
  });
}

}  // namespace pgsteward
