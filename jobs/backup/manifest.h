// What a backup says of itself: manifest.json, the last file of a backup that is written, and so
// the record that it is whole. Documented in docs/backups.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"

namespace pgsteward {

// A stored file of the backup, as it lies in the folder (compressed and encrypted).
struct BackupFile {
  std::string name;  // in the backup's folder; no slash
  std::uint64_t bytes = 0;
  std::string sha256;

  bool operator==(const BackupFile&) const = default;
};

struct BackupTable {
  std::string schema;
  std::string name;
  long long rows = 0;       // counted in the dump's snapshot
  std::uint64_t bytes = 0;  // pg_table_size at that time
};

struct NamedText {
  std::string name;
  std::string text;
};

struct BackupDatabase {
  std::string name;
  std::uint32_t oid = 0;
  std::string file;                  // BackupFile::name
  std::string format;                // "custom" or "plain"
  std::uint64_t dump_bytes = 0;      // of pg_dump's stream, before compression
  std::uint64_t database_bytes = 0;  // pg_database_size
  std::string snapshot;              // the exported one, "00000003-00000B56-1"
  WallTime snapshot_at;              // by the server's clock
  // What began before this, by the server's clock, is in it when it was committed at all: a
  // transaction under way at the snapshot is not, and its rows bear its start. Purging relies on
  // it.
  WallTime purge_until;
  std::string lsn;       // pg_current_wal_lsn then, "0/1949F80"
  std::string encoding;  // "UTF8"
  std::string collate;
  std::string ctype;
  std::string owner;
  std::vector<BackupTable> tables;    // ordinary ones and partitions, by schema and name
  std::vector<NamedText> extensions;  // name, version
  std::vector<NamedText> settings;    // ALTER DATABASE/ROLE IN DATABASE SET: "role name=value"
  std::vector<NamedText> properties;  // of the database, where they are not the default: see docs
  std::string acl;                    // of the database itself, as SQL; empty: the default
  std::vector<std::string> invalid_indexes;  // schema.name of those that no dump holds
  // schema.table.name of those that were NOT VALID, and are so when restored.
  std::vector<std::string> unvalidated_constraints;
};

// What restoring it once has shown.
struct BackupProof {
  std::string verdict;  // "proven" or "failed"
  std::string reason;   // of "failed": the first thing that was wrong
  WallTime at;
  double restore_seconds = 0;     // RTO as measured
  std::vector<NamedText> phases;  // name, seconds as text
  std::string host;
};

struct Manifest {
  int format = 1;      // of this file
  std::string id;      // "20261125T030000Z-7f3a": the folder's name; UTC, sorts by time
  std::string server;  // its name in the configuration
  std::string job;     // the job that took it
  std::string run_id;
  std::string system_identifier;
  int timeline = 0;
  int server_version = 0;       // 150018
  std::string pg_dump_version;  // "15.18"
  std::string pgsteward_version;
  std::string host;  // that took it
  WallTime started;
  WallTime finished;
  std::string compression;              // "zstd:3"
  std::string encryption;               // "age", "gpg" or "none"
  std::vector<std::string> recipients;  // fingerprints: see encryption.h
  std::string globals;                  // BackupFile::name of pg_dumpall --globals-only
  bool role_passwords = true;           // false: pg_authid was denied, globals lack them
  std::vector<BackupDatabase> databases;
  std::vector<BackupFile> files;    // all but the manifest itself
  std::vector<BackupProof> proofs;  // oldest first; the last one counts
  std::string anomaly;              // why older backups must be kept: "rows of public.messages ..."

  // Readable to its end while it was taken: nothing is published that was not.
  bool proven() const { return !proofs.empty() && proofs.back().verdict == "proven"; }
  // The moment up to which every committed row is in it: the earliest snapshot of its databases.
  WallTime covers_until() const;
  std::uint64_t stored_bytes() const;
};

inline constexpr std::string_view kManifestFile = "manifest.json";

// The text ends with a checksum of itself, so that a change of a byte shows.
std::string ManifestJson(const Manifest& manifest);
// kQueryFailed and what is wrong: no JSON, a wrong checksum, a field of the wrong type, a newer
// format, names with slashes.
Result<Manifest> ParseManifest(std::string_view text);

}  // namespace pgsteward
