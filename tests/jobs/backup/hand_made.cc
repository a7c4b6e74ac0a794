#include "tests/jobs/backup/hand_made.h"

#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "core/pg_text.h"
#include "core/sha256.h"
#include "jobs/backup/verify.h"
#include "tests/support/private_postgres.h"
#include "tests/support/spawn.h"

namespace pgsteward {

namespace fs = std::filesystem;

namespace {

std::string Word(const std::string& text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::string Id(int number) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "20261101T%02d%02d00Z-%04x", number / 60, number % 60,
                number);
  return text.data();
}

BackupDatabase Facts(const std::string& name) {
  PgClient db = Postgres().Connect(name);
  BackupDatabase facts;
  facts.name = name;
  facts.oid = static_cast<std::uint32_t>(
      std::stoul(db.Value("SELECT oid FROM pg_database WHERE datname = current_database()")));
  facts.snapshot_at = WallNow();
  facts.lsn = db.Value("SELECT pg_current_wal_lsn()");
  facts.encoding = db.Value("SHOW server_encoding");
  facts.collate = db.Value("SELECT datcollate FROM pg_database WHERE datname = current_database()");
  facts.ctype = db.Value("SELECT datctype FROM pg_database WHERE datname = current_database()");
  facts.owner = db.Value(
      "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()");
  facts.database_bytes = std::stoull(db.Value("SELECT pg_database_size(current_database())"));
  const PgResult tables = db.Exec(
      "SELECT n.nspname, c.relname, pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n "
      "ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname "
      "!~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d "
      "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY "
      "1, 2");
  for (int row = 0; row < tables.rows(); ++row) {
    BackupTable table;
    table.schema = tables.Text(row, 0);
    table.name = tables.Text(row, 1);
    table.bytes = std::stoull(std::string(tables.Text(row, 2)));
    table.rows = std::stoll(db.Value("SELECT count(*) FROM ONLY " + QuoteIdentifier(table.schema) +
                                     "." + QuoteIdentifier(table.name)));
    facts.tables.push_back(std::move(table));
  }
  const PgResult extensions = db.Exec("SELECT extname, extversion FROM pg_extension ORDER BY 1");
  for (int row = 0; row < extensions.rows(); ++row) {
    facts.extensions.push_back(
        {std::string(extensions.Text(row, 0)), std::string(extensions.Text(row, 1))});
  }
  return facts;
}

}  // namespace

std::string Shell(const std::string& command) {
  const Finished ended = RunProgram({"bash", "-c", "set -euo pipefail; " + command});
  if (ended.exit_code != 0) throw std::runtime_error(command + ": " + ended.output);
  return ended.output;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

BackupWorld::BackupWorld(std::string server) : server_(std::move(server)) {
  folder_ = "/tmp/pgsw.XXXXXX";
  if (!::mkdtemp(folder_.data())) throw std::runtime_error("no folder");
  ::chmod(folder_.c_str(), 0755);  // the server's user must get to its scratch folder
  fs::create_directory(scratch());
  if (!MakeSentinel(target())) throw std::runtime_error("no target");
  fs::create_directory(place().Root());
  key_ = MakeKey("drill");
  other_ = MakeKey("offline");
}

BackupWorld::~BackupWorld() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

BackupPlace BackupWorld::place() const {
  BackupPlace place;
  place.target = target();
  place.server = server_;
  return place;
}

Identity BackupWorld::identity() const {
  Identity identity;
  identity.path = key_.file;
  return identity;
}

AgeKey BackupWorld::MakeKey(const std::string& name) const {
  AgeKey key;
  key.file = folder_ + "/" + name + ".key";
  Shell("umask 077; age-keygen -o " + Word(key.file) + " 2>/dev/null");
  key.recipient = Shell("age-keygen -y " + Word(key.file));
  key.recipient.pop_back();
  return key;
}

std::string BackupWorld::Make(const HandMadeOptions& options) {
  const std::string id = Id(++made_);
  const std::string folder = Folder(id);
  fs::create_directories(folder);
  ::chmod(folder.c_str(), 0700);
  const std::string bin = Postgres().binaries();
  const std::string suffix = options.encrypted ? ".zst.age" : ".zst";
  const std::string seal =
      " | zstd -q -3 --check" +
      (options.encrypted ? " | age -r " + key_.recipient + " -r " + other_.recipient : "") + " > ";

  Manifest manifest;
  manifest.id = id;
  manifest.server = place().server;
  manifest.job = "backup";
  manifest.run_id = "00000000-0000-0000-0000-000000000000";
  manifest.system_identifier =
      Postgres().Value("SELECT system_identifier FROM pg_control_system()");
  manifest.timeline = 1;
  manifest.server_version = std::stoi(Postgres().Value("SHOW server_version_num"));
  manifest.pg_dump_version = "15";
  manifest.pgsteward_version = "test";
  manifest.host = "test";
  manifest.started = WallNow();
  manifest.compression = "zstd:3";
  manifest.encryption = options.encrypted ? "age" : "none";
  if (options.encrypted) manifest.recipients = {key_.recipient, other_.recipient};
  manifest.globals = "globals.sql" + suffix;
  Shell(bin + "/pg_dumpall --globals-only -d " + Word(Postgres().Conninfo()) + seal +
        Word(folder + "/" + manifest.globals));
  std::vector<std::string> names = {manifest.globals};
  for (const std::string& name : options.databases) {
    BackupDatabase database = Facts(name);
    const bool plain = options.format == "plain";
    database.format = options.format;
    database.file =
        FileNameOf(name) + "-" + std::to_string(database.oid) + (plain ? ".sql" : ".dump") + suffix;
    const std::string count = folder_ + "/count";
    Shell(bin + "/pg_dump " + (plain ? "--clean --create --if-exists" : "-Fc -Z0") + " -d " +
          Word(Postgres().Conninfo(name)) + " | tee >(wc -c > " + Word(count) + ")" + seal +
          Word(folder + "/" + database.file) + "; sleep 0.05");
    database.dump_bytes = std::stoull(ReadFile(count));
    names.push_back(database.file);
    manifest.databases.push_back(std::move(database));
  }
  WriteFile(folder + "/RESTORE.txt", "how to restore backup " + id + "\n");
  names.emplace_back("RESTORE.txt");
  std::string sums;
  for (const std::string& name : names) {
    BackupFile file;
    file.name = name;
    file.bytes = fs::file_size(folder + "/" + name);
    file.sha256 = *Sha256OfFile(folder + "/" + name);
    sums += file.sha256 + "  " + name + "\n";
    manifest.files.push_back(std::move(file));
  }
  WriteFile(folder + "/SHA256SUMS", sums);
  BackupFile file;
  file.name = "SHA256SUMS";
  file.bytes = sums.size();
  file.sha256 = Sha256Of(sums);
  manifest.files.push_back(std::move(file));
  manifest.finished = WallNow();
  Write(id, manifest);
  return id;
}

Manifest BackupWorld::Read(const std::string& id) const {
  return ParseManifest(ReadFile(Folder(id) + "/manifest.json")).value();
}

void BackupWorld::Write(const std::string& id, const Manifest& manifest) const {
  WriteFile(Folder(id) + "/manifest.json", ManifestJson(manifest));
}

}  // namespace pgsteward
