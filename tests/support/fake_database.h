// A Database without a server: answers what the test queued, remembers what it was asked.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/pg_session.h"

namespace pgsteward {

class FakeDatabase : public Database {
 public:
  struct Call {
    std::string sql;
    PgValues values;
    Duration timeout;
  };

  explicit FakeDatabase(int server_version = 150000, std::string database = "hub")
      : server_version_(server_version), database_(std::move(database)) {}

  // Answers are used up in order; a query without one fails the test.
  void Answer(PgResult rows) { answers_.emplace_back(std::move(rows)); }
  void Fail(Error error) { answers_.emplace_back(std::move(error)); }
  const std::vector<Call>& calls() const { return calls_; }
  std::size_t unused_answers() const { return answers_.size(); }

  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override {
    Call call{std::move(sql), std::move(values), timeout};
    calls_.push_back(std::move(call));
    if (answers_.empty()) {
      ADD_FAILURE() << "no answer queued for: " << calls_.back().sql;
      co_return Error(Errc::kQueryFailed, "no answer queued");
    }
    Result<PgResult> answer = std::move(answers_.front());
    answers_.pop_front();
    co_return answer;
  }
  int server_version() const override { return server_version_; }
  std::string database() const override { return database_; }

 private:
  int server_version_;
  std::string database_;
  std::deque<Result<PgResult>> answers_;
  std::vector<Call> calls_;
};

}  // namespace pgsteward
