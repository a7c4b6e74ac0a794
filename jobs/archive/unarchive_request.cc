#include "jobs/archive/unarchive_request.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace pgsteward {

namespace {

bool IsUuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  return std::equal(text.begin(), text.end(), kForm.begin(), kForm.end(), [](char c, char form) {
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    return form == '-' ? c == '-' : hex;
  });
}

}  // namespace

Result<UnarchiveRequest> ParseUnarchive(const std::map<std::string, std::string>& arguments) {
  UnarchiveRequest request;
  const std::pair<const char*, std::string*> known[] = {
      {"chat", &request.chat},     {"user", &request.user}, {"run", &request.run},
      {"from", &request.from},     {"to", &request.to},     {"until", &request.until},
      {"reason", &request.reason},
  };
  for (const auto& [name, value] : arguments) {
    const auto* const found = std::find_if(std::begin(known), std::end(known),
                                           [&](const auto& each) { return name == each.first; });
    if (found == std::end(known)) {
      return Error(Errc::kBadConfig, "there is no such argument", {},
                   "Known are chat, user, run, from, to, until and reason.");
    }
    if (value.empty()) {
      return Error(Errc::kBadConfig, "the argument " + name + " is empty", {},
                   "Leave it out, or say what it is.");
    }
    *found->second = value;
  }
  for (const char* name : {"chat", "user", "run"}) {
    const auto given = arguments.find(name);
    if (given == arguments.end() || IsUuid(given->second)) continue;
    return Error(Errc::kBadConfig, "the argument " + std::string(name) + " is not a UUID", {},
                 "Write it as 123e4567-e89b-42d3-a456-426614174000.");
  }
  if (request.chat.empty() && request.user.empty() && request.run.empty() && request.from.empty() &&
      request.to.empty()) {
    return Error(Errc::kBadConfig, "nothing says which messages are to come back", {},
                 "Say at least one of chat, user, run, from and to: --arg chat=UUID.");
  }
  return request;
}

}  // namespace pgsteward
