// What the configuration says of the job that takes backups.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "jobs/backup/encryption.h"
#include "jobs/backup/place.h"
#include "jobs/backup/retention_options.h"
#include "jobs/job_options.h"

namespace pgsteward {

inline constexpr std::string_view kBackupFormats[] = {"custom", "plain"};
inline constexpr std::string_view kBackupEncryptions[] = {"age", "gpg", "none"};

inline constexpr auto kBackupOptions = std::to_array<JobOption>({
    {.name = "target",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "Folder in which backups lie, an absolute path; made by pgsteward backup init.",
     .required = true},
    {.name = "databases",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Databases to dump, \"*\" for all; none: the one of the server's connection."},
    {.name = "format",
     .kind = OptionKind::kWord,
     .fallback = "custom",
     .help = "Of the dumps: custom, or plain SQL (--clean --create --if-exists), which restores "
             "slower and only as a whole.",
     .words = kBackupFormats},
    {.name = "encryption",
     .kind = OptionKind::kWord,
     .fallback = "age",
     .help = "Program that encrypts all that is stored; none only where the target is encrypted.",
     .words = kBackupEncryptions},
    {.name = "recipients",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Public keys to encrypt for, two or more: age1..., or gpg fingerprints of 40 digits."},
    {.name = "allow_one_recipient",
     .kind = OptionKind::kSwitch,
     .fallback = "false",
     .help = "Only one recipient is enough; when its private key is lost, so are the backups."},
    {.name = "gpg_home",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "gpg's folder with the public keys; not set: its own."},
    {.name = "compression_level",
     .kind = OptionKind::kInteger,
     .fallback = "3",
     .help = "Of zstd; higher ones take more time and, from 16 on, much more memory.",
     .least = 1,
     .most = 19},
    {.name = "compression_threads",
     .kind = OptionKind::kInteger,
     .fallback = "2",
     .help = "Threads that compress.",
     .least = 1,
     .most = 64},
    {.name = "lock_wait",
     .kind = OptionKind::kDuration,
     .fallback = "1m",
     .help = "How long pg_dump waits for its lock on a table; meanwhile others wait behind it.",
     .least = 1,
     .most = 3600},
    {.name = "lock_attempts",
     .kind = OptionKind::kInteger,
     .fallback = "3",
     .help = "How often a dump is begun that does not get its locks.",
     .least = 1,
     .most = 100},
    {.name = "nice",
     .kind = OptionKind::kInteger,
     .fallback = "10",
     .help = "Niceness of pg_dump and the other programs.",
     .least = 0,
     .most = 19},
    {.name = "idle_io",
     .kind = OptionKind::kSwitch,
     .fallback = "false",
     .help = "The programs read and write only when nobody else does (ionice class idle)."},
    {.name = "tools",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Folders with PostgreSQL's programs; not set: those of the distribution, and the "
             "PATH."},
    {.name = "max_xmin_age",
     .kind = OptionKind::kInteger,
     .fallback = "100000000",
     .help = "No backup begins while a transaction has held VACUUM back for more transactions than "
             "this; 0: however many.",
     .least = 0},
    {.name = "offsite_remote",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "Where rclone copies each backup to (remote:path); not set: nowhere."},
    {.name = "rclone_config",
     .kind = OptionKind::kText,
     .fallback = "",
     .help = "rclone's configuration file; not set: its own."},
    kKeepLastOption,
    kKeepWithinOption,
    kKeepDailyOption,
    kKeepWeeklyOption,
    kKeepMonthlyOption,
    kKeepYearlyOption,
    kKeepDroppedOption,
    kMinKeepOption,
    kFreezeAfterOption,
    kFreezeFailuresOption,
    kTrashDelayOption,
    kAnomalyDropOption,
    kAnomalyRowsOption,
    kAnomalyIgnoreOption,
});

struct BackupSettings {
  BackupPlace place;
  std::vector<std::string> databases;  // empty: the one we connect to; "*": all
  bool plain = false;
  Recipients recipients;
  int compression_level = 3;
  int compression_threads = 2;
  std::chrono::seconds lock_wait{60};
  int lock_attempts = 3;
  int nice = 0;
  bool idle_io = false;
  std::vector<std::string> tools;
  long long max_xmin_age = 0;
  std::string offsite_remote;
  std::string rclone_config;
};

// kBadConfig: the target is no absolute path, the recipients are not good.
Result<BackupSettings> ReadBackupSettings(const JobOptions& options, const std::string& server);

}  // namespace pgsteward
