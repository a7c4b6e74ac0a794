// users.email and its encrypted copy, in statements that carry the key as a parameter.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/job_session.h"
#include "jobs/pii/secret_file.h"

namespace pgsteward {

// Of a set of users with an encrypted address.
struct CipherStates {
  std::vector<std::string> right;       // the key gives the address
  std::vector<std::string> stale;       // the key gives another address
  std::vector<std::string> old;         // only the key before gives an address
  std::vector<std::string> unreadable;  // neither does
};

// All calls are inside a transaction whose settings keep parameters out of the log.
class EmailCipher {
 public:
  // `schema` is where pgcrypto's functions are, quoted as in SQL.
  EmailCipher(std::string schema, std::string cipher, Secret key, std::optional<Secret> old_key);

  // Users by id. Finds out by halves which rows a key cannot read, up to the first
  // `most_unreadable`; then the rest is left out.
  Task<Result<CipherStates>> Examine(JobSession& db, std::vector<std::string> ids,
                                     std::size_t most_unreadable) const;
  // Encrypts the addresses of those whom nobody holds; who they were. Reads them back: an error
  // when the key does not give each address again.
  Task<Result<std::vector<std::string>>> Encrypt(JobSession& db,
                                                 std::vector<std::string> ids) const;

  bool rotates() const { return old_key_.has_value(); }

 private:
  // Ids whose decrypted address is not the present one; empty when a row cannot be read.
  Task<Result<std::optional<std::vector<std::string>>>> Stale(JobSession& db,
                                                              std::vector<std::string> ids,
                                                              const Secret& key) const;

  std::string stale_sql_;
  std::string encrypt_sql_;
  std::string options_;
  Secret key_;
  std::optional<Secret> old_key_;
};

}  // namespace pgsteward
