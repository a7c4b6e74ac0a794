#include "jobs/backup/drill_metrics.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

namespace pgsteward {

namespace {

// Of fixed length, whatever the size.
bool IsFixed(const std::string& phase) { return phase == "cluster" || phase == "globals"; }
bool IsWaitedFor(const std::string& phase) {
  return IsFixed(phase) || phase == "databases" || phase == "analyze";
}

double DumpBytes(const Manifest& manifest) {
  double bytes = 0;
  for (const BackupDatabase& database : manifest.databases) {
    bytes += static_cast<double>(database.dump_bytes);
  }
  return bytes;
}

double Number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

struct LastProof {
  const Manifest* manifest = nullptr;
  const BackupProof* proof = nullptr;
};

LastProof FindLast(const std::vector<Manifest>& manifests, bool only_proven) {
  LastProof last;
  for (const Manifest& manifest : manifests) {
    for (const BackupProof& proof : manifest.proofs) {
      if (only_proven && proof.verdict != "proven") continue;
      if (!last.proof || proof.at >= last.proof->at) last = {&manifest, &proof};
    }
  }
  return last;
}

}  // namespace

std::optional<RestoreEstimate> EstimateRestore(const std::vector<Manifest>& manifests) {
  const LastProof last = FindLast(manifests, true);
  if (!last.proof) return std::nullopt;
  RestoreEstimate estimate;
  estimate.seconds = last.proof->restore_seconds;
  estimate.bytes = DumpBytes(*last.manifest);
  const double today = DumpBytes(manifests.back());
  const double growth = estimate.bytes > 0 ? today / estimate.bytes : 1;
  for (const NamedText& phase : last.proof->phases) {
    const double seconds = Number(phase.text);
    if (phase.name == "databases" && seconds > 0)
      estimate.bytes_per_second = estimate.bytes / seconds;
    if (IsWaitedFor(phase.name))
      estimate.now_seconds += seconds * (IsFixed(phase.name) ? 1 : growth);
  }
  return estimate;
}

std::optional<WallTime> ProvenUntil(const std::vector<Manifest>& manifests) {
  std::optional<WallTime> until;
  for (const Manifest& manifest : manifests) {
    if (manifest.proven())
      until = std::max(until.value_or(WallTime::min()), manifest.covers_until());
  }
  return until;
}

Families DrillFamilies(const std::vector<Manifest>& manifests, WallTime now) {
  auto last_success = GaugeFamily("pgsteward_restore_drill_last_success_timestamp_seconds",
                                  "When a restore last proved a backup, 0 if never.");
  auto last_run = GaugeFamily("pgsteward_restore_drill_last_verdict_timestamp_seconds",
                              "When a drill last came to a verdict, good or bad, 0 if never.");
  auto verdict = GaugeFamily("pgsteward_restore_drill_last_verdict",
                             "1 when the last verdict was proven, 0 when it was failed. Absent "
                             "before the first one.");
  auto phases = GaugeFamily("pgsteward_restore_drill_phase_seconds",
                            "Duration of each phase of the last drill that proved a backup.");
  auto seconds = GaugeFamily("pgsteward_restore_drill_restore_seconds",
                             "What a person would have waited for in that drill: from an empty "
                             "folder to analyzed databases.");
  auto speed = GaugeFamily("pgsteward_restore_drill_bytes_per_second",
                           "Bytes of the dumps restored in a second of its phase databases.");
  auto estimated = GaugeFamily("pgsteward_restore_drill_estimated_restore_seconds",
                               "The same for the newest backup, by the size of its dumps.");
  auto at_risk = GaugeFamily("pgsteward_restore_drill_data_at_risk_seconds",
                             "Time since the newest moment up to which everything is in a proven "
                             "backup. Absent when no backup is proven.");
  const LastProof any = FindLast(manifests, false);
  const LastProof good = FindLast(manifests, true);
  AddSample(last_success, {}, good.proof ? UnixSeconds(good.proof->at) : 0);
  AddSample(last_run, {}, any.proof ? UnixSeconds(any.proof->at) : 0);
  if (any.proof) AddSample(verdict, {}, any.proof->verdict == "proven" ? 1 : 0);
  if (const auto estimate = EstimateRestore(manifests)) {
    for (const NamedText& phase : good.proof->phases) {
      AddSample(phases, {{"phase", phase.name}}, Number(phase.text));
    }
    AddSample(seconds, {}, estimate->seconds);
    AddSample(speed, {}, estimate->bytes_per_second);
    AddSample(estimated, {}, estimate->now_seconds);
  }
  if (const auto until = ProvenUntil(manifests)) {
    AddSample(at_risk, {}, std::max(0.0, UnixSeconds(now) - UnixSeconds(*until)));
  }
  Families families;
  for (auto* family :
       {&last_success, &last_run, &verdict, &phases, &seconds, &speed, &estimated, &at_risk}) {
    families.push_back(std::move(*family));
  }
  return families;
}

}  // namespace pgsteward
