// Users one batch after the other, for encrypt_pii.
#pragma once

#include <string>
#include <vector>

#include "jobs/batches.h"
#include "jobs/pii/email_cipher.h"

namespace pgsteward {

// `leak` is what the server would log the key by.
Error LeakingKey(const std::string& leak);

class EmailBatches : public BatchWork {
 public:
  // `all`: also those whose address is encrypted already, to compare it.
  EmailBatches(const EmailCipher& cipher, bool all) : cipher_(cipher), all_(all) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override;
  // Only noted: whether it is a few damaged rows or the wrong key shows at the end. An error when
  // there are too many.
  Task<Result<void>> Quarantine(JobSession& db) override;
  // Only those whom somebody held.
  void Rewind() override;

  long long checked = 0;
  long long plain = 0;
  long long stale = 0;
  long long old = 0;
  std::vector<std::string> unreadable;

 private:
  // Of the batch that is under way.
  struct Pending {
    std::size_t asked = 0;
    std::size_t count = 0;
    std::string cursor;
    long long plain = 0;
    long long stale = 0;
    long long old = 0;
    std::vector<std::string> skipped;
  };

  Task<Result<PgResult>> Next(JobSession& db, int size);

  const EmailCipher& cipher_;
  bool all_;
  std::string cursor_ = "00000000-0000-0000-0000-000000000000";
  std::vector<std::string> skipped_;
  std::vector<std::string> again_;  // not empty: a later pass, over these
  std::size_t again_at_ = 0;
  Pending pending_;
};

}  // namespace pgsteward
