// Chats one batch after the other, for reconcile_message_count.
#pragma once

#include <string>
#include <vector>

#include "jobs/batches.h"
#include "jobs/message_count.h"

namespace pgsteward {

inline constexpr char kFirstChat[] = "00000000-0000-0000-0000-000000000000";
inline constexpr int kShownChats = 20;

// What there is to count, and how the triggers take it.
struct ChatShape {
  bool archive = false;
  bool guarded = false;
  std::string touching;  // triggers on updates of chats that do not let maintenance pass
  bool purged = false;
  bool may_fix = false;  // the role has the rights for it
  std::string role;      // quoted
  std::string cursor = kFirstChat;
  CountRule rule = CountRule::kLive;
};

// Up to `most` chats behind `cursor`, by id; each with its counts of one moment.
Task<Result<std::vector<ChatCount>>> WalkChats(Database& db, const ChatShape& shape,
                                               std::string cursor, long long most);
// The thousand that were changed last.
Task<Result<std::vector<ChatCount>>> NewestChats(Database& db, const ChatShape& shape);

class ChatBatches : public BatchWork {
 public:
  // Up to `most` chats from shape.cursor on; keeps in the memory of `job` where it stopped.
  ChatBatches(const ChatShape& shape, std::string job, bool fix, long long most)
      : shape_(shape), job_(std::move(job)), fix_(fix), most_(most), cursor_(shape.cursor) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override;
  // Never asked for.
  Task<Result<void>> Quarantine(JobSession& db) override;
  // Only those that somebody held.
  void Rewind() override;

  long long checked = 0;
  long long drifted = 0;
  long long unclear = 0;
  bool at_end = false;
  std::vector<std::string> shown;  // a line each, the first of them

 private:
  // Of the batch that is under way: counts when it is committed.
  struct Pending {
    int asked = 0;
    long long checked = 0;
    long long unclear = 0;
    bool at_end = false;
    std::string cursor;
    std::vector<ChatCount> drifted;
    std::vector<std::string> skipped;
  };

  bool Done() const { return at_end || checked >= most_; }
  Task<Result<std::vector<ChatCount>>> Next(JobSession& db, int size);
  // Looks again under the lock of each chat's row, and corrects what is still wrong; how many.
  Task<Result<long long>> Fix(JobSession& db, std::vector<std::string> suspects);
  Task<Result<void>> Remember(JobSession& db);

  const ChatShape& shape_;
  std::string job_;
  bool fix_;
  long long most_;
  std::string cursor_;
  std::vector<std::string> skipped_;
  std::vector<std::string> again_;  // not empty: a later pass, over these
  bool again_done_ = false;
  Pending pending_;
};

}  // namespace pgsteward
