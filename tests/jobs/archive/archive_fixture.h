// Messages to be archived, and the proof that none is lost, doubled or changed.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "jobs/registry.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

extern const JobSpec kMessageArchive;

class ArchiveTest : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    Exec(R"(
      CREATE SCHEMA test;
      CREATE TABLE test.written (id uuid, row text);
      INSERT INTO public.users (id, email, first_name, last_name)
      SELECT md5('user' || n)::uuid, n || '@example.org', 'F', 'L' FROM generate_series(1, 3) n;
      INSERT INTO public.chat_sessions (id, user_id, title, created_at, updated_at)
      SELECT md5('chat' || n)::uuid, md5('user' || (n % 3 + 1))::uuid, 'c', '2020-01-01', '2020-01-01'
      FROM generate_series(1, 10) n;
    )");
  }

  // `count` messages, one each minute from `first` on, over ten chats.
  void AddMessages(int count, const std::string& first, const std::string& step = "1 minute") {
    // The trigger's cost grows with the square of a chat's messages.
    const std::string quick = count >= 3000 ? "SET session_replication_role = replica; " : "";
    Exec(quick +
         "INSERT INTO public.messages (session_id, user_id, content, is_from_user, metadata, "
         "created_at) SELECT md5('chat' || (n % 10 + 1))::uuid, CASE WHEN n % 4 > 0 THEN "
         "md5('user' || (n % 3 + 1))::uuid END, repeat('m' || n, n % 40), n % 2 = 0, CASE WHEN n % "
         "5 > 0 "
         "THEN jsonb_build_object('n', n) END, timestamptz '" +
         first + "' + n * interval '" + step + "' FROM generate_series(1, " +
         std::to_string(count) + ") n");
  }
  // Remembers what is there now as what must be there in the end.
  void Remember() const {
    Exec(std::string("TRUNCATE test.written; INSERT INTO test.written ") + kRows);
  }
  // Rows that are lost, doubled or changed, of all that were remembered: "" when there are none.
  std::string Difference() const {
    return Value(
        std::string("SELECT string_agg(w || ' ' || n, E'\\n' ORDER BY w, n) FROM ("
                    "SELECT 'lost' AS w, count(*) AS n FROM (TABLE test.written EXCEPT ALL (") +
        kRows + ")) AS lost UNION ALL SELECT 'too many', count(*) FROM ((" + kRows +
        ") EXCEPT ALL TABLE test.written) AS more) AS d WHERE n > 0");
  }
  // "live 3 archived 5".
  std::string Where() const {
    return Value(
        "SELECT 'live ' || (SELECT count(*) FROM public.messages) || ' archived ' || "
        "(SELECT count(*) FROM public.messages_archive)");
  }
  // Each chat counts as many messages as it has; "" when they all do.
  std::string Miscounted() const {
    return Value(
        "SELECT string_agg(s.message_count || ' for ' || (SELECT count(*) FROM "
        "public.messages m WHERE m.session_id = s.id), ', ') FROM public.chat_sessions s "
        "WHERE s.message_count <> (SELECT count(*) FROM public.messages m WHERE "
        "m.session_id = s.id)");
  }
  RunResult Archive(std::map<std::string, std::string> options = {}) {
    // Tests need no rest, and batches as large as they say, also on a machine that is busy.
    options.try_emplace("nice", "0");
    options.try_emplace("batch_target_ms", "10000");
    return Run(kMessageArchive, options);
  }
  RunResult PlanArchive(const std::map<std::string, std::string>& options = {}) {
    return DryRun(kMessageArchive, options);
  }
  // Beside the run: once `sql` gives "t", does `then`.
  std::thread When(std::string sql, std::function<void(PgClient&)> then) const {
    return std::thread([this, sql = std::move(sql), then = std::move(then)] {
      WaitFor(sql);
      PgClient client = Connect();
      then(client);
    });
  }

  // All messages, wherever they are, as text.
  static constexpr char kRows[] =
      "SELECT id, ROW(id, session_id, user_id, content, is_from_user, metadata, created_at)::text "
      "FROM public.messages UNION ALL SELECT id, ROW(id, session_id, user_id, content, "
      "is_from_user, metadata, created_at)::text FROM public.messages_archive";
  static constexpr char kSleeping[] =
      "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = "
      "current_database()";
};

}  // namespace pgsteward
