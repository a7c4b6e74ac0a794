#include "jobs/archive/trigger_mode.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

TriggerFact Count(bool row, bool guarded, char enabled = 'O') {
  TriggerFact trigger;
  trigger.table = "messages";
  trigger.name = "count";
  trigger.function = "public.update_message_count";
  trigger.row = row;
  trigger.on_insert = trigger.on_delete = true;
  trigger.enabled = enabled;
  trigger.guarded = guarded;
  return trigger;
}

TEST(TriggerModeTest, KnowsTheGuardWhereItStandsFirst) {
  const std::string head =
      "CREATE TRIGGER t AFTER INSERT OR DELETE ON public.messages FOR EACH ROW ";
  const std::string guard =
      "(current_setting('pgsteward.archiving'::text, true) IS DISTINCT FROM 'on'::text)";
  const std::string tail = " EXECUTE FUNCTION public.f()";
  EXPECT_TRUE(IsGuarded(head + "WHEN (" + guard + ")" + tail));
  EXPECT_TRUE(IsGuarded(head + "WHEN ((" + guard + " AND (1 = 1)))" + tail));
  EXPECT_FALSE(IsGuarded(head + "WHEN ((" + guard + " OR (1 = 1)))" + tail));
  EXPECT_FALSE(IsGuarded(head + "WHEN ((NOT " + guard + "))" + tail));
  EXPECT_FALSE(IsGuarded(head + tail));
  EXPECT_FALSE(IsGuarded(
      head + "WHEN ((current_setting('pgsteward.archiving'::text, true) <> 'on'::text))" + tail));
}

TEST(TriggerModeTest, AutoTakesWhatTheTriggersAreMadeFor) {
  struct Case {
    std::vector<TriggerFact> triggers;
    TriggerMode mode;
  };
  TriggerFact insert_only = Count(true, false);
  insert_only.on_delete = false;
  TriggerFact other_table = Count(true, false);
  other_table.table = "messages_archive";
  const std::vector<Case> cases = {
      {{}, TriggerMode::kGuard},
      {{Count(true, true)}, TriggerMode::kGuard},
      {{Count(true, false)}, TriggerMode::kRespect},
      {{Count(false, false)}, TriggerMode::kStatement},
      {{Count(false, false), Count(true, true)}, TriggerMode::kStatement},
      {{Count(false, false), Count(true, false)}, TriggerMode::kRespect},
      {{Count(true, true), Count(true, false)}, TriggerMode::kRespect},
      {{Count(true, false, 'D')}, TriggerMode::kGuard},
      {{Count(true, false, 'R')}, TriggerMode::kGuard},
      {{Count(true, false, 'A')}, TriggerMode::kRespect},
      {{insert_only, other_table}, TriggerMode::kGuard},
  };
  for (const Case& each : cases) {
    const auto choice = ChooseTriggerMode({each.triggers, false}, "auto");
    ASSERT_TRUE(choice);
    EXPECT_EQ(TriggerModeName(choice->mode), TriggerModeName(each.mode));
  }
}

TEST(TriggerModeTest, RefusesWhatTheTriggersAreNotMadeFor) {
  const TriggerFacts plain{{Count(true, false)}, false};
  EXPECT_EQ(
      ToText(ChooseTriggerMode(plain, "guard").error()),
      "trigger_mode is guard, and these triggers of public.messages have no guard: "
      "\"count\"; hint: Run pgsteward schema apply, which brings version 1.2.0, or set auto.");
  EXPECT_EQ(ToText(ChooseTriggerMode(plain, "statement").error()),
            "trigger_mode is statement, and these triggers of public.messages run for each row: "
            "\"count\"; hint: Make them statement triggers, or set trigger_mode to auto.");
  EXPECT_EQ(ToText(ChooseTriggerMode(plain, "replica").error()),
            "trigger_mode is replica, and the role may not set session_replication_role; hint: "
            "GRANT SET ON PARAMETER session_replication_role (PostgreSQL 15), or set trigger_mode "
            "to auto.");
  EXPECT_TRUE(ChooseTriggerMode({{Count(true, false)}, true}, "replica"));
  // Whoever wants exactly the schema's meaning gets it with guarded triggers too.
  const auto respect = ChooseTriggerMode({{Count(true, true)}, false}, "respect");
  ASSERT_TRUE(respect);
  EXPECT_EQ(respect->mode, TriggerMode::kRespect);
}

TEST(TriggerModeTest, SetsWhatTheModeNeeds) {
  using Settings = std::vector<std::pair<std::string, std::string>>;
  const auto settings = [](const TriggerFacts& facts, std::string_view wanted) {
    return TriggerSettings(*ChooseTriggerMode(facts, wanted));
  };
  const TriggerFacts guarded{{Count(true, true)}, true};
  EXPECT_EQ(settings(guarded, "guard"), (Settings{{"pgsteward.archiving", "on"}}));
  EXPECT_EQ(settings(guarded, "respect"), (Settings{{"search_path", "pg_catalog, public"}}));
  EXPECT_EQ(settings(guarded, "replica"), (Settings{{"session_replication_role", "replica"}}));
  EXPECT_EQ(settings({{Count(false, false)}, false}, "auto"),
            (Settings{{"search_path", "pg_catalog, public"}}));
  EXPECT_EQ(
      settings({{Count(true, false, 'A')}, true}, "replica"),
      (Settings{{"session_replication_role", "replica"}, {"search_path", "pg_catalog, public"}}));
}

TEST(TriggerModeTest, ExplainsWhatHappensToTheChats) {
  TriggerFact touch;
  touch.table = "chat_sessions";
  touch.name = "touch";
  touch.row = touch.on_update = true;
  touch.enabled = 'D';
  const auto lines = [&](TriggerFact trigger, std::string_view wanted) {
    return ChooseTriggerMode({{touch, trigger}, true}, wanted)->explanation;
  };
  using Lines = std::vector<std::string>;
  const std::string disabled =
      "trigger \"touch\" of public.chat_sessions is disabled and does not run for anybody";
  EXPECT_EQ(lines(Count(true, false), "auto"),
            (Lines{"trigger mode respect (detected): triggers run for each message: small batches, "
                   "and chats that somebody holds are passed over; schema version 1.2.0 brings "
                   "triggers with a guard, which cost nothing",
                   disabled,
                   "trigger \"count\" of public.messages runs public.update_message_count for each "
                   "message: message_count of the chat goes down, its updated_at becomes the time "
                   "of the move"}));
  EXPECT_EQ(lines(Count(true, true), "guard"),
            (Lines{"trigger mode guard: triggers pass over moved messages: message_count stays the "
                   "count of all messages ever written, updated_at stays; the job "
                   "reconcile_message_count counts live ones",
                   disabled}));
  EXPECT_EQ(lines(Count(true, false), "replica"),
            (Lines{"trigger mode replica: the server runs no triggers for the move: message_count "
                   "and updated_at stay",
                   disabled}));
  EXPECT_EQ(lines(Count(true, false, 'A'), "replica").back(),
            "trigger \"count\" of public.messages runs public.update_message_count for each "
            "message: message_count of the chat goes down, its updated_at becomes the time of the "
            "move");
  EXPECT_EQ(lines(Count(true, false, 'D'), "auto"),
            (Lines{"trigger mode guard (detected): no trigger runs: message_count and updated_at "
                   "of the chats stay as they are",
                   disabled,
                   "trigger \"count\" of public.messages is disabled and does not run for "
                   "anybody"}));
}

}  // namespace
}  // namespace pgsteward
