#include "jobs/backup/take_backup.h"

#include "core/host.h"
#include "core/sha256.h"
#include "core/wait.h"
#include "jobs/backup/anomaly.h"
#include "jobs/backup/restore_text.h"
#include "jobs/backup/retention_options.h"

namespace pgsteward {

namespace {

// Syncing a folder, or removing a partial backup, on a disk that is busy.
constexpr Duration kTargetAnswersWithin = std::chrono::minutes(10);

Manifest Begun(const JobContext& context, const BackupSettings& settings,
               const BackupFacts& facts) {
  Manifest manifest;
  manifest.server = context.server;
  manifest.job = context.job;
  manifest.run_id = context.run_id;
  manifest.system_identifier = facts.system_identifier;
  manifest.timeline = facts.timeline;
  manifest.server_version = facts.server_version;
  manifest.pg_dump_version = facts.pg_dump.version;
  manifest.pgsteward_version = PGSTEWARD_RELEASE;
  manifest.host = HostName();
  manifest.started = WallNow();
  manifest.compression = "zstd:" + std::to_string(settings.compression_level);
  manifest.encryption = std::string(EncryptionName(settings.recipients.kind));
  manifest.recipients = RecipientFingerprints(settings.recipients);
  manifest.role_passwords = facts.role_passwords;
  return manifest;
}

BackupFile FileOf(std::string_view name, const std::string& text) {
  BackupFile file;
  file.name = name;
  file.bytes = text.size();
  file.sha256 = Sha256Of(text);
  return file;
}

// Blocks. The manifest is the last file that is written, and the rename the last act.
Result<void> Finish(PartialBackup& partial, Manifest manifest) {
  const std::string restore = RestoreText(manifest);
  manifest.files.push_back(FileOf(kRestoreFile, restore));
  const std::string sums = ChecksumText(manifest);
  manifest.files.push_back(FileOf(kSumsFile, sums));
  const std::pair<std::string_view, const std::string&> texts[] = {{kRestoreFile, restore},
                                                                   {kSumsFile, sums}};
  for (const auto& [name, text] : texts) {
    const auto written = partial.Write(name, text);
    if (!written) return written;
  }
  const auto written = partial.Write(kManifestFile, ManifestJson(manifest));
  if (!written) return written;
  return partial.Publish();
}

template <class T>
Task<Result<T>> OnPool(Runtime& runtime, std::function<Result<T>()> work) {
  auto done = co_await Offload(runtime, std::move(work), SteadyNow() + kTargetAnswersWithin);
  if (!done) co_return Error(Errc::kTimeout, "the target of backups does not answer");
  co_return std::move(*done);
}

Task<Result<void>> TakeAll(BackupTaking& taking, Manifest& manifest) {
  taking.context.control.Note("takes the roles");
  auto globals = co_await TakeGlobals(taking);
  if (!globals) co_return globals.error();
  manifest.globals = globals->name;
  manifest.files.push_back(std::move(*globals));
  for (const std::string& name : taking.facts.databases) {
    taking.context.control.Note("takes database " + name);
    auto taken = co_await TakeDatabase(taking, name);
    if (!taken) co_return taken.error();
    taking.dumped_before += taken->database.dump_bytes;
    taking.stored_before += taken->file.bytes;
    manifest.databases.push_back(std::move(taken->database));
    manifest.files.push_back(std::move(taken->file));
  }
  co_return Result<void>();
}

// Somebody else may have taken over while the dump went on.
Task<Result<void>> CheckFence(JobContext& context) {
  auto begun = co_await context.db.Begin(TransactionSettings());
  if (!begun) co_return begun;
  auto fenced = co_await context.control.Fence(context.db);
  co_await context.db.Rollback();
  co_return fenced;
}

void Tell(const Manifest& manifest, JobReport& report) {
  long long rows = 0;
  std::size_t tables = 0;
  std::uint64_t dump_bytes = 0;
  for (const BackupDatabase& database : manifest.databases) {
    dump_bytes += database.dump_bytes;
    tables += database.tables.size();
    for (const BackupTable& table : database.tables) rows += table.rows;
  }
  report.rows_done = rows;
  auto& details = report.details;
  details["backup"] = manifest.id;
  details["dump_bytes"] = std::to_string(dump_bytes);
  details["stored_bytes"] = std::to_string(manifest.stored_bytes());
  details["tables"] = std::to_string(tables);
  details["databases"] = std::to_string(manifest.databases.size());
  if (!manifest.role_passwords) details["role_passwords"] = "no: pg_authid may not be read";
  if (!manifest.anomaly.empty()) details["anomaly"] = manifest.anomaly;
}

}  // namespace

Task<Result<Manifest>> TakeBackup(JobContext& context, const BackupSettings& settings,
                                  const BackupFacts& facts, JobReport& report) {
  Manifest manifest = Begun(context, settings, facts);
  manifest.id = NewBackupId(manifest.started);
  using Partial = std::shared_ptr<PartialBackup>;
  std::function<Result<Partial>()> begin = [place = settings.place,
                                            id = manifest.id]() -> Result<Partial> {
    auto partial = PartialBackup::Begin(place, id);
    if (!partial) return partial.error();
    return Partial(std::move(*partial));
  };
  auto partial = co_await OnPool(context.runtime, std::move(begin));
  if (!partial) co_return partial.error();
  std::function<Result<PgService>()> read = [target = context.db.target()] {
    return ServiceOf(target);
  };
  auto service = co_await OnPool(context.runtime, std::move(read));
  if (!service) co_return service.error();
  BackupTaking taking{context, settings, facts, report, *partial, std::move(*service)};
  auto taken = co_await TakeAll(taking, manifest);
  for (const char* passing : {"table", "waits_for", "eta_seconds"}) report.details.erase(passing);
  if (taken) taken = co_await CheckFence(context);
  if (taken) {
    manifest.finished = WallNow();
    if (facts.last) {
      manifest.anomaly = DetectAnomaly(*facts.last, manifest, AnomalyPolicyOf(context.options));
    }
    std::function<Result<void>()> finish = [held = *partial, manifest] {
      return Finish(*held, manifest);
    };
    taken = co_await OnPool(context.runtime, std::move(finish));
  }
  // Removing what was not published may take long; not on the loop.
  std::function<Result<void>()> let_go = [held = std::move(*partial)]() mutable {
    held.reset();
    return Result<void>();
  };
  taking.partial.reset();
  co_await OnPool(context.runtime, std::move(let_go));
  if (!taken) co_return taken.error();
  Tell(manifest, report);
  co_return manifest;
}

}  // namespace pgsteward
