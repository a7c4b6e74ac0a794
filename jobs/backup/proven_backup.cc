#include "jobs/backup/proven_backup.h"

#include <algorithm>

#include "core/iso_time.h"
#include "core/pg_text.h"
#include "core/runtime.h"
#include "core/wait.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
constexpr Duration kReadTimeout = std::chrono::minutes(5);

constexpr std::string_view kFactsSql = R"sql(
SELECT to_regclass('pgsteward.proven_backup') IS NOT NULL, c.system_identifier::text
FROM pg_control_system() AS c
)sql";

constexpr std::string_view kDeleteSql = R"sql(
DELETE FROM pgsteward.proven_backup AS p
WHERE (p.server = $1 AND p.target = $2 AND p.backup_id <> ALL ($3::text[]))
   OR p.confirmed_at < now() - interval '7 days'
)sql";

constexpr std::string_view kInsertSql = R"sql(
INSERT INTO pgsteward.proven_backup AS p (server, target, backup_id, proven_at, covers_until)
SELECT $1, $2, b.id, b.proven_at, b.covers_until
FROM unnest($3::text[], $4::timestamptz[], $5::timestamptz[]) AS b (id, proven_at, covers_until)
ON CONFLICT (server, target, backup_id) DO UPDATE
SET proven_at = excluded.proven_at, covers_until = excluded.covers_until, confirmed_at = now()
)sql";

struct ProvenRows {
  std::vector<std::string> ids;
  std::vector<std::string> proven_at;
  std::vector<std::string> covers_until;
};

ProvenRows RowsOf(const std::vector<Manifest>& proven, const std::string& system_identifier,
                  const std::string& database) {
  ProvenRows rows;
  for (const Manifest& manifest : proven) {
    if (!manifest.proven() || manifest.system_identifier != system_identifier) continue;
    for (const BackupDatabase& each : manifest.databases) {
      if (each.name != database) continue;
      rows.ids.push_back(manifest.id);
      rows.proven_at.push_back(IsoMicros(manifest.proofs.back().at));
      rows.covers_until.push_back(IsoMicros(std::min(each.snapshot_at, each.purge_until)));
      break;
    }
  }
  return rows;
}

Error NoTable() {
  return Error(Errc::kUnsupported, "there is no table pgsteward.proven_backup", {},
               "Make it with: pgsteward schema apply --component pgsteward.");
}

Task<Result<void>> Sync(JobSession& db, BackupPlace place, std::vector<Manifest> proven,
                        RunControl* control) {
  if (control) {
    auto fenced = co_await control->Fence(db);
    if (!fenced) co_return fenced;
  }
  std::string sql(kFactsSql);
  auto facts = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!facts) co_return facts.error();
  if (!facts->Bool(0, 0)) co_return NoTable();
  const ProvenRows rows = RowsOf(proven, std::string(facts->Text(0, 1)), db.database());
  PgValues values;
  values.emplace_back(place.server);
  values.emplace_back(NormalTarget(place.target));
  values.emplace_back(ArrayText(rows.ids));
  sql = kDeleteSql;
  PgValues copy = values;
  auto deleted = co_await db.Query(std::move(sql), std::move(copy), kTimeout);
  if (!deleted) co_return deleted.error();
  values.emplace_back(ArrayText(rows.proven_at));
  values.emplace_back(ArrayText(rows.covers_until));
  sql = kInsertSql;
  auto inserted = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!inserted) co_return inserted.error();
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> SyncProvenBackups(JobSession& db, BackupPlace place,
                                     std::vector<Manifest> proven, RunControl* control) {
  TransactionSettings settings(kTimeout);
  auto begun = co_await db.Begin(std::move(settings));
  if (!begun) co_return begun;
  auto synced = co_await Sync(db, std::move(place), std::move(proven), control);
  if (!synced) {
    co_await db.Rollback();
    co_return synced;
  }
  co_return co_await db.Commit();
}

Task<Result<void>> SyncProvenBackups(JobContext& context, BackupPlace place) {
  auto work = [place] { return ReadPlace(place); };
  auto read = co_await Offload(context.runtime, std::move(work), SteadyNow() + kReadTimeout);
  if (!read) co_return Error(Errc::kTimeout, "reading the backups in " + place.Root() + " hangs");
  if (!*read) co_return read->error();
  std::vector<Manifest> proven;
  for (FoundBackup& each : (*read)->backups) {
    if (each.manifest && each.manifest->proven()) proven.push_back(std::move(*each.manifest));
  }
  co_return co_await SyncProvenBackups(context.db, std::move(place), std::move(proven),
                                       &context.control);
}

}  // namespace pgsteward
