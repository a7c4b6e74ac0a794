// Backups of the executable's private server, made by the stock programs and a shell: what proves
// them must not depend on what takes them.
#pragma once

#include <string>
#include <vector>

#include "jobs/backup/encryption.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/place.h"

namespace pgsteward {

// A key pair of age in a folder of its own.
struct AgeKey {
  std::string file;
  std::string recipient;
};

struct HandMadeOptions {
  std::vector<std::string> databases;
  std::string format = "custom";
  bool encrypted = true;
};

// A folder for a test: a target with its sentinel, a scratch folder, two keys. Gone afterwards.
class BackupWorld {
 public:
  explicit BackupWorld(std::string server = "main");
  ~BackupWorld();
  BackupWorld(const BackupWorld&) = delete;
  BackupWorld& operator=(const BackupWorld&) = delete;

  const std::string& folder() const { return folder_; }
  std::string target() const { return folder_ + "/target"; }
  std::string scratch() const { return folder_ + "/scratch"; }
  BackupPlace place() const;
  const AgeKey& key() const { return key_; }
  Identity identity() const;

  // Its id.
  std::string Make(const HandMadeOptions& options);
  std::string Folder(const std::string& id) const { return place().Published(id); }
  Manifest Read(const std::string& id) const;
  // As it is, whatever that breaks.
  void Write(const std::string& id, const Manifest& manifest) const;

 private:
  AgeKey MakeKey(const std::string& name) const;

  std::string server_;
  std::string folder_;
  AgeKey key_;
  AgeKey other_;
  int made_ = 0;
};

// Runs a shell command; throws when it fails.
std::string Shell(const std::string& command);
std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& text);

}  // namespace pgsteward
