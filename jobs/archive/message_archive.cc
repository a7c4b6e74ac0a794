// The documented "move messages older than 1 year to archive table": nothing is lost or doubled,
// whatever happens meanwhile, and nobody waits for it.
#include <array>
#include <cstdio>

#include "jobs/archive/archive_batches.h"
#include "jobs/archive/archive_options.h"
#include "jobs/archive/archive_plan.h"
#include "jobs/archive/archive_preflight.h"
#include "jobs/archive/wanted_months.h"
#include "jobs/vacuum.h"

namespace pgsteward {

namespace {

constexpr Duration kVerifyTimeout = std::chrono::minutes(10);

constexpr JobOption kOptions[] = {
    {.name = "older_than",
     .kind = OptionKind::kAge,
     .fallback = "1 year",
     .help = "Messages created before the midnight so long before today are moved.",
     .widens = true},
    {.name = "trigger_mode",
     .kind = OptionKind::kWord,
     .fallback = "auto",
     .help = "What to do about the triggers of messages; auto looks at them.",
     .words = kTriggerModes},
    {.name = "batch_rows",
     .kind = OptionKind::kInteger,
     .fallback = "200",
     .help = "Messages of the first batch; then the size is adapted to batch_target_ms.",
     .least = 1,
     .most = 100'000},
    {.name = "batch_rows_most",
     .kind = OptionKind::kInteger,
     .fallback = "20000",
     .help = "Messages of a batch at most.",
     .least = 1,
     .most = 100'000},
    {.name = "batch_target_ms",
     .kind = OptionKind::kInteger,
     .fallback = "0",
     .help = "Milliseconds that a batch should take; 0 is 8 in trigger mode respect, where others "
             "may wait that long, 150 in guard, where nobody waits, and 50 in the others.",
     .least = 0,
     .most = 10'000},
    {.name = "nice",
     .kind = OptionKind::kNumber,
     .fallback = "-1",
     .help = "Rest after a batch, as a multiple of its duration; -1 is 1 in trigger mode respect, "
             "where others wait for the batches, and 0.2 in the others.",
     .least = -1,
     .most = 100},
    {.name = "max_rows",
     .kind = OptionKind::kInteger,
     .fallback = "0",
     .help = "Messages that one run moves at most; 0 is no limit.",
     .least = 0},
    {.name = "vacuum",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "VACUUM messages after messages were moved."},
    {.name = "vacuum_every",
     .kind = OptionKind::kInteger,
     .fallback = "500000",
     .help = "And during the run after so many moved messages; 0 is only at its end.",
     .least = 0},
    {.name = "analyze",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "With the VACUUM at the end, ANALYZE of both tables."},
};

constexpr std::string_view kGroups[] = {"heavy_io"};

std::string Hex(std::uint64_t sum) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(sum));
  return text.data();
}

// VACUUM is a service: what stands in its way is told and does not fail the run.
Task<Result<void>> VacuumMessages(JobContext& context, bool analyze, JobReport& report) {
  auto done = co_await VacuumTable(context, std::string(kLiveTable), VacuumOptions(analyze));
  if (done) {
    report.details["vacuum"] = "done";
    co_return done;
  }
  const Error& error = done.error();
  if (error.sqlstate.empty() || error.code == Errc::kConnectionLost) co_return done;
  report.details["vacuum"] = "not done: " + error.message;
  context.control.Note("vacuum: " + error.message);
  co_return Result<void>();
}

// Without the months of what is old already there is nothing to begin with; the others are a
// service, because each of them will be old one day. Why the run must end, or empty.
Task<Result<std::string>> PreparePartitions(JobContext& context, const ArchivePreflight& ready) {
  auto wanted = co_await ReadWantedMonths(context.db, ready.cutoff);
  if (!wanted) co_return wanted.error();
  auto checked = CheckWantedMonths(*wanted);
  if (!checked) co_return checked.error();
  PartitionPolicy policy;
  PartitionsMade made;
  auto done = co_await EnsurePartitions(context, wanted->old, policy, made);
  if (!done) co_return done.error();
  if (!made.overlapping.empty()) co_return OverlapError(made.overlapping.front());
  if (!made.stopped.empty()) co_return made.stopped;
  PartitionsMade later;
  auto ahead = co_await EnsurePartitions(context, wanted->young, policy, later);
  if (ahead) co_return std::string();
  const Error& error = ahead.error();
  if (error.code == Errc::kBusy || !context.db.open()) co_return error;
  context.control.Note("months that are not old yet lack a partition: " + error.message);
  co_return std::string();
}

class ArchiveWork : public ArchiveBatches {
 public:
  ArchiveWork(const ArchivePreflight& ready, Duration timeout, JobContext& context,
              JobReport& report)
      : ArchiveBatches(ready.shape, ready.triggers.mode, ready.cutoff, timeout, context),
        ready_(ready),
        report_(report),
        vacuum_every_(context.options.Switch("vacuum") && ready.can_maintain
                          ? context.options.Integer("vacuum_every")
                          : 0) {}

  Task<Result<void>> Between(JobContext& context) override {
    if (vacuum_every_ == 0 || totals().moved - vacuumed_at_ < vacuum_every_) {
      co_return Result<void>();
    }
    vacuumed_at_ = totals().moved;
    co_return co_await VacuumMessages(context, false, report_);
  }

  // Its month may have come since the run began, or with an edit of its created_at. Which of the
  // two causes it was, a second attempt tells.
  Task<Result<bool>> Mend(JobContext& context) override {
    const std::string row = CheckedRow();
    if (!ready_.shape.partitioned || row.empty() || row == mended_row_) co_return false;
    auto stopped = co_await PreparePartitions(context, ready_);
    if (!stopped) co_return stopped.error();
    // With more months to be made than at once, the row's own may still be one of them.
    mended_row_ = stopped->empty() ? row : "";
    co_return true;
  }

 private:
  const ArchivePreflight& ready_;
  JobReport& report_;
  long long vacuum_every_;
  long long vacuumed_at_ = 0;
  std::string mended_row_;
};

BatchPolicy Policy(const JobOptions& options, const ArchivePreflight& ready) {
  BatchPolicy policy;
  const bool respect = ready.triggers.mode == TriggerMode::kRespect;
  long long target = options.Integer("batch_target_ms");
  // In mode respect the chats of a batch are locked until it ends: that is how long others may
  // wait.
  // In mode guard nobody waits for them, and each costs a fence and a COMMIT.
  if (target == 0) target = respect ? 8 : ready.triggers.mode == TriggerMode::kGuard ? 150 : 50;
  policy.pacing.target = std::chrono::milliseconds(target);
  policy.pacing.first = static_cast<int>(options.Integer("batch_rows"));
  policy.pacing.most =
      std::max(static_cast<int>(options.Integer("batch_rows_most")), policy.pacing.first);
  policy.pacing.least = std::min(respect ? 10 : 50, policy.pacing.first);
  policy.pacing.nice = options.Number("nice");
  if (policy.pacing.nice < 0) policy.pacing.nice = respect ? 1 : 0.2;
  policy.most_rows = options.Integer("max_rows");
  // Halving the largest batch down to one row takes 17.
  policy.failures = 30;
  // Below deadlock_timeout: of two who wait for each other it is always we who give up.
  policy.transaction.lock_timeout = std::chrono::milliseconds(100);
  policy.transaction.timeout = ready.walkable ? std::chrono::seconds(5) : std::chrono::seconds(60);
  policy.transaction.local = TriggerSettings(ready.triggers);
  for (auto& setting : RowTextSettings()) policy.transaction.local.push_back(std::move(setting));
  return policy;
}

void AddTotals(const ArchiveTotals& totals, JobReport& report) {
  report.details["moved"] = std::to_string(totals.moved);
  report.details["stored"] = std::to_string(totals.stored);
  report.details["moved_checksum"] = Hex(totals.moved_sum);
  report.details["stored_checksum"] = Hex(totals.stored_sum);
  if (totals.stored > totals.fresh) {
    report.details["stored_already"] = std::to_string(totals.stored - totals.fresh);
  }
  if (totals.held > 0) report.details["passed_over"] = std::to_string(totals.held);
}

Task<Result<PgResult>> ReadStored(JobContext& context, const ArchivePreflight& ready,
                                  const ArchiveTotals& totals) {
  TransactionSettings settings(kVerifyTimeout);
  settings.read_only = true;
  settings.local = RowTextSettings();
  auto begun = co_await context.db.Begin(settings);
  if (!begun) co_return begun.error();
  std::string sql = VerifySql(ready.shape);
  PgValues values;
  values.emplace_back(context.run_id);
  values.push_back(totals.first);
  values.push_back(totals.last);
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), kVerifyTimeout);
  co_await context.db.Rollback();
  co_return rows;
}

// Each batch was compared before it was committed. This reads once more what the run left in the
// archive: fewer rows are no contradiction, because a user may have been deleted meanwhile.
Task<Result<void>> Verify(JobContext& context, const ArchivePreflight& ready,
                          const ArchiveTotals& totals, JobReport& report) {
  auto rows = co_await ReadStored(context, ready, totals);
  if (!rows) co_return rows.error();
  const long long count = rows->Integer(0, 0).value_or(0);
  report.details["verified"] = std::to_string(count);
  const bool same = rows->Text(0, 1) == std::to_string(totals.fresh_sum);
  if (count == totals.fresh && same) co_return Result<void>();
  if (count >= totals.fresh) {
    co_return Error(Errc::kQueryFailed,
                    "the archive does not hold what run " + context.run_id +
                        " stored: " + std::to_string(count) + " messages, stored were " +
                        std::to_string(totals.fresh) + ", and the checksums differ",
                    {},
                    "Somebody changed archived messages; look for triggers on "
                    "public.messages_archive.");
  }
  const std::string gone = std::to_string(totals.fresh - count);
  report.details["gone_since"] = gone;
  context.control.Note(gone + " of the messages that this run stored were deleted meanwhile");
  co_return Result<void>();
}

Task<Result<void>> Finish(JobContext& context, const ArchivePreflight& ready,
                          const ArchiveTotals& totals, JobReport& report) {
  if (totals.moved == 0) co_return Result<void>();
  // Who wants the run to end wants it soon.
  if (!context.control.StopReason().empty()) co_return Result<void>();
  if (ready.shape.has_archive_run && totals.fresh > 0) {
    auto verified = co_await Verify(context, ready, totals, report);
    if (!verified) co_return verified;
  }
  if (!context.options.Switch("vacuum") || !ready.can_maintain) co_return Result<void>();
  const bool analyze = context.options.Switch("analyze");
  auto vacuumed = co_await VacuumMessages(context, analyze, report);
  if (!vacuumed || !analyze) co_return vacuumed;
  VacuumOptions options(true);
  options.vacuum = false;
  options.timeout = kVerifyTimeout;
  std::string archive(kArchiveTable);
  auto analyzed = co_await VacuumTable(context, std::move(archive), options);
  report.details["analyze"] = analyzed ? "done" : "not done: " + analyzed.error().message;
  if (analyzed) co_return analyzed;
  if (analyzed.error().code == Errc::kConnectionLost) co_return analyzed;
  context.control.Note("analyze: " + analyzed.error().message);
  co_return Result<void>();
}

Task<Result<void>> Run(JobContext& context, JobReport& report) {
  const std::string age = context.options.Text("older_than");
  const std::string mode = context.options.Text("trigger_mode");
  auto ready = co_await PrepareArchive(context.db, context.time_zone, age, mode);
  if (!ready) co_return ready.error();
  report.cutoff = ready->cutoff;
  report.details["trigger_mode"] = TriggerModeName(ready->triggers.mode);
  if (context.dry_run) co_return co_await PlanArchive(context, *ready, report);

  for (const ShapeFinding& warning : ready->warnings) context.control.Note(warning.text);
  context.control.Note(ready->triggers.explanation.front());
  if (ready->shape.partitioned) {
    auto stopped = co_await PreparePartitions(context, *ready);
    if (!stopped) co_return stopped.error();
    if (!stopped->empty()) {
      report.status = RunStatus::kPartial;
      report.reason = *stopped;
      co_return Result<void>();
    }
  }
  BatchPolicy policy = Policy(context.options, *ready);
  ArchiveWork work(*ready, policy.transaction.timeout, context, report);
  auto moved = co_await RunInBatches(context, work, std::move(policy), report);
  AddTotals(work.totals(), report);
  if (!moved) co_return moved;
  co_return co_await Finish(context, *ready, work.totals(), report);
}

}  // namespace

extern const JobSpec kMessageArchive;
const JobSpec kMessageArchive = {
    .name = "message_archive",
    .summary = "Moves old messages into the archive.",
    .schedule = "30 2 * * *",
    .deadline = std::chrono::seconds(4 * 3600),
    .options = kOptions,
    .groups = kGroups,
    .needs_confirmation = true,
    .throttle_table = "public.messages",
    .run = &Run,
    .backlog = &MeasureArchive,
};

}  // namespace pgsteward
