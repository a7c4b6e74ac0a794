#include "jobs/backup/backup_metrics.h"

#include <gtest/gtest.h>

#include "tests/jobs/backup/place_model.h"

namespace pgsteward {
namespace {

std::string Page(const Families& families) {
  std::string page;
  for (const auto& family : families) page += RenderSamples(family, {}).text;
  return page;
}

constexpr char kNoCounts[] =
    "pgsteward_backups{state=\"failed\"} 0\n"
    "pgsteward_backups{state=\"foreign\"} 0\n"
    "pgsteward_backups{state=\"partial\"} 0\n"
    "pgsteward_backups{state=\"proven\"} 0\n"
    "pgsteward_backups{state=\"trash\"} 0\n"
    "pgsteward_backups{state=\"unproven\"} 0\n"
    "pgsteward_backups{state=\"unreadable\"} 0\n"
    "pgsteward_backup_pinned 0\n"
    "pgsteward_backup_stored_bytes 0\n"
    "pgsteward_backup_retention_frozen{reason=\"clock\"} 0\n"
    "pgsteward_backup_retention_frozen{reason=\"foreign\"} 0\n"
    "pgsteward_backup_retention_frozen{reason=\"unreadable\"} 0\n"
    "pgsteward_backup_retention_frozen{reason=\"failing\"} 0\n"
    "pgsteward_backup_retention_frozen{reason=\"drill\"} 0\n"
    "pgsteward_backup_retention_frozen{reason=\"gap\"} 0\n"
    "pgsteward_backup_anomalies 0\n";

TEST(BackupMetrics, OfAnEmptyPlaceSayNoTimes) {
  EXPECT_EQ(Page(BackupFamilies(RetentionPolicy(), PlaceContent(), At("2026-11-04 04:00"), {})),
            kNoCounts);
}

TEST(BackupMetrics, SayWhatTheNewestAndTheNewestProvenOneAreWorth) {
  PlaceModel place;
  place.Add("2026-11-01 03:00", "failed");
  place.Add("2026-11-02 03:00", "proven");
  place.Add("2026-11-03 03:00").manifest->anomaly = "rows fell";
  place.Add("2026-11-04 03:00").pin = "mine";
  place.AddUnreadable("2026-10-31 03:00");
  place.content.partial = {"a"};
  place.content.trash = {"b", "c"};
  place.content.foreign = {"notes.txt"};
  TargetSpace space;
  space.bytes = 1'000;
  space.free_bytes = 250;
  EXPECT_EQ(Page(BackupFamilies(RetentionPolicy(), place.content, At("2026-11-04 04:00"), space)),
            "pgsteward_backup_last_success_timestamp_seconds 1793761260\n"
            "pgsteward_backup_age_seconds 3600\n"
            "pgsteward_backup_size_bytes 405000\n"
            "pgsteward_backup_dump_bytes 1000000\n"
            "pgsteward_backup_duration_seconds 60\n"
            "pgsteward_backup_role_passwords 1\n"
            "pgsteward_backup_recipient_info{encryption=\"age\",recipient=\"age1one\"} 1\n"
            "pgsteward_backup_recipient_info{encryption=\"age\",recipient=\"age1two\"} 1\n"
            "pgsteward_backup_last_proven_timestamp_seconds 1793592000\n"
            "pgsteward_backup_data_at_risk_seconds 176400\n"
            "pgsteward_backups{state=\"failed\"} 1\n"
            "pgsteward_backups{state=\"foreign\"} 1\n"
            "pgsteward_backups{state=\"partial\"} 1\n"
            "pgsteward_backups{state=\"proven\"} 1\n"
            "pgsteward_backups{state=\"trash\"} 2\n"
            "pgsteward_backups{state=\"unproven\"} 2\n"
            "pgsteward_backups{state=\"unreadable\"} 1\n"
            "pgsteward_backup_pinned 1\n"
            "pgsteward_backup_stored_bytes 1620000\n"
            "pgsteward_backup_retention_frozen{reason=\"clock\"} 0\n"
            "pgsteward_backup_retention_frozen{reason=\"foreign\"} 1\n"
            "pgsteward_backup_retention_frozen{reason=\"unreadable\"} 0\n"
            "pgsteward_backup_retention_frozen{reason=\"failing\"} 0\n"
            "pgsteward_backup_retention_frozen{reason=\"drill\"} 0\n"
            "pgsteward_backup_retention_frozen{reason=\"gap\"} 0\n"
            "pgsteward_backup_anomalies 1\n"
            "pgsteward_backup_target_bytes 1000\n"
            "pgsteward_backup_target_free_bytes 250\n");
}

}  // namespace
}  // namespace pgsteward
