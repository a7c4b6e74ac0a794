#include "tests/jobs/backup/place_model.h"

#include <algorithm>

#include "core/iso_time.h"
#include "tests/jobs/backup/manifest_sample.h"

namespace pgsteward {

namespace {

std::string IdOf(WallTime at) {
  std::string id;
  for (const char c : IsoMicros(at).substr(0, 19)) {
    if (c != '-' && c != ':') id += c;
  }
  return id + "Z-0000";
}

FoundBackup& Insert(PlaceContent& content, FoundBackup backup) {
  const auto place = std::find_if(content.backups.begin(), content.backups.end(),
                                  [&](const FoundBackup& each) { return each.id >= backup.id; });
  return *content.backups.insert(place, std::move(backup));
}

}  // namespace

WallTime At(std::string_view minute) {
  std::string text(minute);
  text[10] = 'T';
  return TimeOf(text + ":00.000000Z");
}

FoundBackup& PlaceModel::Add(WallTime at, std::string_view drill) {
  const std::string id = IdOf(at);
  Manifest manifest = SampleManifest(id);
  manifest.databases[0].snapshot_at = at;
  manifest.started = at;
  manifest.finished = at + std::chrono::minutes(1);
  manifest.proofs.clear();
  if (!drill.empty()) {
    BackupProof proof;
    proof.verdict = drill;
    proof.at = at + std::chrono::hours(1);
    proof.host = "drill1";
    proof.restore_seconds = 12;
    manifest.proofs.push_back(proof);
  }
  return Insert(content, {id, "/target/hub/" + id, std::move(manifest), "", false});
}

FoundBackup& PlaceModel::Add(std::string_view minute, std::string_view drill) {
  return Add(At(minute), drill);
}

FoundBackup& PlaceModel::AddUnreadable(std::string_view minute) {
  const std::string id = IdOf(At(minute));
  return Insert(content,
                {id, "/target/hub/" + id,
                 Error(Errc::kQueryFailed, "no good manifest: it has no database"), "", false});
}

std::string Text(const RetentionPlan& plan) {
  std::string text;
  for (const PlannedBackup& each : plan.backups) {
    text += (each.expires ? "expire " : "keep ") + each.id.substr(4, 9) + " " + each.reason + "\n";
  }
  if (plan.freeze != Freeze::kNone) {
    text += "frozen " + std::string(FreezeName(plan.freeze)) + ": " + plan.frozen_because + "\n";
  }
  return text;
}

}  // namespace pgsteward
