// Which archived messages are to come back: the arguments of one run.
#pragma once

#include <map>
#include <string>

#include "core/error.h"

namespace pgsteward {

struct UnarchiveRequest {
  std::string chat;
  std::string user;
  std::string run;                 // of message_archive
  std::string from;                // created_at, inclusive; as written
  std::string to;                  // exclusive
  std::string until = "infinity";  // of the hold
  std::string reason;

  // Everything of a user and nothing else said: one hold on the user instead of one on each chat.
  bool only_user() const {
    return !user.empty() && chat.empty() && run.empty() && from.empty() && to.empty();
  }
};

// kBadConfig: nothing said, or something that is no UUID. Times are the server's to judge. Pure.
Result<UnarchiveRequest> ParseUnarchive(const std::map<std::string, std::string>& arguments);

}  // namespace pgsteward
