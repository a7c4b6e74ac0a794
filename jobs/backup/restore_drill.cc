// Restores the newest backup into a scratch cluster, and so proves it.
#include <array>
#include <utility>

#include "core/host.h"
#include "core/wait.h"
#include "jobs/backup/drill.h"
#include "jobs/backup/drill_metrics.h"
#include "jobs/backup/identity.h"
#include "jobs/backup/place.h"
#include "jobs/backup/proven_backup.h"
#include "jobs/job.h"

namespace pgsteward {

namespace {

constexpr Duration kPlaceTakesAtMost = std::chrono::minutes(2);
// Emptying the trash holds the lock of the place.
constexpr Duration kExpiryTakesAtMost = std::chrono::minutes(45);
constexpr Duration kBusyPause = std::chrono::milliseconds(500);

Error TargetHangs(const std::string& target) {
  return Error(Errc::kUnavailable, "the folder " + target + " does not answer", {},
               "Look at its file system; a network mount may hang.");
}

// The list of backups, read off the loop.
Task<Result<PlaceContent>> Read(Runtime& runtime, const BackupPlace& place) {
  std::function<Result<PlaceContent>()> work = [place]() -> Result<PlaceContent> {
    auto sentinel = CheckSentinel(place);
    if (!sentinel) return sentinel.error();
    return ReadPlace(place);
  };
  auto read = co_await Offload(runtime, std::move(work), SteadyNow() + kPlaceTakesAtMost);
  if (!read) co_return TargetHangs(place.target);
  co_return std::move(*read);
}

Task<Result<std::string>> ChooseBackup(JobContext& context, const BackupPlace& place) {
  auto content = co_await Read(context.runtime, place);
  if (!content) co_return content.error();
  const auto wanted = context.arguments.find("id");
  if (wanted == context.arguments.end() || wanted->second == "latest") {
    // Whatever is wrong with the newest one: an older one in its stead would hide it.
    if (!content->backups.empty()) co_return content->backups.back().id;
    co_return Error(Errc::kNoData, "no backup of server " + place.server + " in " + place.target,
                    {}, "Take one with: pgsteward backup run.");
  }
  for (const FoundBackup& backup : content->backups) {
    if (backup.id == wanted->second) co_return backup.id;
  }
  co_return Error(Errc::kBadConfig, "no backup " + wanted->second + " in " + place.Root(), {},
                  "See them with: pgsteward backup list.");
}

Amcheck AmcheckOf(const std::string& word) {
  if (word == "off") return Amcheck::kOff;
  return word == "required" ? Amcheck::kRequired : Amcheck::kAuto;
}

Task<Result<DrillRequest>> MakeRequest(JobContext& context, const BackupPlace& place,
                                       const std::string& id) {
  const JobOptions& options = context.options;
  const std::string file = options.Text("identity_file");
  const std::string home = options.Text("gpg_home");
  const std::string user = options.Text("run_as");
  DrillRequest request;
  auto as = RunAsOf(user);
  if (!as) co_return as.error();
  std::function<Result<std::optional<Identity>>()> read = [file, home] {
    return ReadIdentity(file, home);
  };
  auto identity =
      co_await Offload(context.runtime, std::move(read), SteadyNow() + kPlaceTakesAtMost);
  if (!identity) co_return Error(Errc::kUnavailable, "the identity cannot be looked at in time");
  if (!*identity) co_return identity->error();
  request.folder = place.Published(id);
  request.identity = **identity;
  request.scratch = options.Text("scratch_directory");
  request.run_as = *as;
  request.tool_directories = options.Texts("tool_directories");
  request.settings = options.Texts("server_settings");
  request.jobs = static_cast<int>(options.Integer("restore_jobs"));
  request.amcheck = AmcheckOf(options.Text("amcheck"));
  request.live = &context.db;
  RunControl& control = context.control;
  request.stop_wanted = [&control] { return !control.StopReason().empty(); };
  request.note = [&control](const std::string& text) { control.Note(text); };
  co_return request;
}

std::string Rounded(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", number);
  return text.data();
}

void Report(const DrillResult& result, JobReport& report) {
  report.rows_done = result.rows;
  report.details["verdict"] = result.proven ? "proven" : "failed";
  report.details["tables"] = std::to_string(result.tables);
  report.details["restore_seconds"] = Rounded(result.restore_seconds);
  for (const auto& [name, seconds] : result.phases)
    report.details["seconds_" + name] = Rounded(seconds);
  std::string all;
  for (const std::string& problem : result.problems) all += (all.empty() ? "" : "; ") + problem;
  if (!all.empty()) report.details["problems"] = all.substr(0, 4000);
  std::string notes;
  for (const std::string& note : result.notes) notes += (notes.empty() ? "" : "; ") + note;
  if (!notes.empty()) report.details["notes"] = notes.substr(0, 4000);
}

Task<Result<void>> Record(JobContext& context, const BackupPlace& place, const std::string& id,
                          const DrillResult& result) {
  const BackupProof proof = ProofOf(result, WallNow(), HostName());
  const SteadyTime until = SteadyNow() + kExpiryTakesAtMost;
  for (;;) {
    std::function<Result<void>()> work = [place, id, proof] { return AddProof(place, id, proof); };
    auto added = co_await Offload(context.runtime, std::move(work), until);
    if (!added) co_return TargetHangs(place.target);
    if (*added) co_return *added;
    const Error& error = added->error();
    if (error.code != Errc::kBusy || SteadyNow() > until) {
      co_return Error(error.code, "the verdict cannot be written: " + error.message, {},
                      "Let pgsteward's user write into " + place.Published(id) + ".");
    }
    co_await SleepUntil(SteadyNow() + kBusyPause);
  }
}

// Purging learns of it. Before the schema of an upgrade is applied there is no table, and purging
// waits; the verdict stands in the manifest all the same.
Task<void> TellPurging(JobContext& context, const BackupPlace& place, JobReport& report) {
  auto told = co_await SyncProvenBackups(context, place);
  if (told) co_return;
  report.details["proven_backup"] = ToText(told.error());
  if (told.error().code == Errc::kUnsupported) co_return;
  report.status = RunStatus::kPartial;
  report.reason = "proven_backup: " + told.error().message;
}

Task<Result<void>> Plan(const DrillRequest& request, const std::string& id, JobReport& report) {
  report.plan.push_back("restore backup " + id + " into a scratch cluster below " +
                        request.scratch);
  report.plan.push_back(request.identity ? "decrypt it by " +
                                               std::string(EncryptionName(request.identity->kind)) +
                                               " with " + request.identity->path
                                         : "without an identity: it must not be encrypted");
  report.plan.push_back(request.run_as.ourselves()
                            ? "run the server as this user"
                            : "run the server as user " + request.run_as.name);
  report.plan.emplace_back(
      "count every row, check constraints, indexes, extensions and the schema");
  report.plan.emplace_back("write the verdict into its manifest");
  co_return Result<void>();
}

Task<Result<void>> RunRestoreDrill(JobContext& context, JobReport& report) {
  BackupPlace place;
  place.target = context.options.Text("target");
  place.server = context.server;
  auto id = co_await ChooseBackup(context, place);
  if (!id) co_return id.error();
  report.details["backup"] = *id;
  auto request = co_await MakeRequest(context, place, *id);
  if (!request) co_return request.error();
  if (context.dry_run) co_return co_await Plan(*request, *id, report);
  DrillRequest drill = std::move(*request);
  auto result = co_await RunDrill(context.runtime, std::move(drill));
  if (!result) {
    // Somebody's wish is no failure; a drill that never ends in time is one.
    const std::string reason = context.control.StopReason();
    if (reason.empty() || reason == "deadline" || reason == "window") co_return result.error();
    report.status = RunStatus::kPartial;
    report.reason = reason;
    co_return Result<void>();
  }
  Report(*result, report);
  if (result->manifest) {
    auto recorded = co_await Record(context, place, *id, *result);
    if (!recorded) co_return recorded;
    co_await TellPurging(context, place, report);
  }
  if (result->proven) co_return Result<void>();
  co_return Error(Errc::kQueryFailed, "backup " + *id + " is not proven: " + result->reason, {},
                  "See all that is wrong with: pgsteward backup verify " + *id +
                      ". Keep the older backups, and take a new one.");
}

Task<Result<Families>> DrillSubject(SubjectContext context) {
  BackupPlace place;
  place.target = context.options.Text("target");
  place.server = context.server;
  auto content = co_await Read(context.runtime, place);
  if (!content) co_return content.error();
  std::vector<Manifest> manifests;
  for (FoundBackup& backup : content->backups) {
    if (backup.manifest) manifests.push_back(std::move(*backup.manifest));
  }
  co_return DrillFamilies(manifests, WallNow());
}

constexpr std::array<std::string_view, 3> kAmcheckWords = {"auto", "off", "required"};
constexpr std::array<std::string_view, 1> kArguments = {"id"};

constexpr std::array<JobOption, 9> kOptions = {{
    {.name = "target",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "The folder of the backups, as of the job that takes them.",
     .required = true},
    {.name = "identity_file",
     .kind = OptionKind::kFile,
     .fallback = "",
     .help = "An age identity that decrypts the backups, mode 0600; the drill alone reads it."},
    {.name = "gpg_home",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "Instead of it: the folder of a gpg key without a passphrase, mode 0700."},
    {.name = "scratch_directory",
     .kind = OptionKind::kText,
     .fallback = "/var/tmp",
     .help = "Where the scratch cluster is made, and removed again; it needs the room of the "
             "databases."},
    {.name = "run_as",
     .kind = OptionKind::kText,
     .fallback = "postgres",
     .help =
         "The user of the scratch server when pgsteward runs as root, which PostgreSQL refuses."},
    {.name = "tool_directories",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Where PostgreSQL's programs are, before the usual folders."},
    {.name = "server_settings",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "More settings of the scratch server, name=value, such as "
             "shared_preload_libraries=timescaledb."},
    {.name = "restore_jobs",
     .kind = OptionKind::kInteger,
     .fallback = "1",
     .help = "pg_restore --jobs. More than 1 decrypts each dump into the scratch folder first.",
     .least = 1,
     .most = 64},
    {.name = "amcheck",
     .kind = OptionKind::kWord,
     .fallback = "auto",
     .help = "Whether pg_amcheck looks at all pages: where it is found, never, or always.",
     .words = kAmcheckWords},
}};

}  // namespace

extern const JobSpec kRestoreDrill;
const JobSpec kRestoreDrill = {
    .name = "restore_drill",
    .summary =
        "Restores the newest backup into a scratch cluster, compares it with its manifest, "
        "and writes the verdict into it.",
    .schedule = "0 5 * * 0",
    .deadline = std::chrono::hours(6),
    .options = kOptions,
    .arguments = kArguments,
    .run = &RunRestoreDrill,
    .subject = &DrillSubject,
};

}  // namespace pgsteward
