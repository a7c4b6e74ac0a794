#include "tests/jobs/archive/purge_fixture.h"

namespace pgsteward {

void PurgeTest::SetUp() {
  JobTest::SetUp();
  Exec(R"(
    INSERT INTO public.users (id, email, first_name, last_name)
    SELECT ('00000000-0000-4000-8000-00000000010' || n)::uuid, n || '@hub.test', 'A', 'B'
    FROM generate_series(1, 3) n;
    INSERT INTO public.chat_sessions (id, user_id, updated_at)
    SELECT ('00000000-0000-4000-8000-00000000020' || n)::uuid,
           ('00000000-0000-4000-8000-00000000010' || n)::uuid, '2020-06-01 00:00:00+00'
    FROM generate_series(1, 3) n;
  )");
}

void PurgeTest::Partition() {
  Postgres().Psql(hub_, {"-q", "-f", PGSTEWARD_SCHEMA "/partitioned_archive.sql"});
}

void PurgeTest::MakeLikeTable() {
  Exec(R"(
    CREATE TABLE public.plain (LIKE public.messages INCLUDING ALL);
    INSERT INTO public.plain
    SELECT id, session_id, user_id, content, is_from_user, metadata, created_at
    FROM public.messages_archive;
    DROP VIEW public.messages_all;
    DROP TABLE public.messages_archive;
    ALTER TABLE public.plain RENAME TO messages_archive;
  )");
}

void PurgeTest::BecomeJobsRole() {
  Postgres().Psql(hub_, {"-q", "-f", PGSTEWARD_SCHEMA "/job_roles.sql"});
  user_ = "pgsteward_jobs";
}

void PurgeTest::Archive(int chat, const std::string& first, int count) const {
  Exec(
      "INSERT INTO public.messages_archive (id, session_id, user_id, content, is_from_user, "
      "created_at) SELECT gen_random_uuid(), '" +
      Chat(chat) + "', '" + User(chat) + "', 'row ' || n, n % 2 = 0, '" + first +
      "'::timestamptz + (n - 1) * interval '1 hour' FROM generate_series(1, " +
      std::to_string(count) + ") n");
}

void PurgeTest::ProveBackup(const std::string& covers_until) const {
  Exec(
      "INSERT INTO pgsteward.proven_backup (server, target, backup_id, proven_at, covers_until) "
      "VALUES ('hub', '/backups', gen_random_uuid()::text, now(), " +
      covers_until + ")");
}

std::string PurgeTest::Months() const {
  return Value(R"(
    SELECT coalesce(string_agg(month || ':' || rows, ' ' ORDER BY month), '')
    FROM (SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*) AS rows
          FROM public.messages_archive GROUP BY 1) AS m)");
}

std::string PurgeTest::Partitions() const {
  return Value(R"(
    SELECT coalesce(string_agg(replace(inhrelid::regclass::text, 'messages_archive_', ''), ' '
                    ORDER BY inhrelid::regclass::text), '')
    FROM pg_inherits WHERE inhparent = 'public.messages_archive'::regclass)");
}

}  // namespace pgsteward
