// The members of manifest.json, once for writing and for reading: `fields` is called with each name
// and the variable of it.
#pragma once

#include "jobs/backup/manifest.h"

namespace pgsteward {

template <class Fields>
void Describe(Fields& fields, BackupFile& file) {
  fields("name", file.name);
  fields("bytes", file.bytes);
  fields("sha256", file.sha256);
}

template <class Fields>
void Describe(Fields& fields, BackupTable& table) {
  fields("schema", table.schema);
  fields("name", table.name);
  fields("rows", table.rows);
  fields("bytes", table.bytes);
}

template <class Fields>
void Describe(Fields& fields, NamedText& text) {
  fields("name", text.name);
  fields("text", text.text);
}

template <class Fields>
void Describe(Fields& fields, BackupDatabase& database) {
  fields("name", database.name);
  fields("oid", database.oid);
  fields("file", database.file);
  fields("format", database.format);
  fields("dump_bytes", database.dump_bytes);
  fields("database_bytes", database.database_bytes);
  fields("snapshot", database.snapshot);
  fields("snapshot_at", database.snapshot_at);
  fields("purge_until", database.purge_until);
  fields("lsn", database.lsn);
  fields("encoding", database.encoding);
  fields("collate", database.collate);
  fields("ctype", database.ctype);
  fields("owner", database.owner);
  fields("tables", database.tables);
  fields("extensions", database.extensions);
  fields("settings", database.settings);
  fields("properties", database.properties);
  fields("acl", database.acl);
  fields("invalid_indexes", database.invalid_indexes);
  fields("unvalidated_constraints", database.unvalidated_constraints);
}

template <class Fields>
void Describe(Fields& fields, BackupProof& proof) {
  fields("verdict", proof.verdict);
  fields("reason", proof.reason);
  fields("at", proof.at);
  fields("restore_seconds", proof.restore_seconds);
  fields("phases", proof.phases);
  fields("host", proof.host);
}

template <class Fields>
void Describe(Fields& fields, Manifest& manifest) {
  fields("format", manifest.format);
  fields("id", manifest.id);
  fields("server", manifest.server);
  fields("job", manifest.job);
  fields("run_id", manifest.run_id);
  fields("system_identifier", manifest.system_identifier);
  fields("timeline", manifest.timeline);
  fields("server_version", manifest.server_version);
  fields("pg_dump_version", manifest.pg_dump_version);
  fields("pgsteward_version", manifest.pgsteward_version);
  fields("host", manifest.host);
  fields("started", manifest.started);
  fields("finished", manifest.finished);
  fields("compression", manifest.compression);
  fields("encryption", manifest.encryption);
  fields("recipients", manifest.recipients);
  fields("globals", manifest.globals);
  fields("role_passwords", manifest.role_passwords);
  fields("databases", manifest.databases);
  fields("files", manifest.files);
  fields("proofs", manifest.proofs);
  fields("anomaly", manifest.anomaly);
}

}  // namespace pgsteward
