#include "jobs/backup/place.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/durable_file.h"
#include "core/iso_time.h"
#include "core/random.h"
#include "jobs/backup/target_files.h"

namespace pgsteward {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSentinelStart = "pgsteward backups, format 1\n";
constexpr std::string_view kSentinelText =
    "pgsteward backups, format 1\n"
    "This folder holds backups of PostgreSQL servers: see RESTORE.txt in each of them.\n"
    "Leave this file where it is: without it nothing is written here and nothing is deleted.\n";
constexpr auto kOwn = std::to_array<std::string_view>({".lock", ".partial", ".pins", ".trash"});
constexpr std::string_view kIdForm = "00000000T000000Z-xxxx";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Words(int error) { return std::strerror(error); }

Error NoPlace(const std::string& message, std::string hint) {
  return Error(Errc::kUnavailable, message, {}, std::move(hint));
}

struct Entry {
  std::string name;
  bool folder = false;  // itself, not by a link
};

// By name. An empty list where there is no such folder.
Result<std::vector<Entry>> List(const std::string& path) {
  std::vector<Entry> entries;
  std::error_code failed;
  fs::directory_iterator each(path, failed);
  while (!failed && each != fs::directory_iterator()) {
    const fs::file_status status = each->symlink_status(failed);
    if (failed && failed != std::errc::no_such_file_or_directory) break;
    if (!failed) entries.push_back({each->path().filename(), fs::is_directory(status)});
    failed.clear();
    each.increment(failed);
  }
  if (failed && failed != std::errc::no_such_file_or_directory) {
    return Error(Errc::kUnavailable, "cannot read folder " + path + ": " + failed.message());
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return entries;
}

Result<std::vector<std::string>> ListIds(const std::string& path) {
  auto entries = List(path);
  if (!entries) return entries.error();
  std::vector<std::string> ids;
  for (const Entry& each : *entries) {
    if (IsBackupId(each.name)) ids.push_back(each.name);
  }
  return ids;
}

Result<Manifest> ReadManifest(const BackupPlace& place, const std::string& id) {
  auto text =
      ReadWholeFile(place.Published(id) + "/" + std::string(kManifestFile), kLargestManifest);
  if (!text) return text.error();
  auto manifest = ParseManifest(*text);
  if (!manifest) return manifest;
  if (manifest->id != id) {
    return Error(Errc::kQueryFailed, "its manifest is of backup " + manifest->id);
  }
  if (manifest->server != place.server) {
    return Error(Errc::kQueryFailed, "its manifest is of server " + manifest->server);
  }
  return manifest;
}

// Its only line; nothing where there is no such mark.
Result<std::optional<std::string>> ReadMark(const std::string& path) {
  auto text = ReadWholeFile(path);
  if (!text && text.error().code == Errc::kNoData) return std::optional<std::string>();
  if (!text) return text.error();
  return std::optional<std::string>(text->substr(0, text->find('\n')));
}

// What the marks say of it.
Result<void> ReadMarks(const BackupPlace& place, FoundBackup& backup) {
  const auto pin = ReadMark(place.Pin(backup.id));
  if (!pin) return pin.error();
  if (*pin) backup.pin = (*pin)->empty() ? "kept by hand" : **pin;
  const auto accepted = ReadMark(place.Accepted(backup.id));
  if (!accepted) return accepted.error();
  backup.anomaly_accepted = accepted->has_value();
  const auto offsite = ReadMark(place.Offsite(backup.id));
  if (!offsite) return offsite.error();
  if (*offsite) backup.offsite = ParseOffsiteMark(**offsite);
  return {};
}

}  // namespace

std::string BackupPlace::Root() const { return target + "/" + FileNameOf(server); }
std::string BackupPlace::Published(std::string_view id) const {
  return Root() + "/" + std::string(id);
}
std::string BackupPlace::Partial(std::string_view id) const {
  return Root() + "/.partial/" + std::string(id);
}
std::string BackupPlace::Trash(std::string_view id) const {
  return Root() + "/.trash/" + std::string(id);
}
std::string BackupPlace::Pin(std::string_view id) const {
  return Root() + "/.pins/" + std::string(id);
}

std::string BackupPlace::Accepted(std::string_view id) const { return Pin(id) + ".accepted"; }

std::string BackupPlace::Offsite(std::string_view id) const { return Pin(id) + ".offsite"; }

std::string OffsiteMarkText(const OffsiteMark& mark) {
  return IsoMicros(mark.at) + " " + mark.remote;
}

std::optional<OffsiteMark> ParseOffsiteMark(const std::string& line) {
  const std::size_t blank = line.find(' ');
  const auto at = ParseIsoMicros(line.substr(0, blank));
  if (!at || blank == std::string::npos) return std::nullopt;
  return OffsiteMark{line.substr(blank + 1), *at};
}

std::string NormalTarget(std::string target) {
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  return target;
}

std::string FileNameOf(std::string_view name) {
  std::string safe;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool inner_dot = c == '.' && i > 0 && i + 1 < name.size();
    if (letter || IsDigit(c) || c == '-' || c == '_' || inner_dot) {
      safe += c;
      continue;
    }
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%%%02X",
                  static_cast<unsigned>(static_cast<unsigned char>(c)));
    safe += text.data();
  }
  return safe;
}

std::string NewBackupId(WallTime now) {
  // "2026-11-25T03:00:00.123456Z" without its fraction and signs.
  std::string id = IsoMicros(now).substr(0, 19);
  std::erase_if(id, [](char c) { return c == '-' || c == ':'; });
  return id + "Z-" + RandomHex(4);
}

bool IsBackupId(std::string_view name) {
  if (name.size() != kIdForm.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool hex = IsDigit(c) || (c >= 'a' && c <= 'f');
    if (kIdForm[i] == '0' ? !IsDigit(c) : kIdForm[i] == 'x' ? !hex : c != kIdForm[i]) return false;
  }
  const auto number = [name](std::size_t at, std::size_t length) {
    unsigned value = 0;
    std::from_chars(name.data() + at, name.data() + at + length, value);
    return value;
  };
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(number(0, 4))),
                                         std::chrono::month(number(4, 2)),
                                         std::chrono::day(number(6, 2)));
  return date.ok() && number(9, 2) < 24 && number(11, 2) < 60 && number(13, 2) < 60;
}

Result<void> CheckSentinel(const BackupPlace& place) {
  const std::string path = place.target + "/" + std::string(kSentinelFile);
  struct stat status {};
  if (::stat(place.target.c_str(), &status) != 0) {
    return NoPlace("the target of backups is not there: " + place.target + ": " + Words(errno),
                   "Mount it, or make it with: pgsteward backup init.");
  }
  auto text = ReadWholeFile(path);
  if (!text && text.error().code == Errc::kNoData) {
    return NoPlace("the target of backups has no file " + path,
                   "Is the target mounted? Make a new one with: pgsteward backup init.");
  }
  if (!text) return text.error();
  if (text->starts_with(kSentinelStart)) return {};
  return NoPlace(path + " is no sentinel that this program knows",
                 "Another version wrote it, or it is damaged: look before you remove it.");
}

Result<void> MakeSentinel(const std::string& target) {
  const std::string path = target + "/" + std::string(kSentinelFile);
  if (auto made = MakeFolder(target); !made) {
    return NoPlace(made.error().message,
                   "The folder above it must be there, and writable for pgsteward.");
  }
  if (auto written = WriteNewFile(path, kSentinelText); !written) return written;
  return SyncDirectory(target);
}

Result<PlaceContent> ReadPlace(const BackupPlace& place) {
  auto entries = List(place.Root());
  if (!entries) return entries.error();
  PlaceContent content;
  for (const Entry& each : *entries) {
    if (each.folder && IsBackupId(each.name)) {
      FoundBackup backup{each.name, place.Published(each.name), ReadManifest(place, each.name), {}};
      if (auto read = ReadMarks(place, backup); !read) return read.error();
      content.backups.push_back(std::move(backup));
    } else if (std::find(kOwn.begin(), kOwn.end(), each.name) == kOwn.end()) {
      content.foreign.push_back(each.name);
    }
  }
  auto partial = ListIds(place.Root() + "/.partial");
  if (!partial) return partial.error();
  content.partial = std::move(*partial);
  auto trash = ListIds(place.Root() + "/.trash");
  if (!trash) return trash.error();
  content.trash = std::move(*trash);
  return content;
}

}  // namespace pgsteward
