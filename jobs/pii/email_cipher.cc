#include "jobs/pii/email_cipher.h"

#include <algorithm>
#include <utility>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

// PGCRYPTO stands for the schema. Types are spelled out: then no function of other types that
// somebody put into that schema fits better. MATERIALIZED, or a row outside the set may be
// decrypted.
constexpr std::string_view kStaleSql = R"sql(
WITH these AS MATERIALIZED (
  SELECT id, email::text AS email, email_encrypted FROM public.users
  WHERE id = ANY ($1::uuid[]) AND email_encrypted IS NOT NULL
)
SELECT id::text FROM these
WHERE PGCRYPTO.pgp_sym_decrypt(email_encrypted, $2::text) IS DISTINCT FROM email
ORDER BY id
)sql";

constexpr std::string_view kEncryptSql = R"sql(
WITH locked AS MATERIALIZED (
  SELECT id FROM public.users WHERE id = ANY ($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE public.users AS u
SET email_encrypted = PGCRYPTO.pgp_sym_encrypt(u.email::text, $2::text, $3::text)
FROM locked AS l WHERE u.id = l.id RETURNING u.id::text
)sql";

std::string WithSchema(std::string_view sql, const std::string& schema) {
  std::string text(sql);
  constexpr std::string_view kWord = "PGCRYPTO";
  text.replace(text.find(kWord), kWord.size(), schema);
  return text;
}

// A wrong key mostly fails a check, and rarely gives bytes that are no text.
bool IsUnreadable(const Error& error) {
  return error.sqlstate == "39000" || error.sqlstate == "22021";
}

// The server quotes bytes that it cannot convert, and they may be the key's.
Error WithoutBytes(Error error) {
  if (error.sqlstate.substr(0, 2) == "22") {
    error.message = "the server takes the key or an address for wrong text";
    error.hint = "Use a key of ASCII characters.";
  }
  return error;
}

Task<Result<void>> Say(JobSession& db, std::string sql) {
  auto done = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

std::vector<std::string> Without(const std::vector<std::string>& all,
                                 const std::vector<std::string>& some) {
  std::vector<std::string> rest;
  for (const std::string& each : all) {
    if (std::find(some.begin(), some.end(), each) == some.end()) rest.push_back(each);
  }
  return rest;
}

void Append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

std::vector<std::string> Texts(const PgResult& rows) {
  std::vector<std::string> texts;
  for (int row = 0; row < rows.rows(); ++row) texts.emplace_back(rows.Text(row, 0));
  return texts;
}

}  // namespace

EmailCipher::EmailCipher(std::string schema, std::string cipher, Secret key,
                         std::optional<Secret> old_key)
    : stale_sql_(WithSchema(kStaleSql, schema)),
      encrypt_sql_(WithSchema(kEncryptSql, schema)),
      options_("cipher-algo=" + cipher),
      key_(std::move(key)),
      old_key_(std::move(old_key)) {}

Task<Result<std::optional<std::vector<std::string>>>> EmailCipher::Stale(
    JobSession& db, std::vector<std::string> ids, const Secret& key) const {
  auto saved = co_await Say(db, "SAVEPOINT reading");
  if (!saved) co_return saved.error();
  PgValues values = {ArrayText(ids), key.text()};
  auto rows = co_await db.Query(stale_sql_, std::move(values), kTimeout);
  if (!rows && !IsUnreadable(rows.error())) co_return WithoutBytes(rows.error());
  const bool readable = rows.has_value();
  auto back =
      co_await Say(db, readable ? "RELEASE SAVEPOINT reading" : "ROLLBACK TO SAVEPOINT reading");
  if (!back) co_return back.error();
  if (!readable) co_return std::optional<std::vector<std::string>>();
  co_return std::optional<std::vector<std::string>>(Texts(*rows));
}

Task<Result<CipherStates>> EmailCipher::Examine(JobSession& db, std::vector<std::string> ids,
                                                std::size_t most_unreadable) const {
  CipherStates states;
  std::vector<std::vector<std::string>> sets;
  if (!ids.empty()) sets.push_back(std::move(ids));
  while (!sets.empty() && states.unreadable.size() < most_unreadable) {
    const std::vector<std::string> set = std::move(sets.back());
    sets.pop_back();
    auto stale = co_await Stale(db, set, key_);
    if (!stale) co_return stale.error();
    if (*stale) {
      Append(states.stale, **stale);
      Append(states.right, Without(set, **stale));
      continue;
    }
    if (old_key_) {
      auto by_old = co_await Stale(db, set, *old_key_);
      if (!by_old) co_return by_old.error();
      if (*by_old) {
        Append(states.old, set);
        continue;
      }
    }
    if (set.size() == 1) {
      states.unreadable.push_back(set.front());
      continue;
    }
    const auto middle = set.begin() + static_cast<std::ptrdiff_t>(set.size() / 2);
    sets.emplace_back(middle, set.end());
    sets.emplace_back(set.begin(), middle);
  }
  co_return states;
}

Task<Result<std::vector<std::string>>> EmailCipher::Encrypt(JobSession& db,
                                                            std::vector<std::string> ids) const {
  PgValues values = {ArrayText(ids), key_.text(), options_};
  auto rows = co_await db.Query(encrypt_sql_, std::move(values), kTimeout);
  if (!rows) co_return WithoutBytes(rows.error());
  std::vector<std::string> done = Texts(*rows);
  auto stale = co_await Stale(db, done, key_);
  if (!stale) co_return stale.error();
  if (!*stale || !(*stale)->empty()) {
    co_return Error(Errc::kQueryFailed, "an encrypted address does not give the address again", {},
                    "Nothing of this batch was kept: look for triggers on public.users that change "
                    "email or email_encrypted.");
  }
  co_return done;
}

}  // namespace pgsteward
