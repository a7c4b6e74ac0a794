#include "core/shown.h"

#include <algorithm>

#include "core/pg_conninfo.h"

namespace pgsteward {

std::string Shown(std::string_view text, std::string_view more) {
  const bool harmless = !text.empty() && text.size() <= 40 && !LooksLikeConninfo(text) &&
                        std::all_of(text.begin(), text.end(), [more](char c) {
                          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                 (c >= '0' && c <= '9') ||
                                 std::string_view("._-+/:[] ").find(c) != std::string::npos ||
                                 more.find(c) != std::string::npos;
                        });
  return harmless ? "\"" + std::string(text) + "\"" : "this value";
}

}  // namespace pgsteward
