// What chat_sessions.message_count should be. Pure.
#pragma once

#include <optional>
#include <string>

namespace pgsteward {

enum class CountRule {
  kLive,      // the rows of messages
  kLifetime,  // and those of messages_archive
  // Lifetime, with what moving and purging under another rule explains taken as it is.
  kTolerant,
};

struct ChatCount {
  std::string id;
  std::optional<long long> stored;  // empty: NULL
  long long live = 0;
  long long archived = 0;
};

enum class CountVerdict {
  kRight,
  kDrifted,
  // Kept: between live and lifetime (archived while the trigger still counted down), or above
  // lifetime where archived messages have been purged.
  kUnclear,
};

CountVerdict JudgeCount(const ChatCount& chat, CountRule rule, bool purged);
long long RightCount(const ChatCount& chat, CountRule rule);
// "chat <id>: message_count 3, right is 2"
std::string CountLine(const ChatCount& chat, CountRule rule);

}  // namespace pgsteward
