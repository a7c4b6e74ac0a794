// users.email into users.email_encrypted, with pgcrypto and a key from a file.
#include <array>
#include <utility>

#include "core/pg_text.h"
#include "jobs/archive/trigger_mode.h"
#include "jobs/pii/email_batches.h"
#include "jobs/pii/parameter_logging.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

constexpr std::string_view kShapeSql = R"sql(
SELECT (SELECT format('%I', n.nspname) FROM pg_extension AS e
        JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pgcrypto'),
       (SELECT format_type(a.atttypid, NULL) FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('public.users') AND a.attname = 'email_encrypted'
          AND NOT a.attisdropped),
       (SELECT bool_and(has_column_privilege(a.attrelid, a.attnum, 'SELECT')
                        AND (a.attname <> 'email_encrypted'
                             OR has_column_privilege(a.attrelid, a.attnum, 'UPDATE')))
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('public.users') AND NOT a.attisdropped
          AND a.attname IN ('id', 'email', 'email_encrypted')),
       inet_client_addr() IS NULL OR inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1'
         OR coalesce((SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()), false),
       current_user,
       coalesce((SELECT has_table_privilege(q.oid, 'SELECT') AND has_table_privilege(q.oid, 'INSERT')
                 FROM pg_class AS q WHERE q.oid = to_regclass('pgsteward.quarantine')), false)
)sql";

// Without those that are known to be unreadable. The first and the last ones: a rotation that was
// interrupted left the last under the old key.
constexpr std::string_view kSampleSql = R"sql(
WITH these AS (
  SELECT u.id FROM public.users AS u WHERE u.email_encrypted IS NOT NULL
    AND NOT EXISTS (SELECT FROM pgsteward.quarantine AS q
                    WHERE q.target = 'public.users' AND q.row_id = u.id::text)
)
(SELECT id::text FROM these ORDER BY these.id LIMIT 10)
UNION
(SELECT id::text FROM these ORDER BY these.id DESC LIMIT 10)
)sql";

constexpr std::string_view kQuarantineSql = R"sql(
INSERT INTO pgsteward.quarantine (target, row_id, job, run_id, reason)
SELECT 'public.users', u.id, $2, $3::uuid, 'email_encrypted cannot be decrypted'
FROM unnest(string_to_array($1, ',')) AS u (id)
ON CONFLICT DO NOTHING
)sql";

constexpr std::string_view kCountSql = R"sql(
SELECT count(*) FILTER (WHERE email_encrypted IS NULL),
       count(*) FILTER (WHERE email_encrypted IS NOT NULL) FROM public.users
)sql";

constexpr std::string_view kBacklogSql = R"sql(
SELECT count(*)
FROM (SELECT FROM public.users WHERE email_encrypted IS NULL LIMIT 100000) AS plain
)sql";

Error WrongKey(bool rotates) {
  std::string message = "wrong key: it decrypts none of the addresses that are encrypted already";
  if (rotates) message = "wrong keys: neither key_file nor rotate_from decrypts an address";
  return Error(Errc::kBadConfig, std::move(message), "39000",
               "Nothing was changed. To change the key, keep the old one in rotate_from.");
}

Task<Result<void>> SetAside(JobContext& context, std::vector<std::string> ids) {
  std::string joined;
  for (const std::string& id : ids) joined += (joined.empty() ? "" : ",") + id;
  auto begun = co_await context.db.Begin(TransactionSettings(kTimeout));
  if (!begun) co_return begun;
  auto fenced = co_await context.control.Fence(context.db);
  if (!fenced) {
    co_await context.db.Rollback();
    co_return fenced;
  }
  PgValues values = {std::move(joined), context.job, context.run_id};
  auto noted = co_await context.db.Query(std::string(kQuarantineSql), std::move(values), kTimeout);
  if (noted) co_return co_await context.db.Commit();
  co_await context.db.Rollback();
  co_return noted.error();
}

// What the server has, and what keeps the key out of its log.
struct Ground {
  std::string pgcrypto;
  std::string touching;
  std::vector<std::pair<std::string, std::string>> local;
};

Task<Result<Ground>> CheckGround(JobContext& context) {
  auto shape = co_await context.db.Query(std::string(kShapeSql), PgValues(), kTimeout);
  if (!shape) co_return shape.error();
  if (shape->IsNull(0, 0)) {
    co_return Error(Errc::kUnsupported, "extension pgcrypto is not in this database", "42704",
                    "CREATE EXTENSION pgcrypto; schema version 1.2.0 does it.");
  }
  if (shape->Text(0, 1) != "bytea") {
    co_return Error(Errc::kUnsupported, "public.users has no column email_encrypted of type bytea",
                    "42703", "Apply schema version 1.2.0, which brings it.");
  }
  if (!shape->Bool(0, 3)) {
    co_return Error(Errc::kBadConfig, "the key would go over the network in plain text", {},
                    "Set sslmode=verify-full in the conninfo, or connect through a socket.");
  }
  const std::string role = QuoteIdentifier(shape->Text(0, 4));
  if (!shape->Bool(0, 2)) {
    co_return Error(Errc::kQueryFailed,
                    "role " + role + " may not read and write the addresses of public.users",
                    "42501",
                    "GRANT SELECT (id, email, email_encrypted), UPDATE (email_encrypted) ON "
                    "public.users TO " +
                        role + "; or run schema/job_roles.sql.");
  }
  if (!shape->Bool(0, 5)) {
    co_return Error(Errc::kQueryFailed, "role " + role + " may not use pgsteward.quarantine",
                    "42501", "Run schema/job_roles.sql.");
  }
  Ground ground;
  ground.pgcrypto = shape->Text(0, 0);
  auto touching = co_await UnguardedUpdateTriggers(context.db, "public.users");
  if (!touching) co_return touching.error();
  ground.touching = *touching;
  auto settings = co_await ReadLogSettings(context.db);
  if (!settings) co_return settings.error();
  Silencing silencing = SilenceParameters(*settings);
  if (!silencing.leak.empty()) co_return LeakingKey(silencing.leak);
  ground.local = std::move(silencing.local);
  ground.local.emplace_back("pgsteward.archiving", "on");
  co_return ground;
}

// With a key that reads nothing of what is there, nothing must be written either.
Task<Result<std::size_t>> Sample(JobSession& db, const EmailCipher& cipher) {
  auto rows = co_await db.Query(std::string(kSampleSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<std::string> ids;
  for (int row = 0; row < rows->rows(); ++row) ids.emplace_back(rows->Text(row, 0));
  const std::size_t all = ids.size();
  auto states = co_await cipher.Examine(db, std::move(ids), all);
  if (!states) co_return states.error();
  if (all > 0 && states->unreadable.size() == all) co_return WrongKey(cipher.rotates());
  co_return all - states->unreadable.size();
}

Task<Result<void>> CheckKey(JobContext& context, const EmailCipher& cipher, const Ground& ground,
                            JobReport& report) {
  TransactionSettings settings(kTimeout);
  settings.local = ground.local;
  settings.read_only = context.dry_run;
  auto begun = co_await context.db.Begin(std::move(settings));
  if (!begun) co_return begun;
  auto readable = co_await Sample(context.db, cipher);
  if (!readable || !context.dry_run) {
    co_await context.db.Rollback();
    co_return readable ? Result<void>() : Result<void>(readable.error());
  }
  auto counts = co_await context.db.Query(std::string(kCountSql), PgValues(), kTimeout);
  co_await context.db.Rollback();
  if (!counts) co_return counts.error();
  report.plan.push_back("encrypt " + std::string(counts->Text(0, 0)) + " addresses that are not");
  std::string line = "leave ";
  if (context.options.Switch("verify") || cipher.rotates()) line = "decrypt and compare ";
  line += std::string(counts->Text(0, 1)) + " that are";
  report.plan.push_back(std::move(line));
  report.plan.push_back("of a sample of those " + std::to_string(*readable) +
                        " can be decrypted with the keys given");
  line = "users.email stays as it is; updated_at is ";
  line += ground.touching.empty() ? "kept" : "changed by " + ground.touching;
  report.plan.push_back(std::move(line));
  co_return Result<void>();
}

// The keys, read anew in each run.
Result<EmailCipher> ReadCipher(const JobOptions& options, const std::string& schema) {
  const std::string path = options.Text("key_file");
  const std::string old_path = options.Text("rotate_from");
  if (path.empty()) {
    return Error(Errc::kBadConfig, "option key_file is not set", {},
                 "Name the file with the key; its content stays on this side of the log.");
  }
  auto key = ReadSecretFile(path);
  if (!key) return key.error();
  std::optional<Secret> old_key;
  if (!old_path.empty()) {
    auto read = ReadSecretFile(old_path);
    if (!read) return read.error();
    if (read->text() == key->text()) {
      return Error(Errc::kBadConfig, "key_file and rotate_from hold the same key", {},
                   "Put the new key into key_file and the one before into rotate_from.");
    }
    old_key = std::move(*read);
  }
  return EmailCipher(schema, options.Text("cipher"), std::move(*key), std::move(old_key));
}

Task<Result<void>> RunEncryptPii(JobContext& context, JobReport& report) {
  auto ground = co_await CheckGround(context);
  if (!ground) co_return ground.error();
  auto cipher = ReadCipher(context.options, ground->pgcrypto);
  if (!cipher) co_return cipher.error();
  auto checked = co_await CheckKey(context, *cipher, *ground, report);
  if (!checked || context.dry_run) co_return checked;
  BatchPolicy policy;
  policy.pacing.first = 50;
  policy.pacing.least = 5;
  policy.pacing.nice = context.options.Number("nice");
  policy.transaction.timeout = kTimeout;
  policy.transaction.local = ground->local;
  const bool all = context.options.Switch("verify") || cipher->rotates();
  EmailBatches work(*cipher, all);
  auto done = co_await RunInBatches(context, work, std::move(policy), report);
  report.details["checked"] = std::to_string(work.checked);
  report.details["not_encrypted"] = std::to_string(work.plain);
  report.details["stale"] = std::to_string(work.stale);
  report.details["rotated"] = std::to_string(work.old);
  report.details["unreadable"] = std::to_string(work.unreadable.size());
  report.details["updated_at"] = ground->touching.empty() ? "kept" : "changed";
  if (!done || work.unreadable.empty()) co_return done;
  co_return co_await SetAside(context, work.unreadable);
}

// Stale ones are found by decrypting only, and the backlog has no key.
Task<Result<Backlog>> EncryptBacklog(JobSession& db, const JobOptions&, const std::string&) {
  auto rows = co_await db.Query(std::string(kBacklogSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  Backlog backlog;
  backlog.rows = rows->Integer(0, 0).value_or(0);
  co_return backlog;
}

constexpr std::array<std::string_view, 3> kCiphers = {"aes128", "aes192", "aes256"};

constexpr std::array<JobOption, 5> kOptions = {{
    {.name = "key_file",
     .kind = OptionKind::kFile,
     .fallback = "",
     .help = "The key, on one line of a file; read in each run.",
     .required = true},
    {.name = "rotate_from",
     .kind = OptionKind::kFile,
     .fallback = "",
     .help = "The key before: what only it decrypts is encrypted with that of key_file."},
    {.name = "cipher",
     .kind = OptionKind::kWord,
     .fallback = "aes256",
     .help = "The algorithm of what is encrypted from now on.",
     .words = kCiphers},
    {.name = "verify",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "Decrypts what is encrypted already, and encrypts anew what is not the present "
             "address."},
    kNiceOption,
}};

}  // namespace

extern const JobSpec kEncryptPii;
const JobSpec kEncryptPii = {
    .name = "encrypt_pii",
    .summary = "Encrypts users.email into users.email_encrypted.",
    .options = kOptions,
    .throttle_table = "public.users",
    .run = &RunEncryptPii,
    .backlog = &EncryptBacklog,
};

}  // namespace pgsteward
