#include "jobs/backup/restore_text.h"

#include <algorithm>

#include "core/iso_time.h"
#include "core/terminal_text.h"
#include "jobs/backup/restore_plan.h"

namespace pgsteward {

namespace {

std::string Command(const std::string& text) { return "    " + text + "\n"; }

// The stored file as a stream of what it was made from.
std::string Opened(const Manifest& manifest, const std::string& file) {
  if (manifest.encryption == "age")
    return "age -d -i \"$KEY\" " + ShellQuoted(file) + " | zstd -dc";
  if (manifest.encryption == "gpg") return "gpg --batch -d " + ShellQuoted(file) + " | zstd -dc";
  return "zstd -dc " + ShellQuoted(file);
}

std::string Head(const Manifest& manifest) {
  std::string text = "Backup " + manifest.id + " of the PostgreSQL server " +
                     HarmlessLine(manifest.server) + "\n\n";
  text += "Taken on " + HarmlessLine(manifest.host) + " by pgsteward " +
          manifest.pgsteward_version + ", with pg_dump " + manifest.pg_dump_version + ", from " +
          UtcText(manifest.started) + " to " + UtcText(manifest.finished) + ".\n";
  text += "It holds all that was committed by " + UtcText(manifest.covers_until()) + ".\n\n";
  text += "Databases:\n";
  for (const BackupDatabase& database : manifest.databases) {
    long long rows = 0;
    for (const BackupTable& table : database.tables) rows += table.rows;
    text += "  " + HarmlessLine(database.name) + ": " + std::to_string(database.tables.size()) +
            " tables, " + std::to_string(rows) + " rows, a dump of " +
            std::to_string(database.dump_bytes) + " bytes in " + database.file + "\n";
  }
  text += "Roles and tablespaces: " + manifest.globals;
  if (!manifest.role_passwords) text += ", WITHOUT the roles' passwords: set them anew";
  text += "\n";
  if (manifest.encryption != "none") {
    text += "\nAll of it is encrypted with " + manifest.encryption +
            ". One of the private keys of these public keys opens it:\n";
    for (const std::string& key : manifest.recipients) text += "  " + HarmlessLine(key) + "\n";
  }
  return text;
}

std::string RestoreDatabase(const Manifest& manifest, const BackupDatabase& database) {
  std::string text;
  const std::string shown = HarmlessLine(database.name);
  if (database.format == "plain") {
    text +=
        "Database " + shown + ". The first command must say \"whole\": a dump that was cut off\n";
    text += "restores without a word. The second one REPLACES a database of that name.\n\n";
    text += Command(Opened(manifest, database.file) +
                    " | tail -c 1000 | grep -q '^-- PostgreSQL database dump complete$' "
                    "&& echo whole");
    text +=
        Command(Opened(manifest, database.file) + " | psql -X -q -v ON_ERROR_STOP=1 -d postgres");
  } else {
    text += "Database " + shown + ". It must not be there yet; pg_restore makes it.\n\n";
    text += Command(Opened(manifest, database.file) +
                    " | pg_restore --create --exit-on-error -d postgres");
  }
  return text;
}

}  // namespace

std::string RestoreText(const Manifest& manifest) {
  const std::string major = std::to_string(manifest.server_version / 10000);
  std::string text = Head(manifest);
  text += "\nHOW TO RESTORE IT\n\n";
  text += "Nothing but Debian packages is needed: postgresql-" + major + " (or a newer one), zstd";
  if (manifest.encryption == "age") text += ", age";
  if (manifest.encryption == "gpg") text += ", gnupg";
  text += ".\nExtensions that were there, to be installed as packages too:\n ";
  for (const BackupDatabase& database : manifest.databases) {
    for (const NamedText& extension : database.extensions) {
      text += " " + HarmlessLine(extension.name) + " " + HarmlessLine(extension.text) + ",";
    }
  }
  text.back() = text.back() == ',' ? '\n' : ' ';
  if (text.back() != '\n') text += "none\n";
  text += "\nEnter the commands (the lines that are set in) one after another, in bash, in this\n";
  text += "folder, as a user who is a superuser of the new server (such as postgres). PGHOST and\n";
  text += "PGPORT say which server that is.\n\n";
  text += "1. Where the private key is. Put the right path.\n\n";
  if (manifest.encryption == "age") text += Command("KEY=/path/to/age-key.txt");
  if (manifest.encryption == "gpg") text += Command("export GNUPGHOME=~/.gnupg");
  text += Command("set -o pipefail");
  text += "\n2. Whether all files are whole. Every line must say OK.\n\n";
  text += Command("sha256sum -c " + std::string(kSumsFile));
  text +=
      "\n3. Roles and tablespaces. \"already exists\" is no harm; make the folders of "
      "tablespaces\n";
  text += "first, where there are any.\n\n";
  text += Command(Opened(manifest, manifest.globals) + " | psql -X -q -d postgres");
  text +=
      "\n4. The databases. A command that fails has restored nothing that can be used: drop the\n";
  text += "database, find the cause, and enter it again.\n\n";
  for (const BackupDatabase& database : manifest.databases) {
    text += RestoreDatabase(manifest, database) + "\n";
  }
  text += "5. Statistics, without which queries are slow.\n\n";
  text += Command("vacuumdb --all --analyze-in-stages");
  text +=
      "\nFaster, where there is room for a dump in plaintext on a disk that nobody else reads:\n";
  text += "write what comes out of zstd to a file, and give that to pg_restore with --jobs=4.\n";
  text += "\nIndexes that were invalid are not in a dump; ";
  std::string missing;
  for (const BackupDatabase& database : manifest.databases) {
    for (const std::string& index : database.invalid_indexes) {
      missing += "  " + HarmlessLine(database.name) + ": " + HarmlessLine(index) + "\n";
    }
  }
  text += missing.empty() ? "there were none.\n" : "make them anew:\n" + missing;
  text += "What else is known stands in manifest.json.\n";
  return text;
}

std::string ChecksumText(const Manifest& manifest) {
  std::string text;
  for (const BackupFile& file : manifest.files) {
    if (file.name != kSumsFile) text += file.sha256 + "  " + file.name + "\n";
  }
  return text;
}

}  // namespace pgsteward
