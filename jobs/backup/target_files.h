// What is done in a target of backups: folders, files and renames that a crash leaves old or new,
// with errors that say what, where and the cure. All of it blocks.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// "cannot WHAT PATH: words of the system"; `failed` is an errno.
Error CannotDo(const std::string& what, const std::string& path, int failed);

// Of mode 0700, or there already; its name is safe.
Result<void> MakeFolder(const std::string& path);
// Of mode 0600, written and synced, or not there. kBusy: it is there already.
Result<void> WriteNewFile(const std::string& path, std::string_view text);
// Never replaces anything but, on a file system without that promise (NFS), an empty folder. 0 or
// an errno.
int RenameToNew(const std::string& from, const std::string& to);

}  // namespace pgsteward
