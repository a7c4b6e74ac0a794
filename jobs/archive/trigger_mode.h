// What the hub's triggers make of moved messages, and how a run deals with them. The schema is
// never changed for it: disabling a trigger would lock the table and concern everybody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/pg_session.h"
#include "core/task.h"

namespace pgsteward {

enum class TriggerMode {
  kRespect,    // they run, for each row: exactly what the schema says, in small batches
  kGuard,      // they look at pgsteward.archiving and pass over
  kStatement,  // they run once for each batch
  kReplica,    // the server runs none for the transaction, foreign keys' included
};
std::string_view TriggerModeName(TriggerMode mode);  // "respect"

// Values of the option trigger_mode: these, and auto.
inline constexpr std::string_view kTriggerModes[] = {"auto", "respect", "guard", "statement",
                                                     "replica"};

// The setting that guarded triggers look at.
inline constexpr std::string_view kGuardSetting = "pgsteward.archiving";

struct TriggerFact {
  std::string table;  // "messages", "messages_archive" or "chat_sessions"
  std::string name;
  std::string function;  // qualified
  bool row = false;
  bool on_insert = false;
  bool on_delete = false;
  bool on_update = false;
  char enabled =
      'O';  // pg_trigger.tgenabled: O as usual, D never, R only and A also in replica mode
  bool guarded = false;
};

struct TriggerFacts {
  std::vector<TriggerFact> triggers;  // without those of constraints
  bool may_replicate = false;         // the role may set session_replication_role
};

Task<Result<TriggerFacts>> ReadTriggers(Database& db);

// Of pg_get_triggerdef(): its condition begins with the guard.
bool IsGuarded(std::string_view definition);

// Names of the triggers that an UPDATE of `table` ("public.users") runs although the guard is set,
// "a, b".
Task<Result<std::string>> UnguardedUpdateTriggers(Database& db, std::string table);

struct TriggerChoice {
  TriggerMode mode = TriggerMode::kRespect;
  // Triggers run all the same.
  bool runs_any = false;
  // What happens to the chats and why, for the plan: a line each.
  std::vector<std::string> explanation;
};

// `wanted` is a value of the option. Pure. An error when the mode that is asked for is not what the
// triggers are made for, or not allowed.
Result<TriggerChoice> ChooseTriggerMode(const TriggerFacts& facts, std::string_view wanted);

// Settings of each transaction that moves rows. Where triggers run, schema public is in the search
// path: the documented ones name chat_sessions without it.
std::vector<std::pair<std::string, std::string>> TriggerSettings(const TriggerChoice& choice);

}  // namespace pgsteward
