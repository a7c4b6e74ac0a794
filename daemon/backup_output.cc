#include "daemon/backup_output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "core/iso_time.h"
#include "core/json.h"
#include "core/terminal_text.h"
#include "core/utf8.h"
#include "daemon/text_table.h"

namespace pgsteward {

namespace {

std::string Bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  double number = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (number >= 1000 && unit + 1 < kUnits.size()) {
    number /= 1000;
    ++unit;
  }
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", number, kUnits[unit]);
  return text.data();
}

std::string AgeOf(WallTime since, WallTime now) {
  return ShortDuration(std::max(0.0, UnixSeconds(now) - UnixSeconds(since)));
}

std::string Remark(const FoundBackup& backup) {
  if (!backup.manifest) return backup.manifest.error().message;
  const Manifest& manifest = *backup.manifest;
  std::string remark;
  const auto add = [&remark](const std::string& text) {
    remark += (remark.empty() ? "" : "; ") + text;
  };
  if (!backup.pin.empty()) add("kept: " + backup.pin);
  if (!manifest.anomaly.empty()) {
    add((backup.anomaly_accepted ? "anomaly, accepted: " : "anomaly: ") + manifest.anomaly);
  }
  if (!manifest.proofs.empty() && !manifest.proven()) add(manifest.proofs.back().reason);
  return HarmlessLine(remark);
}

std::string DatabasesOf(const Manifest& manifest) {
  std::string names;
  for (const BackupDatabase& each : manifest.databases) {
    names += (names.empty() ? "" : ", ") + each.name;
  }
  return HarmlessLine(names);
}

void AddDatabase(const BackupDatabase& database, std::vector<TableRow>& rows) {
  long long count = 0;
  for (const BackupTable& each : database.tables) count += each.rows;
  rows.push_back({"database " + HarmlessLine(database.name),
                  std::to_string(database.tables.size()) + " tables, " + std::to_string(count) +
                      " rows, dump " + Bytes(database.dump_bytes) + " " + database.format + " in " +
                      database.file});
  rows.push_back({"  snapshot", UtcText(database.snapshot_at) + ", LSN " + database.lsn});
  for (const std::string& each : database.invalid_indexes) {
    rows.push_back({"  lacks index", HarmlessLine(each) + ", which is invalid on the server"});
  }
}

std::string ProofText(const BackupProof& proof) {
  std::string text = proof.verdict + " " + UtcText(proof.at) + " on " + HarmlessLine(proof.host);
  if (proof.verdict == "proven") return text + " in " + ShortDuration(proof.restore_seconds);
  return text + ": " + HarmlessLine(proof.reason);
}

Json Text(const std::string& text) { return Json(ValidUtf8(text)); }
Json TextOrNull(const std::string& text) { return text.empty() ? Json() : Text(text); }
Json Count(std::uint64_t number) { return Json(static_cast<long long>(number)); }

Json Offsite(const std::optional<OffsiteMark>& mark) {
  if (!mark) return Json();
  Json::Object object;
  object.push_back({"remote", Text(mark->remote)});
  object.push_back({"verified", Text(IsoMicros(mark->at))});
  return Json(std::move(object));
}

Json::Object Listed(const FoundBackup& backup, WallTime now) {
  Json::Object object;
  object.push_back({"id", Text(backup.id)});
  object.push_back({"state", Text(std::string(BackupStateName(StateOf(backup))))});
  object.push_back({"folder", Text(backup.folder)});
  object.push_back({"kept_by_hand", TextOrNull(backup.pin)});
  object.push_back({"offsite", Offsite(backup.offsite)});
  object.push_back({"problem", backup.manifest ? Json() : Text(backup.manifest.error().message)});
  if (!backup.manifest) return object;
  const Manifest& manifest = *backup.manifest;
  object.push_back({"covers_until", Text(IsoMicros(manifest.covers_until()))});
  object.push_back({"age_seconds", Json(UnixSeconds(now) - UnixSeconds(manifest.covers_until()))});
  object.push_back({"finished", Text(IsoMicros(manifest.finished))});
  object.push_back({"stored_bytes", Count(manifest.stored_bytes())});
  object.push_back({"encryption", Text(manifest.encryption)});
  object.push_back({"anomaly", TextOrNull(manifest.anomaly)});
  object.push_back({"anomaly_accepted", Json(backup.anomaly_accepted)});
  Json::Array names;
  for (const BackupDatabase& each : manifest.databases) names.push_back(Text(each.name));
  object.push_back({"databases", Json(std::move(names))});
  return object;
}

Json Ids(const std::vector<std::string>& ids) {
  Json::Array array;
  for (const std::string& id : ids) array.push_back(Text(id));
  return Json(std::move(array));
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += HarmlessLine(line) + "\n";
  return text;
}

}  // namespace

std::string BackupsTable(const PlaceContent& content, WallTime now) {
  std::vector<TableRow> rows = {
      {"BACKUP", "STATE", "AGE", "SIZE", "DATABASES", "OFF-SITE", "REMARK"}};
  for (auto each = content.backups.rbegin(); each != content.backups.rend(); ++each) {
    const std::string state(BackupStateName(StateOf(*each)));
    if (!each->manifest) {
      rows.push_back({each->id, state, "", "", "", "", Remark(*each)});
      continue;
    }
    rows.push_back({each->id, state, AgeOf(each->manifest->covers_until(), now),
                    Bytes(each->manifest->stored_bytes()), DatabasesOf(*each->manifest),
                    each->offsite ? HarmlessLine(each->offsite->remote) : "", Remark(*each)});
  }
  std::string text = AlignedTable(rows);
  for (const std::string& name : content.foreign) {
    text += "not ours: " + HarmlessLine(name) + "\n";
  }
  for (const std::string& id : content.partial) text += "unfinished: " + id + "\n";
  for (const std::string& id : content.trash) text += "in .trash: " + id + "\n";
  return text;
}

std::string BackupSheet(const FoundBackup& backup, WallTime now) {
  std::vector<TableRow> rows = {{"backup", backup.id},
                                {"state", std::string(BackupStateName(StateOf(backup)))},
                                {"folder", backup.folder}};
  if (const std::string remark = Remark(backup); !remark.empty()) {
    rows.push_back({"remark", remark});
  }
  if (!backup.manifest) return AlignedTable(rows);
  const Manifest& manifest = *backup.manifest;
  rows.push_back({"covers", UtcText(manifest.covers_until()) + ", " +
                                AgeOf(manifest.covers_until(), now) + " ago"});
  rows.push_back({"taken", UtcText(manifest.started) + " to " + UtcText(manifest.finished) +
                               " by " + HarmlessLine(manifest.job) + " on " +
                               HarmlessLine(manifest.host)});
  rows.push_back({"server", HarmlessLine(manifest.server) + ", version " +
                                std::to_string(manifest.server_version) + ", system identifier " +
                                manifest.system_identifier + ", timeline " +
                                std::to_string(manifest.timeline)});
  rows.push_back({"stored", Bytes(manifest.stored_bytes()) + ", " + manifest.compression + ", " +
                                manifest.encryption});
  for (const std::string& each : manifest.recipients) rows.push_back({"recipient", each});
  if (backup.offsite) {
    rows.push_back({"off-site", HarmlessLine(backup.offsite->remote) + ", verified " +
                                    UtcText(backup.offsite->at)});
  }
  if (!manifest.globals.empty()) {
    rows.push_back(
        {"globals",
         manifest.globals + (manifest.role_passwords ? "" : ", without the passwords of roles")});
  }
  for (const BackupDatabase& each : manifest.databases) AddDatabase(each, rows);
  for (const BackupProof& each : manifest.proofs) rows.push_back({"drill", ProofText(each)});
  return AlignedTable(rows);
}

std::string ExpireText(const ExpireOutcome& outcome, bool dry_run) {
  std::string text = Lines(ExpireLines(outcome));
  if (dry_run) return text + "dry run: nothing was moved or deleted\n";
  return text + std::to_string(outcome.quarantined.size()) + " moved to .trash, " +
         std::to_string(outcome.removed.size()) + " deleted, " + Bytes(outcome.freed_bytes) +
         " freed\n";
}

std::string BackupsJson(const PlaceContent& content, WallTime now) {
  Json::Array backups;
  for (auto each = content.backups.rbegin(); each != content.backups.rend(); ++each) {
    backups.emplace_back(Listed(*each, now));
  }
  Json::Object object;
  object.push_back({"backups", Json(std::move(backups))});
  object.push_back({"foreign", Ids(content.foreign)});
  object.push_back({"partial", Ids(content.partial)});
  object.push_back({"trash", Ids(content.trash)});
  return JsonText(Json(std::move(object))) + "\n";
}

std::string BackupJson(const FoundBackup& backup, WallTime now) {
  Json::Object object = Listed(backup, now);
  Json manifest;
  if (backup.manifest) {
    if (auto tree = ParseJson(ManifestJson(*backup.manifest))) manifest = std::move(*tree);
  }
  object.push_back({"manifest", std::move(manifest)});
  return JsonText(Json(std::move(object))) + "\n";
}

std::string ExpireJson(const ExpireOutcome& outcome, bool dry_run) {
  Json::Array plan;
  for (const PlannedBackup& each : outcome.plan.backups) {
    Json::Object line;
    line.push_back({"id", Text(each.id)});
    line.push_back({"state", Text(std::string(BackupStateName(each.state)))});
    line.push_back({"expires", Json(each.expires)});
    line.push_back({"reason", Text(each.reason)});
    plan.emplace_back(std::move(line));
  }
  const bool frozen = outcome.plan.freeze != Freeze::kNone;
  Json::Object object;
  object.push_back({"dry_run", Json(dry_run)});
  object.push_back(
      {"frozen", frozen ? Text(std::string(FreezeName(outcome.plan.freeze))) : Json()});
  object.push_back({"frozen_because", TextOrNull(outcome.plan.frozen_because)});
  object.push_back({"kept", Json(static_cast<long long>(outcome.plan.kept))});
  object.push_back({"proven", Json(static_cast<long long>(outcome.plan.proven))});
  object.push_back({"anomalies", Ids(outcome.plan.anomalies)});
  object.push_back({"plan", Json(std::move(plan))});
  object.push_back({"quarantined", Ids(outcome.quarantined)});
  object.push_back({"deleted", Ids(outcome.removed)});
  object.push_back({"freed_bytes", Count(outcome.freed_bytes)});
  return JsonText(Json(std::move(object))) + "\n";
}

}  // namespace pgsteward
