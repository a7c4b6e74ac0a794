#include "jobs/backup/verify.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <utility>

#include "core/durable_file.h"
#include "core/terminal_text.h"
#include "jobs/backup/drill_blame.h"
#include "jobs/backup/place.h"

namespace pgsteward {

namespace fs = std::filesystem;

namespace {

class Verification {
 public:
  Verification(const VerifyRequest& request, StopSwitch& stop) : request_(request), stop_(stop) {}

  Result<VerifyReport> Run() {
    ReadManifest();
    if (failure_) return *failure_;
    if (!report_.manifest) return std::move(report_);
    ListFolder();
    const Manifest& manifest = *report_.manifest;
    for (const std::string_view name : {kChecksumFile, kInstructionsFile}) {
      if (!Find(std::string(name))) Note(std::string(name), "is not in the manifest");
    }
    report_.contents_read =
        request_.contents && (request_.identity || manifest.encryption == "none");
    for (const BackupFile& file : manifest.files) {
      CheckFile(file);
      if (stop_.stopped()) return Stopped();
    }
    CheckSums();
    // What is damaged is damaged, whatever else cannot be looked at.
    if (failure_ && report_.problems.empty()) return *failure_;
    return std::move(report_);
  }

 private:
  void Note(std::string file, std::string what) {
    report_.problems.push_back({std::move(file), std::move(what)});
  }
  // What the machine is to blame for proves nothing about the backup.
  void Note(const std::string& file, const Error& error) {
    std::optional<Error> machine = BlameOnMachine(error);
    if (!machine) return Note(file, error.message);
    machine->message = file + " " + machine->message;
    if (!failure_) failure_ = std::move(machine);
  }
  const BackupFile* Find(const std::string& name) const {
    for (const BackupFile& file : report_.manifest->files) {
      if (file.name == name) return &file;
    }
    return nullptr;
  }

  void ReadManifest() {
    std::error_code failed;
    const std::string name = fs::path(request_.folder).filename();
    if (!fs::is_directory(request_.folder, failed)) return Note("", "there is no such backup");
    if (!IsBackupId(name)) return Note("", "the folder's name is none of a backup");
    auto text = ReadWholeFile(request_.folder + "/" + std::string(kManifestFile), kLargestManifest);
    if (!text) {
      const bool missing = text.error().code == Errc::kNoData;
      if (missing) return Note(std::string(kManifestFile), "is missing");
      return Note(std::string(kManifestFile), text.error());
    }
    auto manifest = ParseManifest(*text);
    if (!manifest) return Note(std::string(kManifestFile), manifest.error().message);
    if (manifest->id != name) {
      return Note(std::string(kManifestFile), "is of another backup, " + manifest->id);
    }
    report_.manifest = std::move(*manifest);
  }

  void ListFolder() {
    // The second is of a proof whose writing a crash has ended.
    std::set<std::string> known = {std::string(kManifestFile),
                                   TemporaryNameOf(std::string(kManifestFile))};
    for (const BackupFile& file : report_.manifest->files) known.insert(file.name);
    std::error_code failed;
    std::vector<std::string> strangers;
    for (fs::directory_iterator each(request_.folder, failed), end; !failed && each != end;
         each.increment(failed)) {
      const std::string name = each->path().filename();
      if (!known.contains(name)) strangers.push_back(name);
    }
    if (failed) {
      failure_ = Error(Errc::kUnavailable,
                       "folder " + request_.folder + " cannot be read: " + failed.message());
    }
    std::sort(strangers.begin(), strangers.end());
    for (const std::string& name : strangers) Note(HarmlessLine(name), "is not in the manifest");
  }

  void CheckFile(const BackupFile& file) {
    ++report_.files;
    Result<void> checked;
    if (!report_.contents_read || !IsContent(file)) {
      checked = CheckStoredFile(request_.folder, file, stop_);
    } else {
      checked = CheckContent(file);
    }
    if (!checked && !stop_.stopped()) Note(file.name, checked.error());
    report_.bytes += file.bytes;
    if (request_.progress) request_.progress(file.bytes);
  }

  // A program's words come second to those about the file: whoever damaged it has damaged both.
  Result<void> FirstOfFile(const BackupFile& file, const Error& error) {
    auto stored = CheckStoredFile(request_.folder, file, stop_);
    return stored ? Result<void>(error) : stored;
  }

  Result<void> CheckContent(const BackupFile& file) {
    auto stream = StoredStream::Open(request_.folder, file, request_.identity, stop_);
    if (!stream) return FirstOfFile(file, stream.error());
    const BackupDatabase* database = DatabaseOf(file);
    const bool custom = database && database->format == "custom";
    Result<Fed> fed = Fed();
    if (custom) {
      StreamChildSpec spec({request_.pg_restore, "-f", "/dev/null"});
      spec.environment = PgProgramEnvironment();
      fed = FeedProgram(**stream, std::move(spec), stop_, {});
    } else {
      fed = ReadThrough(**stream, {});
    }
    if (!fed) return FirstOfFile(file, fed.error());
    const bool ended =
        custom || (database ? HasDumpTrailer(fed->tail) : HasGlobalsTrailer(fed->tail));
    if (!ended) return Error(Errc::kQueryFailed, "holds a text whose end is missing");
    if (database && fed->bytes != database->dump_bytes) {
      return Error(Errc::kQueryFailed, "holds a dump of " + std::to_string(fed->bytes) +
                                           " bytes instead of " +
                                           std::to_string(database->dump_bytes));
    }
    return Result<void>();
  }

  bool IsContent(const BackupFile& file) const {
    return file.name == report_.manifest->globals || DatabaseOf(file) != nullptr;
  }
  const BackupDatabase* DatabaseOf(const BackupFile& file) const {
    for (const BackupDatabase& database : report_.manifest->databases) {
      if (database.file == file.name) return &database;
    }
    return nullptr;
  }

  // The manifest vouches for its bytes; this is for `sha256sum -c` of those without pgsteward.
  void CheckSums() {
    const std::string name(kChecksumFile);
    if (!Find(name)) return;
    auto text = ReadWholeFile(request_.folder + "/" + name);
    if (!text) return;  // is missing, and that is noted
    std::multiset<std::string> lines;
    std::istringstream stream(*text);
    for (std::string line; std::getline(stream, line);) lines.insert(line);
    std::multiset<std::string> wanted;
    for (const BackupFile& file : report_.manifest->files) {
      if (file.name != name) wanted.insert(file.sha256 + "  " + file.name);
    }
    if (lines != wanted) Note(name, "does not list the files of the manifest");
  }

  const VerifyRequest& request_;
  StopSwitch& stop_;
  VerifyReport report_;
  std::optional<Error> failure_;  // of the machine
};

}  // namespace

Result<VerifyReport> VerifyBackup(const VerifyRequest& request, StopSwitch& stop) {
  return Verification(request, stop).Run();
}

}  // namespace pgsteward
