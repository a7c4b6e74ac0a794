// The commands that restore a backup, with stock programs only: what `pgsteward backup restore
// --plan` prints, and what it comes to when it does that itself. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jobs/backup/manifest.h"

namespace pgsteward {

struct RestorePlan {
  std::string folder;
  std::string identity = {};  // a path; empty: to be filled in where one is needed
  bool gpg = false;
  std::string bin = {};       // folder of PostgreSQL's programs; empty: by the PATH
  std::string cluster = {};   // a new one here
  std::string conninfo = {};  // else into this server, without a password
  bool globals = true;
  std::vector<std::string> databases = {};  // only these; empty: all
  std::string as = {};                      // the one database's new name
  int jobs = 1;
  std::string spool = {};  // a folder for decrypted dumps, when jobs > 1
};

// Lines of a bash script.
std::vector<std::string> RestoreCommands(const Manifest& manifest, const RestorePlan& plan);

// As the shell reads it back; in quotes only where it must be.
std::string ShellWord(std::string_view text);
// The same, always in quotes.
std::string ShellQuoted(std::string_view text);

}  // namespace pgsteward
