#include "tests/jobs/backup/manifest_sample.h"

#include <stdexcept>

#include "core/iso_time.h"

namespace pgsteward {

WallTime TimeOf(std::string_view text) {
  const auto time = ParseIsoMicros(text);
  if (!time) throw std::logic_error("no time: " + std::string(text));
  return *time;
}

Manifest SampleManifest(std::string id, std::string server) {
  Manifest manifest;
  manifest.id = std::move(id);
  manifest.server = std::move(server);
  manifest.job = "nightly_backup";
  manifest.run_id = "6c0a2f6e-6c57-4a57-8f0e-5ad6b2a0a1d1";
  manifest.system_identifier = "7450000000000000001";
  manifest.timeline = 1;
  manifest.server_version = 150018;
  manifest.pg_dump_version = "15.18";
  manifest.pgsteward_version = "0.1.0";
  manifest.host = "db1";
  manifest.started = TimeOf("2026-11-25T03:00:00.000000Z");
  manifest.finished = TimeOf("2026-11-25T03:01:30.500000Z");
  manifest.compression = "zstd:3";
  manifest.encryption = "age";
  manifest.recipients = {"age1one", "age1two"};
  manifest.globals = "globals.sql.zst.age";
  BackupDatabase hub;
  hub.name = "hub";
  hub.oid = 16384;
  hub.file = "hub-16384.dump.zst.age";
  hub.format = "custom";
  hub.dump_bytes = 1'000'000;
  hub.database_bytes = 2'000'000;
  hub.snapshot = "00000003-00000B56-1";
  hub.snapshot_at = TimeOf("2026-11-25T03:00:01.123456Z");
  hub.purge_until = TimeOf("2026-11-25T03:00:00.000000Z");
  hub.lsn = "0/1949F80";
  hub.encoding = "UTF8";
  hub.collate = "C.UTF-8";
  hub.ctype = "C.UTF-8";
  hub.owner = "postgres";
  hub.tables = {{"public", "messages", 100'000, 900'000}, {"public", "users", 1'000, 90'000}};
  hub.extensions = {{"pgcrypto", "1.3"}};
  hub.settings = {{"hub search_path", "public"}};
  hub.properties = {{"comment", "the hub"}, {"connection_limit", "90"}};
  hub.acl = "GRANT CONNECT ON DATABASE hub TO app";
  hub.invalid_indexes = {"public.half_built"};
  hub.unvalidated_constraints = {"public.messages.old_rows"};
  manifest.databases = {hub};
  manifest.files = {{"RESTORE.txt", 2'000, std::string(64, 'a')},
                    {"globals.sql.zst.age", 3'000, std::string(64, 'b')},
                    {"hub-16384.dump.zst.age", 400'000, std::string(64, 'c')}};
  BackupProof proof;
  proof.verdict = "proven";
  proof.at = TimeOf("2026-11-25T05:00:00.000000Z");
  proof.restore_seconds = 12.5;
  proof.phases = {{"restore", "10.5"}, {"analyze", "2"}};
  proof.host = "drill1";
  manifest.proofs = {proof};
  return manifest;
}

}  // namespace pgsteward
