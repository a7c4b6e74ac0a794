#include "jobs/backup/restore_plan.h"

#include <algorithm>

#include "core/pg_text.h"
#include "core/terminal_text.h"
#include "jobs/backup/database_statements.h"

namespace pgsteward {

namespace {

constexpr std::string_view kPlain =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:@,%";

class Commands {
 public:
  Commands(const Manifest& manifest, const RestorePlan& plan) : manifest_(manifest), plan_(plan) {}

  std::vector<std::string> All() {
    Add("# backup " + manifest_.id + ", taken from PostgreSQL " + manifest_.pg_dump_version);
    Add("set -euo pipefail");
    Add("cd " + ShellWord(plan_.folder));
    Add("sha256sum --check --strict SHA256SUMS");
    if (!plan_.cluster.empty()) StartCluster();
    if (plan_.globals && !manifest_.globals.empty()) {
      // The superuser is there already: that one statement fails, which must not end it.
      Add(Plaintext(manifest_.globals) + " | " + Program("psql") +
          " --no-psqlrc --quiet --dbname=" + ShellWord(Conninfo("template1")));
    }
    for (const BackupDatabase& database : manifest_.databases) {
      const auto& only = plan_.databases;
      if (only.empty() || std::find(only.begin(), only.end(), database.name) != only.end()) {
        Restore(database);
      }
    }
    if (!plan_.cluster.empty()) {
      Add(Program("pg_ctl") + " --pgdata=" + ShellWord(plan_.cluster) + " --mode=fast stop");
    }
    return std::move(lines_);
  }

 private:
  void Add(std::string line) { lines_.push_back(std::move(line)); }
  std::string Program(const std::string& name) const {
    return plan_.bin.empty() ? name : ShellWord(plan_.bin + "/" + name);
  }
  std::string Conninfo(const std::string& database) const {
    const std::string server = plan_.cluster.empty()
                                   ? plan_.conninfo
                                   : "host=" + QuoteConninfo(plan_.cluster) + " user=postgres";
    return server + (server.empty() ? "" : " ") + "dbname=" + QuoteConninfo(database);
  }
  std::string Plaintext(const std::string& file) const {
    const std::string name = "./" + file;
    if (file.ends_with(".gpg")) {
      const std::string home =
          plan_.identity.empty() ? "" : " --homedir " + ShellWord(plan_.identity);
      return "gpg --batch --quiet" + home + " --decrypt " + ShellWord(name) +
             " | zstd --decompress --stdout";
    }
    if (file.ends_with(".age")) {
      const std::string key = plan_.identity.empty() ? "IDENTITY_FILE" : ShellWord(plan_.identity);
      return "age --decrypt --identity " + key + " " + ShellWord(name) +
             " | zstd --decompress --stdout";
    }
    return "zstd --decompress --stdout " + ShellWord(name);
  }

  void StartCluster() {
    const std::string data = " --pgdata=" + ShellWord(plan_.cluster);
    Add(Program("initdb") +
        " --auth-local=trust --auth-host=scram-sha-256 --no-locale "
        "--encoding=UTF8 --username=postgres" +
        data);
    Add(Program("pg_ctl") + data + " --wait --options=" +
        ShellWord("-c listen_addresses='' -c unix_socket_directories=" +
                  QuoteConninfo(plan_.cluster) + " -c archive_mode=off") +
        " start");
  }

  void Restore(const BackupDatabase& database) {
    const std::string source = Plaintext(database.file);
    const std::string name = plan_.as.empty() ? database.name : plan_.as;
    const std::string beside = name == "template1" ? "postgres" : "template1";
    if (database.format == "plain") {
      Add("# the text itself begins with DROP DATABASE IF EXISTS and CREATE DATABASE of " +
          HarmlessLine(database.name));
      // psql commits what it has read of a text that was cut off.
      Add(source + " | tail --lines=20 | grep 'PostgreSQL database dump complete'");
      Add(source + " | " + Program("psql") +
          " --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname=" + ShellWord(Conninfo(beside)));
    } else {
      std::string into = " --create --dbname=" + ShellWord(Conninfo(beside));
      if (!plan_.as.empty()) {
        Sql(beside, CreateDatabaseStatement(database, name, {manifest_.server_version}));
        into = " --dbname=" + ShellWord(Conninfo(name));
      } else if (!plan_.cluster.empty() && (name == "postgres" || name == "template1")) {
        // Made by initdb; the dump's takes its place.
        Sql(beside, "UPDATE pg_database SET datistemplate = false WHERE datname = '" + name + "'");
        Sql(beside, "DROP DATABASE " + name);
      }
      if (plan_.jobs > 1) {
        const std::string spool =
            (plan_.spool.empty() ? "/var/tmp" : plan_.spool) + "/" + manifest_.id + ".dump";
        Add("( umask 077; " + source + " > " + ShellWord(spool) + " )");
        Add(Program("pg_restore") + " --exit-on-error --jobs=" + std::to_string(plan_.jobs) + into +
            " " + ShellWord(spool));
        Add("rm " + ShellWord(spool));
      } else {
        Add(source + " | " + Program("pg_restore") + " --exit-on-error" + into);
      }
    }
    Add(Program("vacuumdb") + " --analyze-only --dbname=" + ShellWord(Conninfo(name)));
  }

  void Sql(const std::string& database, const std::string& sql) {
    Add(Program("psql") + " --no-psqlrc --dbname=" + ShellWord(Conninfo(database)) +
        " --command=" + ShellWord(sql));
  }

  const Manifest& manifest_;
  const RestorePlan& plan_;
  std::vector<std::string> lines_;
};

}  // namespace

std::string ShellWord(std::string_view text) {
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  return ShellQuoted(text);
}

std::string ShellQuoted(std::string_view text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

std::vector<std::string> RestoreCommands(const Manifest& manifest, const RestorePlan& plan) {
  return Commands(manifest, plan).All();
}

}  // namespace pgsteward
