"""Backups as docs/backups.md describes them, made without our program."""

import datetime
import hashlib
import json

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
SENTINEL = "pgsteward backups, format 1\n"  # of the file PGSTEWARD-BACKUPS
RECIPIENTS = ("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
              "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def backup_id(days):
    return (NOW - datetime.timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ-") + f"{days:04x}"


def manifest(days, system_identifier, verdict="proven", anomaly="", database="hub"):
    at = NOW - datetime.timedelta(days=days)
    proofs = [{"verdict": verdict, "reason": "" if verdict == "proven" else "rows are missing",
               "at": iso(at), "restore_seconds": 1.5,
               "phases": [{"name": "restore", "text": "1.5"}], "host": "drill1"}]
    files = [{"name": "globals.sql.zst.age", "bytes": 10, "sha256": "a" * 64},
             {"name": "hub-16384.dump.zst.age", "bytes": 1000, "sha256": "b" * 64}]
    return signed({
        "format": 1, "id": backup_id(days), "server": "hub", "job": "backup", "run_id": "r",
        "system_identifier": system_identifier, "timeline": 1, "server_version": 150018,
        "pg_dump_version": "15.18", "pgsteward_version": "0.1.0", "host": "db1",
        "started": iso(at), "finished": iso(at), "compression": "zstd:3", "encryption": "age",
        "recipients": list(RECIPIENTS), "globals": "globals.sql.zst.age", "role_passwords": True,
        "databases": [{
            "name": database, "oid": 16384, "file": "hub-16384.dump.zst.age", "format": "custom",
            "dump_bytes": 5000, "database_bytes": 9000, "snapshot": "00000003-00000B56-1",
            "snapshot_at": iso(at), "purge_until": iso(at), "lsn": "0/1949F80", "encoding": "UTF8", "collate": "C",
            "ctype": "C", "owner": "postgres",
            "tables": [{"schema": "public", "name": "messages", "rows": 12, "bytes": 8192}],
            "extensions": [], "settings": [], "properties": [], "acl": "", "invalid_indexes": [],
            "unvalidated_constraints": []}],
        "files": files, "proofs": proofs if verdict else [], "anomaly": anomaly})


def signed(content):
    front = json.dumps(content, indent=2)[:-len("\n}")] + ",\n"
    return front + f'  "sha256": "{hashlib.sha256(front.encode()).hexdigest()}"\n}}\n'
