#include "jobs/backup/manifest.h"

#include <gtest/gtest.h>

#include <random>

#include "core/sha256.h"
#include "tests/jobs/backup/manifest_sample.h"

namespace pgsteward {
namespace {

constexpr std::string_view kSample =
    R"json({
  "format": 1,
  "id": "20261125T030000Z-7f3a",
  "server": "hub",
  "job": "nightly_backup",
  "run_id": "6c0a2f6e-6c57-4a57-8f0e-5ad6b2a0a1d1",
  "system_identifier": "7450000000000000001",
  "timeline": 1,
  "server_version": 150018,
  "pg_dump_version": "15.18",
  "pgsteward_version": "0.1.0",
  "host": "db1",
  "started": "2026-11-25T03:00:00.000000Z",
  "finished": "2026-11-25T03:01:30.500000Z",
  "compression": "zstd:3",
  "encryption": "age",
  "recipients": ["age1one", "age1two"],
  "globals": "globals.sql.zst.age",
  "role_passwords": true,
  "databases": [
    {
      "name": "hub",
      "oid": 16384,
      "file": "hub-16384.dump.zst.age",
      "format": "custom",
      "dump_bytes": 1000000,
      "database_bytes": 2000000,
      "snapshot": "00000003-00000B56-1",
      "snapshot_at": "2026-11-25T03:00:01.123456Z",
      "purge_until": "2026-11-25T03:00:00.000000Z",
      "lsn": "0/1949F80",
      "encoding": "UTF8",
      "collate": "C.UTF-8",
      "ctype": "C.UTF-8",
      "owner": "postgres",
      "tables": [
        {"schema": "public", "name": "messages", "rows": 100000, "bytes": 900000},
        {"schema": "public", "name": "users", "rows": 1000, "bytes": 90000}
      ],
      "extensions": [
        {"name": "pgcrypto", "text": "1.3"}
      ],
      "settings": [
        {"name": "hub search_path", "text": "public"}
      ],
      "properties": [
        {"name": "comment", "text": "the hub"},
        {"name": "connection_limit", "text": "90"}
      ],
      "acl": "GRANT CONNECT ON DATABASE hub TO app",
      "invalid_indexes": ["public.half_built"],
      "unvalidated_constraints": ["public.messages.old_rows"]
    }
  ],
  "files": [
    {"name": "RESTORE.txt", "bytes": 2000, "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {"name": "globals.sql.zst.age", "bytes": 3000, "sha256": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
    {"name": "hub-16384.dump.zst.age", "bytes": 400000, "sha256": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"}
  ],
  "proofs": [
    {
      "verdict": "proven",
      "reason": "",
      "at": "2026-11-25T05:00:00.000000Z",
      "restore_seconds": 12.5,
      "phases": [
        {"name": "restore", "text": "10.5"},
        {"name": "analyze", "text": "2"}
      ],
      "host": "drill1"
    }
  ],
  "anomaly": "",
)json";

// As ManifestJson ends it, for a front that somebody else wrote.
std::string Sealed(const std::string& front) {
  return front + "  \"sha256\": \"" + Sha256Of(front) + "\"\n}\n";
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string WhatIsWrong(const std::string& text) {
  const auto parsed = ParseManifest(text);
  return parsed ? "nothing" : parsed.error().message;
}

TEST(Manifest, IsWrittenLikeThis) {
  EXPECT_EQ(ManifestJson(SampleManifest()), Sealed(std::string(kSample)));
}

TEST(Manifest, ComesBackAsItWas) {
  const std::string text = ManifestJson(SampleManifest());
  const auto parsed = ParseManifest(text);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(ManifestJson(*parsed), text);
  EXPECT_TRUE(parsed->proven());
  EXPECT_EQ(parsed->stored_bytes(), 405'000U);
  EXPECT_EQ(parsed->covers_until(), TimeOf("2026-11-25T03:00:01.123456Z"));
}

TEST(Manifest, CoversWhatAllOfItsDatabasesCover) {
  Manifest manifest = SampleManifest();
  manifest.databases.push_back(manifest.databases.front());
  manifest.databases.back().snapshot_at -= std::chrono::seconds(1);
  EXPECT_EQ(manifest.covers_until(), TimeOf("2026-11-25T03:00:00.123456Z"));
  manifest.databases.clear();
  EXPECT_EQ(manifest.covers_until(), WallTime());
}

TEST(Manifest, TheLastProofCounts) {
  Manifest manifest = SampleManifest();
  manifest.proofs.push_back(manifest.proofs.front());
  manifest.proofs.back().verdict = "failed";
  EXPECT_FALSE(manifest.proven());
  manifest.proofs.clear();
  EXPECT_FALSE(manifest.proven());
}

TEST(Manifest, NamesOfAnyKindComeBack) {
  Manifest manifest = SampleManifest();
  std::string every;
  for (int c = 1; c < 256; ++c) every += static_cast<char>(c);
  for (const std::string& name :
       {std::string("a/b"), std::string("q\"'\\\n\t"), std::string("\xff\xfe"), every,
        std::string("{\"hex\": \"00\"}"), std::string("\xe2\x82\xac"), std::string()}) {
    manifest.databases[0].name = name;
    manifest.databases[0].tables[0].name = name;
    manifest.databases[0].invalid_indexes = {name};
    const auto parsed = ParseManifest(ManifestJson(manifest));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->databases[0].name, name);
    EXPECT_EQ(parsed->databases[0].tables[0].name, name);
    EXPECT_EQ(parsed->databases[0].invalid_indexes[0], name);
  }
}

TEST(Manifest, SaysWhatIsWrong) {
  const std::string front(kSample);
  const auto wrong = [&front](const std::string& from, const std::string& to) {
    return WhatIsWrong(Sealed(Replaced(front, from, to)));
  };
  EXPECT_EQ(WhatIsWrong(""), "no good manifest: its end is missing, it was cut off or changed");
  EXPECT_EQ(WhatIsWrong(Replaced(Sealed(front), "150018", "150019")),
            "no good manifest: its checksum is wrong, it was changed or damaged");
  EXPECT_EQ(wrong("\"format\": 1", "\"format\": 2"),
            "no good manifest: its format is 2, and this program reads 1");
  EXPECT_EQ(wrong("\"format\": 1", "\"id\": 1"),
            "no good manifest: it does not begin with its format");
  EXPECT_EQ(wrong("\"timeline\": 1", "\"timeline\": \"1\""),
            "no good manifest: timeline is no whole number from 0, or too large");
  EXPECT_EQ(wrong("\"oid\": 16384", "\"oid\": 4294967296"),
            "no good manifest: databases[0].oid is no whole number from 0, or too large");
  EXPECT_EQ(
      wrong("\"rows\": 1000,", "\"rows\": -1,"),
      "no good manifest: databases[0].tables[1].rows is no whole number from 0, or too large");
  EXPECT_EQ(wrong("\"role_passwords\": true", "\"role_passwords\": 1"),
            "no good manifest: role_passwords is neither true nor false");
  EXPECT_EQ(wrong("\"started\": \"2026-11-25T03:00:00.000000Z\"", "\"started\": \"yesterday\""),
            "no good manifest: started is no time like 2026-11-25T03:00:00.000000Z");
  EXPECT_EQ(wrong("  \"host\": \"db1\",\n", ""),
            "no good manifest: host is missing, or not in its place");
  EXPECT_EQ(wrong("\"anomaly\": \"\",", "\"anomaly\": \"\",\n  \"more\": 1,"),
            "no good manifest: more is not known here");
  EXPECT_EQ(wrong("\"rows\": 1000, ", "\"rows\": 1000, \"more\": 1, "),
            "no good manifest: databases[0].tables[1].bytes is missing, or not in its place");
  EXPECT_EQ(wrong("[\"age1one\", \"age1two\"]", "\"age1one\""),
            "no good manifest: recipients is no list");
  EXPECT_EQ(wrong("\"age1two\"", "2"), "no good manifest: recipients[1] is no text");
  EXPECT_EQ(wrong("\"owner\": \"postgres\"", "\"owner\": {\"hex\": \"0g\"}"),
            "no good manifest: databases[0].owner is no text");
  EXPECT_EQ(wrong("20261125T030000Z-7f3a", "../../etc"),
            "no good manifest: id is none of a backup");
  EXPECT_EQ(wrong("\"encryption\": \"age\"", "\"encryption\": \"rot13\""),
            "no good manifest: encryption is neither age, gpg nor none");
  for (const char* name : {"../../etc/passwd", "a/b", ".hidden", "", "a b", "manifest.json"}) {
    EXPECT_EQ(wrong("\"RESTORE.txt\"", "\"" + std::string(name) + "\""),
              "no good manifest: a file has a name that is none of a backup's files");
  }
  EXPECT_EQ(wrong("\"RESTORE.txt\"", "\"globals.sql.zst.age\""),
            "no good manifest: file globals.sql.zst.age stands there twice");
  EXPECT_EQ(wrong("\"globals\": \"globals.sql.zst.age\"", "\"globals\": \"other\""),
            "no good manifest: the file of globals is not among the files");
  EXPECT_EQ(wrong("\"file\": \"hub-16384.dump.zst.age\"", "\"file\": \"other\""),
            "no good manifest: the file of a database is not among the files");
  EXPECT_EQ(wrong("\"file\": \"hub-16384.dump.zst.age\"", "\"file\": \"globals.sql.zst.age\""),
            "no good manifest: file globals.sql.zst.age is used twice");
  EXPECT_EQ(wrong("\"sha256\": \"bb", "\"sha256\": \"BB"),
            "no good manifest: the sha256 of file globals.sql.zst.age is none");
  EXPECT_EQ(wrong("\"format\": \"custom\"", "\"format\": \"tar\""),
            "no good manifest: the format of hub-16384.dump.zst.age is neither custom nor plain");
  EXPECT_EQ(wrong("\"verdict\": \"proven\"", "\"verdict\": \"perhaps\""),
            "no good manifest: a verdict is neither proven nor failed");
  EXPECT_EQ(WhatIsWrong(Sealed("{\n  \"format\": 1,,\n")).substr(0, 27),
            "no good manifest: no JSON: ");
}

TEST(Manifest, NoChangeOfBytesPasses) {
  const std::string text = ManifestJson(SampleManifest());
  std::mt19937 random(11);
  for (std::size_t size = 0; size < text.size(); ++size) {
    ASSERT_FALSE(ParseManifest(text.substr(0, size))) << size;
  }
  for (int i = 0; i < 5'000; ++i) {
    std::string changed = text;
    switch (random() % 4) {
      case 0:
        changed[random() % text.size()] ^= static_cast<char>(1U << (random() % 8));
        break;
      case 1:
        changed.insert(random() % (text.size() + 1), 1, static_cast<char>(random()));
        break;
      case 2:
        changed.erase(random() % text.size(), 1 + random() % 40);
        break;
      default:
        std::swap(changed[random() % text.size()], changed[random() % text.size()]);
    }
    if (changed == text) continue;
    ASSERT_FALSE(ParseManifest(changed)) << changed;
  }
}

// Somebody who knows how to make the checksum right again.
TEST(Manifest, WhatIsReadOfChangedTextIsWrittenAsItWasRead) {
  const std::string front(kSample);
  const std::string bytes = "{}[]\":,0123456789-truefalsenull\\ueE.+ \nxyz/";
  std::mt19937 random(13);
  int read = 0;
  for (int i = 0; i < 3'000; ++i) {
    std::string changed = front;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      changed[random() % (front.size() - 2)] = bytes[random() % bytes.size()];
    }
    const auto parsed = ParseManifest(Sealed(changed));
    if (!parsed) continue;
    ++read;
    const auto again = ParseManifest(ManifestJson(*parsed));
    ASSERT_TRUE(again) << changed;
    ASSERT_EQ(ManifestJson(*again), ManifestJson(*parsed));
  }
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace pgsteward
