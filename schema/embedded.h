// The files of schema/ as they were when the program was built (cmake/embed_sql.cmake).
#pragma once

#include <span>
#include <string_view>

namespace pgsteward {

struct EmbeddedFile {
  std::string_view path;  // below schema/: "v1.0.0/create_tables.sql"
  std::string_view text;
  std::string_view sha256;  // of the text, in hex
};
std::span<const EmbeddedFile> EmbeddedFiles();

struct EmbeddedFolder {
  std::string_view path;    // "v1.0.0"
  std::string_view sha256;  // of its files' sums, a line each
};
std::span<const EmbeddedFolder> EmbeddedFolders();

}  // namespace pgsteward
