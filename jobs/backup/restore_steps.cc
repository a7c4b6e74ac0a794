#include "jobs/backup/restore_steps.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/fd.h"
#include "jobs/backup/plain_dump.h"
#include "jobs/backup/stored_stream.h"

namespace pgsteward {

namespace {

constexpr std::size_t kLargestGlobals = std::size_t{64} << 20;
constexpr std::size_t kBlock = std::size_t{256} << 10;
constexpr int kSpoolFd = 5;  // in pg_restore; those of ChildConnection are before it

const BackupFile* FindFile(const Manifest& manifest, const std::string& name) {
  for (const BackupFile& file : manifest.files) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

Error About(const std::string& file, Error error) {
  if (error.code != Errc::kTimeout) error.message = file + " " + error.message;
  return error;
}

Result<std::unique_ptr<StoredStream>> OpenStored(const RestoreSource& source,
                                                 const std::string& name, StopSwitch& stop) {
  const BackupFile* file = FindFile(*source.manifest, name);
  if (!file) return Error(Errc::kQueryFailed, name + " is not in the manifest");
  auto stream = StoredStream::Open(source.folder, *file, source.identity, stop);
  if (!stream) return About(name, stream.error());
  return stream;
}

// A decrypted dump: without a name, so that it is gone whenever its last holder ends.
class SpoolFile {
 public:
  explicit SpoolFile(std::string folder) : folder_(std::move(folder)) {}

  Result<void> Fill(StoredStream& stream) {
    std::string path = folder_ + "/pgsteward.XXXXXX";
    fd_ = Fd(::mkostemp(path.data(), O_CLOEXEC));  // mode 0600
    if (!fd_.open() || ::unlink(path.c_str()) != 0) return Cannot();
    std::vector<std::byte> block(kBlock);
    for (;;) {
      auto n = stream.Read(block);
      if (!n) return n.error();
      if (*n == 0) return Result<void>();
      errno = WriteAll(fd_.get(), std::span(block.data(), *n));
      if (errno != 0) return Cannot();
    }
  }
  int fd() const { return fd_.get(); }

 private:
  Error Cannot() const {
    return Error(Errc::kUnavailable,
                 "cannot be decrypted to a file in " + folder_ + ": " + std::strerror(errno));
  }
  std::string folder_;
  Fd fd_;
};

std::vector<std::string> RestoreArgv(const RestoreStep& step) {
  std::vector<std::string> argv = {step.pg_restore, "--exit-on-error", "--no-password"};
  if (step.into.empty()) argv.emplace_back("--create");
  if (step.jobs > 1) argv.push_back("--jobs=" + std::to_string(step.jobs));
  return argv;
}

StreamChildSpec PsqlSpec(const RestoreStep& step, const std::string& database) {
  return step.program(
      {step.psql, "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"},
      database);
}

Result<std::uint64_t> RestorePlain(const RestoreSource& source, const BackupDatabase& database,
                                   const RestoreStep& step, StopSwitch& stop) {
  if (!step.into.empty()) {
    return Error(Errc::kUnsupported, "a dump in plain format makes its database under its own name",
                 {}, "Restore it under that name, into another server if there is one already.");
  }
  // psql commits what it has read of a text that was cut off: look at its end first.
  auto stream = OpenStored(source, database.file, stop);
  if (!stream) return stream.error();
  auto seen = ReadThrough(**stream, {});
  if (!seen) return About(database.file, seen.error());
  if (!HasDumpTrailer(seen->tail)) {
    return Error(Errc::kQueryFailed, database.file + " holds a text whose end is missing");
  }
  stream = OpenStored(source, database.file, stop);
  if (!stream) return stream.error();
  PlainDump dump(**stream);
  auto fed = FeedProgram(dump, PsqlSpec(step, step.maintenance), stop, step.progress);
  if (!fed) return About(database.file, fed.error());
  return fed->bytes;
}

Result<std::uint64_t> RestoreFromFile(const RestoreSource& source, const BackupDatabase& database,
                                      const RestoreStep& step, StopSwitch& stop) {
  auto stream = OpenStored(source, database.file, stop);
  if (!stream) return stream.error();
  SpoolFile spool(step.spool);
  auto filled = spool.Fill(**stream);
  if (filled) filled = step.spool_owner.Own(PathOfFd(spool.fd()));
  if (!filled) return About(database.file, filled.error());
  std::vector<std::string> argv = RestoreArgv(step);
  // Each of its processes opens it anew.
  argv.push_back(PathOfFd(kSpoolFd));
  StreamChildSpec spec =
      step.program(std::move(argv), step.into.empty() ? step.maintenance : step.into);
  spec.inherited.push_back({spool.fd(), kSpoolFd});
  auto done = FeedText("", std::move(spec), stop);
  if (!done) return About(database.file, done.error());
  if (step.progress) step.progress(database.dump_bytes);
  return database.dump_bytes;
}

}  // namespace

Result<std::string> ReadGlobals(const RestoreSource& source, StopSwitch& stop) {
  const std::string& name = source.manifest->globals;
  if (name.empty()) return std::string();
  auto stream = OpenStored(source, name, stop);
  if (!stream) return stream.error();
  auto text = ReadAll(**stream, kLargestGlobals);
  if (!text) return About(name, text.error());
  if (!HasGlobalsTrailer(*text)) {
    return Error(Errc::kQueryFailed, name + " holds a text whose end is missing");
  }
  return text;
}

Result<void> RunSql(const RestoreStep& step, std::string_view sql, const std::string& database,
                    StopSwitch& stop) {
  return FeedText(sql, PsqlSpec(step, database), stop);
}

Result<std::uint64_t> RestoreDatabase(const RestoreSource& source, const BackupDatabase& database,
                                      const RestoreStep& step, StopSwitch& stop) {
  if (database.format == "plain") return RestorePlain(source, database, step, stop);
  if (step.jobs > 1) return RestoreFromFile(source, database, step, stop);
  auto stream = OpenStored(source, database.file, stop);
  if (!stream) return stream.error();
  StreamChildSpec spec =
      step.program(RestoreArgv(step), step.into.empty() ? step.maintenance : step.into);
  auto fed = FeedProgram(**stream, std::move(spec), stop, step.progress);
  if (!fed) return About(database.file, fed.error());
  return fed->bytes;
}

}  // namespace pgsteward
