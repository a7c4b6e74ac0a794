// A full backup by the stock tools of PostgreSQL: verified while it is taken, encrypted, published
// as a whole or not at all.
#include <array>

#include "core/wait.h"
#include "jobs/backup/backup_metrics.h"
#include "jobs/backup/expire.h"
#include "jobs/backup/offsite.h"
#include "jobs/backup/take_backup.h"

namespace pgsteward {

namespace {

constexpr Duration kSweepWithin = std::chrono::minutes(10);

std::string Bytes(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

void Plan(const BackupSettings& settings, const BackupFacts& facts, JobReport& report) {
  auto& plan = report.plan;
  std::string databases;
  for (const std::string& name : facts.databases) {
    databases += (databases.empty() ? "" : ", ") + name;
  }
  plan.push_back("dump " + databases + " (" + Bytes(facts.database_bytes) + ") by " +
                 facts.pg_dump.path + " " + facts.pg_dump.version);
  plan.push_back(facts.role_passwords ? "roles with their passwords"
                                      : "roles without their passwords: pg_authid may not be read");
  plan.push_back("store in " + settings.place.Root() + ", about " + Bytes(facts.needed_bytes) +
                 " of " + Bytes(facts.free_bytes) + " free");
  plan.push_back("compress with zstd:" + std::to_string(settings.compression_level) +
                 ", encrypt with " + std::string(EncryptionName(settings.recipients.kind)) +
                 " for " + std::to_string(settings.recipients.keys.size()) + " recipients");
  for (const Error& problem : facts.problems) plan.push_back("in the way: " + ToText(problem));
}

Task<Result<void>> Sweep(JobContext& context, const BackupSettings& settings, JobReport& report) {
  auto sweep = [place = settings.place] { return SweepPartials(place); };
  auto sweeping = Offload(context.runtime, std::move(sweep), SteadyNow() + kSweepWithin);
  auto swept = co_await std::move(sweeping);
  if (!swept) {
    co_return Error(Errc::kTimeout, "the target " + settings.place.target + " does not answer");
  }
  if (!*swept) co_return swept->error();
  if (!(*swept)->empty()) {
    report.details["swept"] = std::to_string((*swept)->size());
    context.control.Note("removed " + std::to_string((*swept)->size()) +
                         " unfinished backups of earlier runs");
  }
  co_return Result<void>();
}

// Room is made before the dump: after it there may be none left to make it in. That it cannot be
// made is no reason to take no backup.
Task<void> MakeRoom(JobContext& context, const BackupSettings& settings, bool empty_trash,
                    JobReport& report) {
  ExpireMoment moment;
  moment.empty_trash = empty_trash;
  auto expired = co_await ExpireInJob(context, settings.place, moment, report);
  if (expired) co_return;
  report.details["expire"] = "failed: " + expired.error().message;
  context.control.Note("expires nothing: " + ToText(expired.error()));
}

Task<void> AfterSuccess(JobContext& context, const BackupSettings& settings, JobReport& report) {
  if (!settings.offsite_remote.empty()) {
    auto copied = co_await CopyOffsite(context, settings, report);
    if (!copied) {
      report.status = RunStatus::kPartial;
      report.reason = "offsite: " + copied.error().message;
    }
  }
  ExpireMoment moment;
  moment.after_success = true;
  auto expired = co_await ExpireInJob(context, settings.place, moment, report);
  // The backup is there all the same.
  if (!expired && report.status == RunStatus::kOk) {
    report.status = RunStatus::kPartial;
    report.reason = "expire: " + expired.error().message;
  }
}

Task<Result<void>> RunBackup(JobContext& context, JobReport& report) {
  auto settings = ReadBackupSettings(context.options, context.server);
  if (!settings) co_return settings.error();
  bool there = false;
  if (!context.dry_run) {
    // An error is the preflight's to tell.
    auto sentinel = [place = settings->place] { return CheckSentinel(place); };
    auto looking = Offload(context.runtime, std::move(sentinel), SteadyNow() + kSweepWithin);
    auto looked = co_await std::move(looking);
    there = looked && *looked;
    if (there) {
      auto swept = co_await Sweep(context, *settings, report);
      if (!swept) co_return swept;
      co_await MakeRoom(context, *settings, false, report);
    }
  }
  auto facts = co_await ReadBackupFacts(context, *settings);
  if (facts && there && facts->needed_bytes > facts->free_bytes) {
    context.control.Note("empties the trash: the target has too little room");
    co_await MakeRoom(context, *settings, true, report);
    facts = co_await ReadBackupFacts(context, *settings);
  }
  if (!facts) co_return facts.error();
  if (context.dry_run) {
    Plan(*settings, *facts, report);
    co_await PlanOffsite(context, *settings, report);
  }
  if (!facts->problems.empty()) co_return AllProblems(facts->problems);
  if (context.dry_run) {
    co_await MakeRoom(context, *settings, false, report);
    co_return Result<void>();
  }
  auto manifest = co_await TakeBackup(context, *settings, *facts, report);
  if (!manifest) {
    // Somebody's wish is no failure that anybody would retry; a deadline is.
    const std::string reason = context.control.StopReason();
    if (reason.empty() || reason == "deadline" || reason == "window") co_return manifest.error();
    report.status = RunStatus::kPartial;
    report.reason = reason;
    co_return Result<void>();
  }
  co_await AfterSuccess(context, *settings, report);
  co_return Result<void>();
}

constexpr std::string_view kGroups[] = {"heavy_io"};

}  // namespace

extern const JobSpec kBackup;
const JobSpec kBackup = {
    .name = "backup",
    .summary = "Takes a full backup: verified while it is taken, encrypted, published as a whole.",
    .schedule = "30 1 * * *",
    .deadline = std::chrono::seconds(6 * 3600),
    .options = kBackupOptions,
    .groups = kGroups,
    .sole_option = "target",
    .run = &RunBackup,
    .subject = &BackupSubject,
};

}  // namespace pgsteward
