#include "tests/jobs/archive/hub_model.h"

#include <stdexcept>
#include <utility>

namespace pgsteward {

namespace {

constexpr char kNames[] = "id, session_id, user_id, content, is_from_user, metadata, created_at";

std::string Uuid(const std::string& id) { return "'" + id + "'::uuid"; }

}  // namespace

HubModel::HubModel(std::function<PgClient()> connect, std::mt19937_64& random, std::string name)
    : connect_(std::move(connect)), random_(random), name_(std::move(name)), client_(Connected()) {
  for (int n = 0; n < 3; ++n) AddUser();
  for (int n = 0; n < 5; ++n) AddChat();
  for (int n = 0; n < 8; ++n) AddMessages(static_cast<int>(4 + Below(12)));
}

std::string HubModel::Columns() const {
  return std::string(
             " m.id, m.session_id, m.user_id, ROW(m.id, m.session_id, m.user_id, m.content, "
             "m.is_from_user, m.metadata, m.created_at") +
         (has_extra_ ? ", m.extra" : "") + ")::text, m.created_at < '" + kPurged + "'::timestamptz";
}

PgClient HubModel::Connected() const {
  PgClient client = connect_();
  client.Exec("SET lock_timeout = '100ms'");
  return client;
}

std::optional<PgResult> HubModel::Try(const std::string& sql) {
  try {
    return client_.Exec(sql);
  } catch (const std::runtime_error& e) {
    const std::string text = e.what();
    if (text.find("due to lock timeout") == std::string::npos &&
        text.find("deadlock detected") == std::string::npos &&
        text.find("no partition of relation") == std::string::npos) {
      throw;
    }
    return std::nullopt;
  }
}

void HubModel::Step() {
  if (users_.empty()) AddUser();
  if (chats_.empty()) AddChat();
  if (rows_.empty()) AddMessages(5);
  switch (Below(20)) {
    case 0:
      return AddUser();
    case 1:
      return AddChat();
    case 2:
    case 3:
    case 4:
    case 5:
      return AddMessages(static_cast<int>(1 + Below(8)));
    case 6:
    case 7:
    case 8:
      return DeleteMessage();
    case 9:
      if (Below(3) == 0) DeleteParent("chat_sessions", AnyChat());
      return;
    case 10:
      if (Below(6) == 0) DeleteParent("users", AnyUser());
      return;
    case 11:
    case 12:
      return Plant();
    case 13:
      return Hold();
    default:
      return Edit();
  }
}

std::string HubModel::AnyUser() {
  return users_.empty() ? "" : *std::next(users_.begin(), Below(users_.size()));
}

std::string HubModel::AnyChat() {
  return chats_.empty() ? "" : std::next(chats_.begin(), Below(chats_.size()))->first;
}

std::string HubModel::AnyLockSql() {
  const std::string chat = AnyChat();
  const std::string user = AnyUser();
  const std::size_t kind = Below(4);
  if (kind == 0 && !chat.empty()) {
    return "SELECT FROM public.chat_sessions WHERE id = " + Uuid(chat) + " FOR UPDATE";
  }
  if (kind == 1 && !user.empty()) {
    return "SELECT FROM public.users WHERE id = " + Uuid(user) + " FOR UPDATE";
  }
  return "SELECT FROM public.messages ORDER BY created_at, id LIMIT " +
         std::to_string(1 + Below(9)) + " OFFSET " + std::to_string(Below(20)) + " FOR UPDATE";
}

void HubModel::AddUser() {
  const std::string key = name_ + "/user/" + std::to_string(++number_);
  const auto rows =
      Try("INSERT INTO public.users (id, email, first_name, last_name) VALUES (md5('" + key +
          "')::uuid, '" + key + "', 'F', 'L') RETURNING id");
  if (rows) users_.emplace(rows->Text(0, 0));
}

void HubModel::AddChat() {
  if (users_.empty()) return;
  const std::string user = AnyUser();
  const auto rows =
      Try("INSERT INTO public.chat_sessions (id, user_id, title) VALUES (md5('" + name_ + "/chat/" +
          std::to_string(++number_) + "')::uuid, " + Uuid(user) + ", 'c') RETURNING id");
  if (rows) chats_.emplace(rows->Text(0, 0), user);
}

// Equal times, texts that must be quoted, long ones, numbers that are equal and not the same.
void HubModel::AddMessages(int count) {
  if (chats_.empty()) return;
  const int first = number_ + 1;
  number_ += count;
  const std::string chat = AnyChat();
  const char* const times[] = {
      "timestamptz '2019-01-01' + k % 97 * interval '1 day'",
      "timestamptz '2022-05-01' + k * interval '1 microsecond'",
      "now() - (k % 300) * interval '1 day'",
      // Just old enough, and just not.
      "date_trunc('day', now()) - interval '1 year' - k % 2 * interval '1 microsecond'",
  };
  const auto rows = Try(
      std::string("INSERT INTO public.messages AS m (") + kNames + ") SELECT md5('" + name_ +
      "/message/' || k)::uuid, " + Uuid(chat) + ", CASE WHEN k % 3 > 0 THEN " + Uuid(AnyUser()) +
      " END, (ARRAY['', 'it''s \"so\" \\ (x),', 'gr\u00fc\u00dfe \u2713', repeat('long ' || k, "
      "900), "
      "E'line\\n\\tbreak', 'plain ' || k])[k % 6 + 1], k % 2 = 0, (ARRAY[NULL, '{}', '{\"a\": "
      "1.0}', "
      "'{\"a\": 1.00, \"b\": [null, \"x\"]}', 'null'])[k % 5 + 1]::jsonb, " +
      times[Below(std::size(times))] + " FROM generate_series(" + std::to_string(first) + ", " +
      std::to_string(number_) + ") AS k RETURNING" + Columns());
  if (!rows) return;
  for (int row = 0; row < rows->rows(); ++row) {
    rows_[std::string(rows->Text(row, 0))] = MessageIn(*rows, row);
  }
}

HubModel::Message HubModel::MessageIn(const PgResult& rows, int row) {
  return {std::string(rows.Text(row, 1)), std::string(rows.Text(row, 2)),
          std::string(rows.Text(row, 3)), rows.Bool(row, 4)};
}

// Of a message that is archived already nothing is changed.
void HubModel::Edit() {
  const std::string id = AnyMessage();
  const std::string changes[] = {
      "content = content || '!'",        "content = 'edited', metadata = NULL",
      "created_at = '2021-03-01'",       "created_at = now()",
      "session_id = " + Uuid(AnyChat()), "user_id = NULL",
  };
  const auto rows = Try("UPDATE public.messages AS m SET " + changes[Below(std::size(changes))] +
                        " WHERE m.id = " + Uuid(id) + " RETURNING" + Columns());
  if (!rows || rows->rows() == 0) return;
  held_.erase(id);
  rows_[id] = MessageIn(*rows, 0);
  const auto copy = copies_.find(id);
  if (copy != copies_.end() && copy->second.row != rows_[id].row) clashed_.insert(id);
}

// Wherever it is. Moved meanwhile from here to there, it is found in the other place.
void HubModel::DeleteMessage() {
  const std::string id = AnyMessage();
  for (const char* table : {"messages", "messages_archive", "messages"}) {
    const auto rows = Try(std::string("DELETE FROM public.") + table + " WHERE id = " + Uuid(id) +
                          " RETURNING id");
    if (!rows) return;
    if (rows->rows() == 0) continue;
    held_.erase(id);
    const auto copy = copies_.find(id);
    if (copy != copies_.end() && table == std::string("messages")) {
      rows_[id] = copy->second;
    } else {
      rows_.erase(id);
      deleted_.insert(id);
    }
    copies_.erase(id);
    return;
  }
  if (purging_ && rows_.at(id).purgeable) return;
  trouble_ += id + " is in no table when it is to be deleted\n";
}

void HubModel::DeleteParent(const std::string& table, const std::string& id) {
  if (id.empty()) return;
  const auto rows =
      Try("DELETE FROM public." + table + " WHERE id = " + Uuid(id) + " RETURNING id");
  if (!rows || rows->rows() == 0) return;
  held_.clear();
  if (table == "users") {
    Forget([&](const Message& each) { return each.user == id || chats_.at(each.chat) == id; });
    std::erase_if(chats_, [&](const auto& chat) { return chat.second == id; });
    users_.erase(id);
  } else {
    Forget([&](const Message& each) { return each.chat == id; });
    chats_.erase(id);
  }
}

void HubModel::Forget(const std::function<bool(const Message&)>& gone) {
  std::erase_if(copies_, [&](const auto& copy) { return gone(copy.second); });
  for (auto row = rows_.begin(); row != rows_.end();) {
    if (!gone(row->second)) {
      ++row;
    } else if (const auto copy = copies_.find(row->first); copy != copies_.end()) {
      row->second = copy->second;
      copies_.erase(copy);
    } else {
      deleted_.insert(row->first);
      row = rows_.erase(row);
    }
  }
}

// Puts a row into the archive beside a live one, equal or not.
void HubModel::Plant() {
  const std::string id = AnyMessage();
  const char* const others[] = {"content, is_from_user, metadata, created_at",
                                "content || ' other', is_from_user, metadata, created_at",
                                "content, is_from_user, metadata, created_at - interval '1 day'"};
  const auto rows =
      Try("WITH l AS MATERIALIZED (SELECT * FROM public.messages WHERE id = " + Uuid(id) +
          " FOR UPDATE) INSERT INTO public.messages_archive AS m (" + kNames +
          ") SELECT id, session_id, user_id, " + others[Below(std::size(others))] +
          " FROM l WHERE NOT EXISTS (SELECT FROM public.messages_archive WHERE id = " + Uuid(id) +
          ") ON CONFLICT DO NOTHING RETURNING" + Columns());
  if (!rows || rows->rows() == 0) return;
  copies_[id] = MessageIn(*rows, 0);
  planted_.insert(id);
  if (copies_[id].row != rows_[id].row) clashed_.insert(id);
}

void HubModel::Hold() {
  if (Below(2) == 0) {
    EndHolds();
  } else if (Below(3) == 0) {
    Try("INSERT INTO pgsteward.retention_hold (user_id, reason) VALUES (" + Uuid(AnyUser()) +
        ", 'r')");
  } else {
    Try("INSERT INTO pgsteward.retention_hold (session_id, reason) VALUES (" + Uuid(AnyChat()) +
        ", 'r')");
  }
}

bool HubModel::EndHolds() {
  held_.clear();
  const auto ended = Try("DELETE FROM pgsteward.retention_hold RETURNING hold_id");
  return ended && ended->rows() > 0;
}

void HubModel::RememberHeld() {
  held_.clear();
  for (const auto& [id, found] : Find("messages_archive", "now")) {
    if (found.held) held_[id] = false;
  }
  for (const auto& [id, found] : Find("messages", "now")) {
    if (found.held) held_[id] = true;
  }
}

void HubModel::CheckHeld() {
  const auto live = Find("messages", "now");
  const auto archived = Find("messages_archive", "now");
  for (const auto& [id, was_live] : held_) {
    if (live.contains(id) || (!was_live && archived.contains(id))) continue;
    trouble_ += id + (was_live ? " was moved" : " was purged") + " in spite of a hold\n";
  }
}

void HubModel::SettlePurged(bool all) {
  purging_ = false;
  const auto live = Find("messages", "now");
  const auto archived = Find("messages_archive", kPurged);
  std::erase_if(copies_, [&](const auto& copy) {
    return copy.second.purgeable && !archived.contains(copy.first);
  });
  std::erase_if(rows_, [&](const auto& row) {
    const bool gone =
        row.second.purgeable && !live.contains(row.first) && !archived.contains(row.first);
    if (gone) deleted_.insert(row.first);
    return gone;
  });
  for (const auto& [id, found] : archived) {
    if (all && found.old && !found.held) trouble_ += id + " is not purged\n";
  }
}

void HubModel::AddColumn() {
  client_.Exec("ALTER TABLE public.messages ADD COLUMN extra text");
  has_extra_ = true;
  for (Messages* each : {&rows_, &copies_}) {
    for (auto& [id, message] : *each) message.row.replace(message.row.size() - 1, 1, ",)");
  }
  const PgResult rows = client_.Exec(
      "UPDATE public.messages AS m SET extra = 'extra, ' || left(m.id::text, 4) WHERE "
      "hashtext(m.id::text) % 3 <> 0 RETURNING" +
      Columns());
  for (int row = 0; row < rows.rows(); ++row) {
    const std::string id(rows.Text(row, 0));
    rows_[id] = MessageIn(rows, row);
    if (copies_.contains(id)) clashed_.insert(id);
  }
}

void HubModel::SettleCopies() {
  if (copies_.empty()) return;
  const auto live = Find("messages", "now");
  const auto archived = Find("messages_archive", "now");
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    const std::string& id = copy->first;
    if (archived.contains(id)) {
      ++copy;
      continue;
    }
    const auto found = live.find(id);
    if (found == live.end() || found->second.row != copy->second.row) {
      trouble_ += id + " has lost its archived copy\n";
    }
    copy = copies_.erase(copy);
  }
}

std::map<std::string, HubModel::Found> HubModel::Find(const std::string& table,
                                                      const std::string& cutoff) {
  const PgResult rows = client_.Exec(
      std::string("SELECT") + Columns() + ", m.created_at < '" + cutoff +
      "'::timestamptz, EXISTS (SELECT FROM pgsteward.retention_hold h JOIN public.chat_sessions s "
      "ON s.id = m.session_id WHERE h.until > now() AND (h.session_id = m.session_id OR h.user_id "
      "IN (m.user_id, s.user_id))), EXISTS (SELECT FROM pgsteward.quarantine q WHERE q.target = "
      "'public.messages' AND q.row_id = m.id::text) FROM public." +
      table + " AS m");
  std::map<std::string, Found> found;
  for (int row = 0; row < rows.rows(); ++row) {
    const auto added = found.emplace(std::string(rows.Text(row, 0)),
                                     Found{std::string(rows.Text(row, 3)), rows.Bool(row, 5),
                                           rows.Bool(row, 6), rows.Bool(row, 7)});
    if (!added.second) trouble_ += added.first->first + " is twice in " + table + "\n";
  }
  return found;
}

// One row of the model. A row that never clashed with its copy has no reason to be in quarantine.
std::string HubModel::ProblemOf(const std::string& id, const Found* live,
                                const Found* archived) const {
  const Message& written = rows_.at(id);
  const auto copy = copies_.find(id);
  const bool clashes = copy != copies_.end() && copy->second.row != written.row;
  if (!live && !archived) return "is lost";
  if (clashes) {
    if (!live) return "is lost: only another row with its id is in the archive";
    if (!archived) return "had another row with its id in the archive, which is lost";
    if (archived->row != copy->second.row) return "has changed another row in the archive";
  } else {
    if (archived && archived->row != written.row) return "is archived as " + archived->row;
    if (live && archived && copy == copies_.end()) return "is in both tables";
  }
  if (live && live->row != written.row) return "is live as " + live->row;
  if (live && live->quarantined && !clashed_.contains(id)) return "is in quarantine for nothing";
  if (live && live->old && !live->held && !live->quarantined) return "is old and not archived";
  if (!live && !archived->old && !planted_.contains(id)) return "is new and archived";
  return "";
}

std::string HubModel::Problems(const std::string& cutoff) {
  const auto live = Find("messages", cutoff);
  const auto archived = Find("messages_archive", cutoff);
  const auto get = [](const std::map<std::string, Found>& in, const std::string& id) {
    const auto found = in.find(id);
    return found == in.end() ? nullptr : &found->second;
  };
  std::string text = std::exchange(trouble_, {});
  for (const auto& [id, written] : rows_) {
    const std::string problem = ProblemOf(id, get(live, id), get(archived, id));
    if (!problem.empty()) text += written.row.substr(0, 200) + " " + problem.substr(0, 300) + "\n";
  }
  for (const auto* table : {&live, &archived}) {
    for (const auto& [id, found] : *table) {
      if (rows_.contains(id)) continue;
      text +=
          found.row.substr(0, 200) +
          (deleted_.contains(id) ? " was deleted and is there again\n" : " was never written\n");
    }
  }
  // The first ones say enough.
  return text.substr(0, 2000);
}

}  // namespace pgsteward
