// Clients of the hub, one statement after the other, and what they know must be there in the end.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "tests/support/pg_client.h"

namespace pgsteward {

// Each statement says by RETURNING what it really did, so that it may race with any job. A
// statement that waits too long for a lock, or is a deadlock's victim, has done nothing.
class HubModel {
 public:
  // A few users with chats and messages, old ones and new ones. `name` makes the ids.
  HubModel(std::function<PgClient()> connect, std::mt19937_64& random, std::string name);

  // Something that a client does, by chance.
  void Step();
  // After the server or the connection went away.
  void Reconnect() { client_ = Connected(); }

  void AddMessages(int count);
  // A chat that is there, "" when there is none.
  std::string AnyChat();
  // Locks some messages, a chat or a user until the end of the other session's transaction.
  std::string AnyLockSql();
  // Archived copies that came back onto their equal originals are copies no more. To be called
  // after an un-archiving whose session has ended, and before clients go on.
  void SettleCopies();

  // Which messages a hold keeps now; and that none of them was moved or purged since, but for what
  // clients did to it or to the hold.
  void RememberHeld();
  void CheckHeld();
  bool EndHolds();  // there were some

  // Purges take what is in the archive and older than this.
  static constexpr char kPurged[] = "2019-03-01 00:00:00+00";
  void StartPurge() { purging_ = true; }
  // After a purge: what it took was rightly taken, and with `all` nothing is left to be.
  void SettlePurged(bool all);

  // Gives messages a column with values in it, which the archive lacks: to be added there before
  // anything else is called.
  void AddColumn();

  // What is not as it must be after a last run that nobody disturbed, a line each; "": nothing.
  // `cutoff` is that run's.
  std::string Problems(const std::string& cutoff);

  int pid() const { return client_.pid(); }

 private:
  struct Message {
    std::string chat;
    std::string user;  // "" for NULL
    std::string row;   // all columns as text
    bool purgeable = false;
  };
  using Messages = std::map<std::string, Message>;
  // A row as it is found in the end.
  struct Found {
    std::string row;
    bool old = false;
    bool held = false;
    bool quarantined = false;
  };

  PgClient Connected() const;
  // Of the row m, in the order of MessageIn().
  std::string Columns() const;
  std::size_t Below(std::size_t count) { return random_() % count; }
  std::optional<PgResult> Try(const std::string& sql);
  const std::string& AnyMessage() { return std::next(rows_.begin(), Below(rows_.size()))->first; }
  std::string AnyUser();
  void AddUser();
  void AddChat();
  void Edit();
  void DeleteMessage();
  void DeleteParent(const std::string& table, const std::string& id);
  void Plant();
  void Hold();

  static Message MessageIn(const PgResult& rows, int row);
  void Forget(const std::function<bool(const Message&)>& gone);
  std::map<std::string, Found> Find(const std::string& table, const std::string& cutoff);
  std::string ProblemOf(const std::string& id, const Found* live, const Found* archived) const;

  std::function<PgClient()> connect_;
  std::mt19937_64& random_;
  std::string name_;
  PgClient client_;
  int number_ = 0;  // of ids
  std::set<std::string> users_;
  std::map<std::string, std::string> chats_;  // their users
  Messages rows_;                             // what was written and not deleted
  // Rows that were put into the archive beside live ones with the same id; equal or not.
  Messages copies_;
  std::set<std::string> planted_;  // ids that ever had a copy
  std::set<std::string> clashed_;  // ids that ever had one that was not equal
  std::set<std::string> deleted_;
  std::map<std::string, bool> held_;  // ids, and whether they were live
  bool purging_ = false;
  bool has_extra_ = false;
  std::string trouble_;  // what clients could not believe
};

}  // namespace pgsteward
