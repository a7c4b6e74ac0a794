// The options of retention, for the table of the job that takes backups.
#pragma once

#include "jobs/backup/anomaly.h"
#include "jobs/backup/retention.h"
#include "jobs/job_options.h"

namespace pgsteward {

inline constexpr JobOption kKeepLastOption = {.name = "keep_last",
                                              .kind = OptionKind::kInteger,
                                              .fallback = "7",
                                              .help = "So many of the newest backups stay.",
                                              .least = 0,
                                              .most = 100'000};
inline constexpr JobOption kKeepWithinOption = {
    .name = "keep_within",
    .kind = OptionKind::kDuration,
    .fallback = "0s",
    .help = "All backups that are younger stay; 0s: age alone keeps none."};
inline constexpr JobOption kKeepDailyOption = {
    .name = "keep_daily",
    .kind = OptionKind::kInteger,
    .fallback = "7",
    .help = "One backup of each of the last so many days (of UTC) that have one stays.",
    .least = 0,
    .most = 100'000};
inline constexpr JobOption kKeepWeeklyOption = {
    .name = "keep_weekly",
    .kind = OptionKind::kInteger,
    .fallback = "5",
    .help = "One backup of each of the last so many weeks that have one stays.",
    .least = 0,
    .most = 100'000};
inline constexpr JobOption kKeepMonthlyOption = {
    .name = "keep_monthly",
    .kind = OptionKind::kInteger,
    .fallback = "12",
    .help = "One backup of each of the last so many months that have one stays.",
    .least = 0,
    .most = 100'000};
inline constexpr JobOption kKeepYearlyOption = {
    .name = "keep_yearly",
    .kind = OptionKind::kInteger,
    .fallback = "0",
    .help = "One backup of each of the last so many years that have one stays.",
    .least = 0,
    .most = 100'000};
inline constexpr JobOption kKeepDroppedOption = {
    .name = "keep_dropped",
    .kind = OptionKind::kDuration,
    .fallback = "30d",
    .help =
        "So long the newest backup with a database stays when newer ones lack it: it was "
        "dropped, or is backed up no more."};
inline constexpr JobOption kMinKeepOption = {
    .name = "min_keep",
    .kind = OptionKind::kInteger,
    .fallback = "3",
    .help = "Never fewer good backups than this stay, whatever the other rules say.",
    .least = 1,
    .most = 100'000};
inline constexpr JobOption kFreezeAfterOption = {
    .name = "freeze_after",
    .kind = OptionKind::kDuration,
    .fallback = "3d",
    .help =
        "No backup goes while the newest is older than this; longer than the time between two "
        "backups. 0s: however old."};
inline constexpr JobOption kFreezeFailuresOption = {
    .name = "freeze_failures",
    .kind = OptionKind::kInteger,
    .fallback = "3",
    .help = "No backup goes after so many runs that failed one after another; 0: however many.",
    .least = 0,
    .most = 1'000};
inline constexpr JobOption kTrashDelayOption = {
    .name = "trash_delay",
    .kind = OptionKind::kDuration,
    .fallback = "2d",
    .help = "So long an expired backup lies in .trash before it is deleted."};
inline constexpr JobOption kAnomalyDropOption = {
    .name = "anomaly_drop",
    .kind = OptionKind::kNumber,
    .fallback = "0.5",
    .help =
        "When the rows of a table or the size of a dump fall by this part of it from one backup "
        "to the next, the older one stays until somebody has looked; 0: never.",
    .least = 0,
    .most = 1};
inline constexpr JobOption kAnomalyRowsOption = {
    .name = "anomaly_rows",
    .kind = OptionKind::kInteger,
    .fallback = "1000",
    .help = "Tables that had fewer rows than this do not count for anomaly_drop.",
    .least = 0};
inline constexpr JobOption kAnomalyIgnoreOption = {
    .name = "anomaly_ignore",
    .kind = OptionKind::kTexts,
    .fallback = "",
    .help = "Tables (\"public.sessions\", \"staging.*\") that do not count for anomaly_drop."};

// Of options that have all of the above.
RetentionPolicy RetentionPolicyOf(const JobOptions& options);
AnomalyPolicy AnomalyPolicyOf(const JobOptions& options);

}  // namespace pgsteward
