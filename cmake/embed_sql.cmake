# Writes the files of schema/ as C++ raw strings, each with its SHA-256, and one checksum per folder.
#   cmake -DOUTPUT=schema_sql.cc -DSOURCE=.../schema -DFILES=a.sql,v1.0.0/b.sql -P embed_sql.cmake
# FILES with commas, because a custom command splits a list; a version's files in the order in which
# they are applied.
string(REPLACE "," ";" FILES "${FILES}")

set(rows "")
set(folders "")
foreach(file IN LISTS FILES)
  file(READ "${SOURCE}/${file}" text)
  file(SHA256 "${SOURCE}/${file}" sum)
  if(text MATCHES "\\)pgsteward_sql\"")
    message(FATAL_ERROR "${file} holds the delimiter of the raw string")
  endif()
  string(APPEND rows "    {\"${file}\", R\"pgsteward_sql(${text})pgsteward_sql\", \"${sum}\"},\n")
  get_filename_component(folder "${file}" DIRECTORY)
  if(folder)
    list(APPEND folders "${folder}")
    string(APPEND sums_${folder} "${sum}\n")
  endif()
endforeach()

list(REMOVE_DUPLICATES folders)
set(checksums "")
foreach(folder IN LISTS folders)
  string(SHA256 sum "${sums_${folder}}")
  string(APPEND checksums "    {\"${folder}\", \"${sum}\"},\n")
endforeach()

file(WRITE "${OUTPUT}" "// Made by cmake/embed_sql.cmake.
#include \"schema/embedded.h\"

namespace pgsteward {

namespace {

constexpr EmbeddedFile kFiles[] = {
${rows}};

constexpr EmbeddedFolder kFolders[] = {
${checksums}};

}  // namespace

std::span<const EmbeddedFile> EmbeddedFiles() { return kFiles; }

std::span<const EmbeddedFolder> EmbeddedFolders() { return kFolders; }

}  // namespace pgsteward
")
