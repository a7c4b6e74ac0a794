#!/bin/sh
# All tracked C++ files are formatted as .clang-format says. Put right with: ./dev format
cd "$(dirname "$0")/../.." || exit 1
files=$(git ls-files -- '*.cc' '*.h') || exit 1
test -n "$files" || { echo "format: no tracked C++ file found"; exit 1; }
# No file name of ours holds blanks.
# shellcheck disable=SC2086
exec clang-format-14 --dry-run -Werror $files
