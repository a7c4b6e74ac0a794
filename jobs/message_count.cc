#include "jobs/message_count.h"

namespace pgsteward {

long long RightCount(const ChatCount& chat, CountRule rule) {
  return rule == CountRule::kLive ? chat.live : chat.live + chat.archived;
}

CountVerdict JudgeCount(const ChatCount& chat, CountRule rule, bool purged) {
  const long long right = RightCount(chat, rule);
  if (!chat.stored) return CountVerdict::kDrifted;
  if (*chat.stored == right) return CountVerdict::kRight;
  if (rule != CountRule::kTolerant || *chat.stored < chat.live) return CountVerdict::kDrifted;
  if (*chat.stored < right || purged) return CountVerdict::kUnclear;
  return CountVerdict::kDrifted;
}

std::string CountLine(const ChatCount& chat, CountRule rule) {
  return "chat " + chat.id + ": message_count " +
         (chat.stored ? std::to_string(*chat.stored) : "NULL") + ", right is " +
         std::to_string(RightCount(chat, rule));
}

}  // namespace pgsteward
