#include "jobs/backup/manifest.h"

#include <algorithm>
#include <array>
#include <concepts>
#include <limits>
#include <set>

#include "core/iso_time.h"
#include "core/json.h"
#include "core/sha256.h"
#include "core/utf8.h"
#include "jobs/backup/manifest_fields.h"
#include "jobs/backup/place.h"

namespace pgsteward {

namespace {

constexpr int kFormat = 1;
constexpr std::string_view kChecksumStart = "  \"sha256\": \"";
constexpr std::string_view kChecksumEnd = "\"\n}\n";
constexpr std::size_t kDigits = 64;
constexpr std::size_t kTail = kChecksumStart.size() + kDigits + kChecksumEnd.size();

Error Wrong(const std::string& what) {
  return Error(Errc::kQueryFailed, "no good manifest: " + what);
}

constexpr std::string_view kHexDigits = "0123456789abcdef";

// Names in a database of encoding SQL_ASCII need not be text: {"hex": "ff"}.
Json TextJson(const std::string& text) {
  if (IsUtf8(text)) return Json(text);
  std::string hex;
  for (const char c : text) {
    hex += kHexDigits[static_cast<unsigned char>(c) >> 4U];
    hex += kHexDigits[static_cast<unsigned char>(c) & 15U];
  }
  return Json(Json::Object{{"hex", Json(std::move(hex))}});
}

std::optional<std::string> TextOf(const Json& value) {
  if (const std::string* text = value.text()) return *text;
  const Json::Object* object = value.object();
  if (!object || object->size() != 1 || object->front().name != "hex") return std::nullopt;
  const std::string* hex = object->front().value.text();
  if (!hex || hex->size() % 2 != 0) return std::nullopt;
  std::string text;
  for (std::size_t i = 0; i < hex->size(); i += 2) {
    const std::size_t high = kHexDigits.find((*hex)[i]);
    const std::size_t low = kHexDigits.find((*hex)[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    text += static_cast<char>(high * 16 + low);
  }
  return text;
}

class Writer {
 public:
  void operator()(const char* name, bool on) { Add(name, Json(on)); }
  void operator()(const char* name, double number) { Add(name, Json(number)); }
  void operator()(const char* name, WallTime time) { Add(name, Json(IsoMicros(time))); }
  void operator()(const char* name, const std::string& text) { Add(name, TextJson(text)); }
  template <std::integral T>
  void operator()(const char* name, T number) {
    Add(name, Json(static_cast<long long>(number)));
  }
  template <class T>
  void operator()(const char* name, std::vector<T>& items) {
    Json::Array array;
    for (T& each : items) array.push_back(Item(each));
    Add(name, Json(std::move(array)));
  }
  Json Take() { return Json(std::move(members_)); }

 private:
  static Json Item(std::string& text) { return TextJson(text); }
  template <class T>
  static Json Item(T& item) {
    Writer writer;
    Describe(writer, item);
    return writer.Take();
  }
  void Add(const char* name, Json value) { members_.push_back({name, std::move(value)}); }

  Json::Object members_;
};

// Keeps the first thing that is wrong.
class Reader {
 public:
  Reader(const Json& value, std::string path, std::string& wrong)
      : members_(value.object()), path_(std::move(path)), wrong_(wrong) {
    if (!members_) Note("is no object");
  }

  void operator()(const char* name, bool& on) {
    const Json* value = Find(name);
    if (value && value->boolean()) on = *value->boolean();
    if (value && !value->boolean()) Note(name, "is neither true nor false");
  }
  void operator()(const char* name, double& number) {
    const Json* value = Find(name);
    if (!value) return;
    if (value->number()) {
      number = *value->number();
    } else if (value->integer()) {
      number = static_cast<double>(*value->integer());
    } else {
      Note(name, "is no number");
    }
  }
  void operator()(const char* name, WallTime& time) {
    const Json* value = Find(name);
    if (!value) return;
    const auto parsed = value->text() ? ParseIsoMicros(*value->text()) : std::nullopt;
    if (parsed) time = *parsed;
    if (!parsed) Note(name, "is no time like 2026-11-25T03:00:00.000000Z");
  }
  void operator()(const char* name, std::string& text) {
    if (const Json* value = Find(name)) Read(*value, name, text);
  }
  template <std::integral T>
  void operator()(const char* name, T& number) {
    const Json* value = Find(name);
    if (!value) return;
    const long long* integer = value->integer();
    const bool fits = integer && *integer >= 0 &&
                      static_cast<unsigned long long>(*integer) <=
                          static_cast<unsigned long long>(std::numeric_limits<T>::max());
    if (fits) number = static_cast<T>(*integer);
    if (!fits) Note(name, "is no whole number from 0, or too large");
  }
  template <class T>
  void operator()(const char* name, std::vector<T>& items) {
    const Json* value = Find(name);
    if (!value) return;
    const Json::Array* array = value->array();
    if (!array) return Note(name, "is no list");
    for (std::size_t i = 0; i < array->size() && wrong_.empty(); ++i) {
      Read((*array)[i], name + ("[" + std::to_string(i) + "]"), items.emplace_back());
    }
  }
  // What nobody asked for would be lost when the manifest is written again.
  void End() {
    if (members_ && members_->size() > next_) Note((*members_)[next_].name, "is not known here");
  }

 private:
  void Read(const Json& value, const std::string& name, std::string& text) {
    auto read = TextOf(value);
    if (read) text = std::move(*read);
    if (!read) Note(name, "is no text");
  }
  template <class T>
  void Read(const Json& value, const std::string& name, T& item) {
    Reader reader(value, path_ + name + ".", wrong_);
    Describe(reader, item);
    reader.End();
  }
  // Members stand in the order of their description.
  const Json* Find(const std::string& name) {
    if (!members_ || !wrong_.empty()) return nullptr;
    if (next_ < members_->size() && (*members_)[next_].name == name) {
      return &(*members_)[next_++].value;
    }
    Note(name, "is missing, or not in its place");
    return nullptr;
  }
  void Note(const std::string& name, const std::string& what) { Note(name + " " + what); }
  void Note(const std::string& what) {
    if (wrong_.empty()) wrong_ = path_ + what;
  }

  const Json::Object* members_;
  std::size_t next_ = 0;
  std::string path_;
  std::string& wrong_;
};

bool IsStoredName(std::string_view name) {
  const auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '%';
  };
  return !name.empty() && name.front() != '.' && name != kManifestFile && name.size() <= 255 &&
         std::all_of(name.begin(), name.end(), harmless);
}

bool IsDigest(std::string_view text) {
  return text.size() == kDigits && text.find_first_not_of(kHexDigits) == std::string_view::npos;
}

template <std::size_t N>
bool IsWord(const std::string& text, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// What no type says; empty: all is well.
std::string Contradiction(const Manifest& manifest) {
  if (!IsBackupId(manifest.id)) return "id is none of a backup";
  if (!IsWord(manifest.encryption, std::to_array<std::string_view>({"age", "gpg", "none"}))) {
    return "encryption is neither age, gpg nor none";
  }
  std::set<std::string> files;
  for (const BackupFile& file : manifest.files) {
    if (!IsStoredName(file.name)) return "a file has a name that is none of a backup's files";
    if (!IsDigest(file.sha256)) return "the sha256 of file " + file.name + " is none";
    if (!files.insert(file.name).second) return "file " + file.name + " stands there twice";
  }
  if (!manifest.globals.empty() && !files.contains(manifest.globals)) {
    return "the file of globals is not among the files";
  }
  if (manifest.databases.empty()) return "it has no database";
  std::set<std::string> used = {manifest.globals};
  for (const BackupDatabase& database : manifest.databases) {
    if (!files.contains(database.file)) return "the file of a database is not among the files";
    if (!used.insert(database.file).second) return "file " + database.file + " is used twice";
    if (!IsWord(database.format, std::to_array<std::string_view>({"custom", "plain"}))) {
      return "the format of " + database.file + " is neither custom nor plain";
    }
  }
  for (const BackupProof& proof : manifest.proofs) {
    if (!IsWord(proof.verdict, std::to_array<std::string_view>({"proven", "failed"}))) {
      return "a verdict is neither proven nor failed";
    }
  }
  return {};
}

// A manifest of a later version is told by its number, whatever else it has.
std::string FormatProblem(const Json& tree) {
  const Json::Object* members = tree.object();
  if (!members || members->empty() || members->front().name != "format") {
    return "it does not begin with its format";
  }
  const long long* format = members->front().value.integer();
  if (format && *format == kFormat) return {};
  return "its format is " + JsonText(members->front().value) + ", and this program reads " +
         std::to_string(kFormat);
}

}  // namespace

WallTime Manifest::covers_until() const {
  if (databases.empty()) return WallTime();
  return std::min_element(
             databases.begin(), databases.end(),
             [](const auto& a, const auto& b) { return a.snapshot_at < b.snapshot_at; })
      ->snapshot_at;
}

std::uint64_t Manifest::stored_bytes() const {
  std::uint64_t sum = 0;
  for (const BackupFile& file : files) sum += file.bytes;
  return sum;
}

std::string ManifestJson(const Manifest& manifest) {
  Manifest copy = manifest;
  Writer writer;
  Describe(writer, copy);
  std::string text = JsonText(writer.Take());
  text.resize(text.size() - 2);  // "\n}"
  text += ",\n";
  const std::string sum = Sha256Of(text);
  text += kChecksumStart;
  text += sum;
  text += kChecksumEnd;
  return text;
}

Result<Manifest> ParseManifest(std::string_view text) {
  if (text.size() <= kTail || !text.ends_with(kChecksumEnd)) {
    return Wrong("its end is missing, it was cut off or changed");
  }
  const std::string_view front = text.substr(0, text.size() - kTail);
  const std::string_view tail = text.substr(front.size());
  if (!tail.starts_with(kChecksumStart) ||
      tail.substr(kChecksumStart.size(), kDigits) != Sha256Of(front) || !front.ends_with(",\n")) {
    return Wrong("its checksum is wrong, it was changed or damaged");
  }
  auto tree = ParseJson(std::string(front.substr(0, front.size() - 2)) + "\n}");
  if (!tree) return Wrong(tree.error().message);
  if (const std::string problem = FormatProblem(*tree); !problem.empty()) {
    Error newer = Wrong(problem);
    newer.hint = "Use the version of pgsteward that took this backup, or a later one.";
    return newer;
  }
  Manifest manifest;
  std::string wrong;
  Reader reader(*tree, "", wrong);
  Describe(reader, manifest);
  reader.End();
  if (wrong.empty()) wrong = Contradiction(manifest);
  if (!wrong.empty()) return Wrong(wrong);
  return manifest;
}

}  // namespace pgsteward
