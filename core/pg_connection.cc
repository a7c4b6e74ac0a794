#include "core/pg_connection.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <fstream>

#include "core/wait.h"

namespace pgsteward {

namespace {

// How long a cancelled statement may take to end, the cancel request included.
constexpr Duration kDrainGrace = std::chrono::seconds(2);
// Hanging cancel requests (a frozen server) must not take all threads of the pool: with so many
// under way, the connection is closed without one.
constexpr int kMaxCancelRequests = 2;
constexpr std::size_t kKeptNotices = 100;

struct OpenedConnection {
  std::shared_ptr<PGconn> connection;
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;  // what PQconnectPoll asks for
  bool name_not_found = false;
};

// True when the host that libpq tried is a name and does not resolve. Blocks.
bool NameDoesNotResolve(PGconn* connection) {
  const char* host = PQhost(connection);
  if (!host || !*host || *host == '/' || *host == '@') return false;
  // With a hostaddr libpq does not look the name up.
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfo(connection),
                                                                             &PQconninfoFree);
  for (const PQconninfoOption* o = options.get(); o && o->keyword; ++o) {
    if (std::string_view(o->keyword) == "hostaddr" && o->val && *o->val) return false;
  }
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host, nullptr, nullptr, &found);
  if (found) ::freeaddrinfo(found);
  return failed != 0;
}

// The first line of a password file, without its newline; empty when it cannot be read: libpq then
// says "no password supplied" and the state is auth_failed.
std::string ReadPassword(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

// Blocks: name resolution, service file, password file.
OpenedConnection Start(const PgTarget& target) {
  std::vector<const char*> keys = {"dbname", "fallback_application_name", "application_name",
                                   "client_encoding"};
  const std::string application = "pgsteward:" + target.part;
  std::vector<const char*> values = {target.conninfo.c_str(), "pgsteward", application.c_str(),
                                     "UTF8"};
  if (!target.database.empty()) {
    keys.push_back("dbname");  // a second dbname is taken as a plain name
    values.push_back(target.database.c_str());
  }
  std::string password;
  if (!target.password_file.empty()) {
    password = ReadPassword(target.password_file);
    if (!password.empty()) {
      keys.push_back("password");
      values.push_back(password.c_str());
    }
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);

  OpenedConnection opened;
  opened.connection.reset(PQconnectStartParams(keys.data(), values.data(), 1), &PQfinish);
  PGconn* connection = opened.connection.get();
  // The verbose form is the only one that holds the SQLSTATE of a failed connection.
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  if (PQstatus(connection) == CONNECTION_BAD) {
    opened.next = PGRES_POLLING_FAILED;
    opened.name_not_found = NameDoesNotResolve(connection);
  }
  return opened;
}

OpenedConnection Poll(std::shared_ptr<PGconn> connection) {
  OpenedConnection opened;
  opened.next = PQconnectPoll(connection.get());
  if (opened.next == PGRES_POLLING_FAILED) {
    opened.name_not_found = NameDoesNotResolve(connection.get());
  }
  opened.connection = std::move(connection);
  return opened;
}

OpenFailure Failed(const OpenedConnection& opened) {
  const ConnectFailure failure = ParseConnectFailure(PQerrorMessage(opened.connection.get()));
  ServerState state = StateOfConnectFailure(failure.sqlstate);
  std::string hint(HintOfSqlstate(failure.sqlstate));
  if (PQconnectionNeedsPassword(opened.connection.get())) {
    // libpq's own finding, without an SQLSTATE: the server asks for one and we have none.
    state = ServerState::kAuthFailed;
    hint = HintOfSqlstate("28P01");
  }
  if (opened.name_not_found) {
    state = ServerState::kNameNotFound;
    hint = "Check the host name in the connection string and the resolver.";
  }
  return {state, Error(Errc::kUnavailable, failure.message, failure.sqlstate, hint)};
}

OpenFailure TimedOut(const PgTarget& target) {
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(target.connect_timeout).count();
  return {ServerState::kTimeout,
          Error(Errc::kUnavailable, "no answer within " + std::to_string(ms) + " ms", {},
                "Check the network path and whether the server is overloaded.")};
}

std::string Milliseconds(Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

// Names come from our own code, not from users; quoted all the same.
std::string Literal(PGconn* connection, const std::string& text) {
  char* quoted = PQescapeLiteral(connection, text.c_str(), text.size());
  std::string literal = quoted ? quoted : "''";
  PQfreemem(quoted);
  return literal;
}

std::string SafeSession(PGconn* connection, const PgTarget& target) {
  std::string sql =
      "SET row_security = off; SET jit = off; SET TimeZone = 'UTC'; SET DateStyle = 'ISO';"
      "SET idle_in_transaction_session_timeout = '30s';"
      "SET lock_timeout = " +
      Milliseconds(target.lock_timeout) + ";";
  sql += "SELECT pg_catalog.set_config('search_path', " + Literal(connection, target.search_path) +
         ", false);";
  if (target.read_only) sql += "SET default_transaction_read_only = on;";
  return sql;
}

// Only copies: runs inside libpq, where neither throwing nor calling libpq back is allowed.
void ReceiveNotice(void* arg, const PGresult* notice) {
  auto& notices = *static_cast<std::deque<PgNotice>*>(arg);
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char* sqlstate = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
  const char* primary = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
  if (!primary) return;
  notices.push_back({severity ? severity : "NOTICE", sqlstate ? sqlstate : "", primary});
  if (notices.size() > kKeptNotices) notices.pop_front();
}

bool IsCopy(ExecStatusType status) {
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

bool IsFailure(ExecStatusType status) {
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

}  // namespace

std::string LibpqVersion() {
  const int version = PQlibVersion();
  return std::to_string(version / 10000) + "." + std::to_string(version % 10000);
}

Task<boost::system::result<std::unique_ptr<PgConnection>, OpenFailure>> PgConnection::Open(
    Runtime& runtime, PgTarget target) {
  const Deadline deadline = SteadyNow() + target.connect_timeout;
  auto start = [target] { return Start(target); };
  auto opened = co_await Offload(runtime, std::move(start), deadline);
  if (!opened) co_return TimedOut(target);
  while (opened->next != PGRES_POLLING_OK) {
    if (opened->next == PGRES_POLLING_FAILED) co_return Failed(*opened);
    // libpq may have closed its socket and opened the next host's: always ask for it anew.
    const int fd = PQsocket(opened->connection.get());
    if (fd < 0) co_return Failed(*opened);
    const FdEvent event = opened->next == PGRES_POLLING_READING ? FdEvent::kRead : FdEvent::kWrite;
    const bool ready = co_await WaitFd(fd, event, deadline);
    if (!ready) co_return TimedOut(target);
    // Polling may resolve the next host's name and read certificate files.
    auto poll = [connection = std::move(opened->connection)] { return Poll(connection); };
    auto polled = co_await Offload(runtime, std::move(poll), deadline);
    if (!polled) co_return TimedOut(target);
    opened = std::move(polled);
  }
  std::unique_ptr<PgConnection> connection(
      new PgConnection(runtime, std::move(opened->connection)));
  PGconn* raw = connection->connection_.get();
  PQsetErrorVerbosity(raw, PQERRORS_DEFAULT);
  PQsetnonblocking(raw, 1);
  connection->notices_ = std::make_shared<std::deque<PgNotice>>();
  PQsetNoticeReceiver(raw, &ReceiveNotice, connection->notices_.get());

  if (target.transaction_scoped) {
    connection->transaction_scoped_ = true;
    co_return connection;
  }
  std::string sql = SafeSession(raw, target);
  auto safe = co_await connection->Script(std::move(sql), target.connect_timeout);
  if (!safe) {
    const bool timeout = safe.error().code == Errc::kTimeout;
    if (timeout) co_return TimedOut(target);
    const std::string& sqlstate = safe.error().sqlstate;
    const bool lost = safe.error().code == Errc::kConnectionLost;
    const ServerState state = lost ? ServerState::kLost : ServerState::kFailed;
    co_return OpenFailure{state, Error(Errc::kUnavailable, safe.error().message, sqlstate)};
  }
  co_return connection;
}

PgConnection::~PgConnection() {
  if (!under_way_ || PQstatus(connection_.get()) != CONNECTION_OK) return;
  if (*runtime_.cancel_requests >= kMaxCancelRequests) return;
  std::shared_ptr<PGcancel> cancel(PQgetCancel(connection_.get()), &PQfreeCancel);
  if (!cancel) return;
  ++*runtime_.cancel_requests;
  // The connection is closed after the request: a pooler forgets its key with it.
  boost::asio::post(runtime_.blocking, [cancel, connection = std::move(connection_),
                                        under_way = runtime_.cancel_requests] {
    std::array<char, 256> error{};
    PQcancel(cancel.get(), error.data(), static_cast<int>(error.size()));
    --*under_way;
  });
}

Task<Result<PgResult>> PgConnection::Query(std::string sql, PgValues values, Duration timeout) {
  co_return co_await Run(Form::kParameters, std::move(sql), std::move(values), timeout);
}

Task<Result<PgResult>> PgConnection::Script(std::string sql, Duration timeout) {
  co_return co_await Run(Form::kScript, std::move(sql), PgValues(), timeout);
}

Task<Result<PgResult>> PgConnection::Run(Form form, std::string sql, PgValues values,
                                         Duration timeout) {
  if (!usable()) co_return Lost();
  const Deadline deadline = SteadyNow() + timeout;
  // The server gives up a little before we do: its error is cheaper than our cancel. Not inside a
  // transaction, where a SET can fail or be rolled back.
  const bool idle = PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
  if (idle && !transaction_scoped_ && statement_timeout_ != timeout) {
    const Duration margin = std::min<Duration>(timeout / 10, std::chrono::milliseconds(500));
    std::string set = "SET statement_timeout = " + Milliseconds(timeout - margin);
    auto done = co_await Exchange(Form::kScript, std::move(set), PgValues(), deadline);
    if (!done) co_return done.error();
    statement_timeout_ = timeout;
  }
  co_return co_await Exchange(form, std::move(sql), std::move(values), deadline);
}

Task<Result<PgResult>> PgConnection::Exchange(Form form, std::string sql, PgValues values,
                                              Deadline deadline) {
  PGconn* raw = connection_.get();
  std::vector<const char*> parameters;
  for (const auto& value : values) parameters.push_back(value ? value->c_str() : nullptr);
  // Broken until the last result is read: a coroutine that is unwound half way must not leave a
  // connection behind that somebody uses again.
  broken_ = true;
  under_way_ = true;
  const int sent = form == Form::kScript
                       ? PQsendQuery(raw, sql.c_str())
                       : PQsendQueryParams(raw, sql.c_str(), static_cast<int>(parameters.size()),
                                           nullptr, parameters.data(), nullptr, nullptr, 0);
  if (!sent) co_return Lost();
  const bool flushed = co_await Flush(deadline);
  if (!flushed) {
    co_await CancelAndDrain();
    co_return Error(Errc::kTimeout, "the statement could not be sent in time");
  }
  PgResult last;
  std::optional<Error> failure;
  for (;;) {
    auto next = co_await NextResult(deadline);
    if (!next) {
      co_await CancelAndDrain();
      co_return Error(Errc::kTimeout, "no answer in time, the statement was cancelled");
    }
    if (*next == nullptr) break;
    PgResult result(*next);
    const ExecStatusType status = PQresultStatus(result.get());
    if (IsCopy(status)) {
      // Stays broken: nobody here speaks COPY, and the session waits for it.
      co_return Error(Errc::kQueryFailed, "COPY is not possible here; the connection was closed");
    }
    if (IsFailure(status)) {
      if (!failure) failure = ErrorOfResult(result.get());
    } else {
      last = std::move(result);
    }
  }
  under_way_ = false;
  broken_ = PQstatus(raw) != CONNECTION_OK;
  if (failure) {
    if (broken_) failure->code = Errc::kConnectionLost;
    co_return *failure;
  }
  if (broken_) co_return Lost();
  co_return last;
}

Task<bool> PgConnection::Flush(Deadline deadline) {
  PGconn* raw = connection_.get();
  for (;;) {
    // -1 is a broken connection: reading the result tells the reason.
    if (PQflush(raw) <= 0) co_return true;
    const int fd = PQsocket(raw);
    if (fd < 0) co_return true;
    const bool writable = co_await WaitFd(fd, FdEvent::kWrite, deadline);
    if (!writable) co_return false;
  }
}

Task<std::optional<PGresult*>> PgConnection::NextResult(Deadline deadline) {
  PGconn* raw = connection_.get();
  // Look before waiting: libpq may hold the answer already.
  while (PQisBusy(raw)) {
    const int fd = PQsocket(raw);
    if (fd < 0) break;  // libpq closed its socket on a fatal error; the result says which
    const bool readable = co_await WaitFd(fd, FdEvent::kRead, deadline);
    if (!readable) co_return std::nullopt;
    if (!PQconsumeInput(raw)) break;
  }
  co_return PQgetResult(raw);
}

Task<void> PgConnection::CancelAndDrain() {
  if (*runtime_.cancel_requests >= kMaxCancelRequests) co_return;
  const Deadline grace = SteadyNow() + kDrainGrace;
  std::shared_ptr<PGcancel> cancel(PQgetCancel(connection_.get()), &PQfreeCancel);
  if (!cancel) co_return;
  under_way_ = false;  // one request is enough
  ++*runtime_.cancel_requests;
  auto request = [cancel, under_way = runtime_.cancel_requests] {
    std::array<char, 256> error{};
    const int sent = PQcancel(cancel.get(), error.data(), static_cast<int>(error.size()));
    --*under_way;
    return sent == 1;
  };
  auto sent = co_await Offload(runtime_, std::move(request), grace);
  if (!sent || !*sent) co_return;
  // No other statement before the drain is finished: a late cancel would hit it.
  for (;;) {
    auto next = co_await NextResult(grace);
    if (!next) co_return;
    if (*next == nullptr) break;
    const PgResult result(*next);
    if (IsCopy(PQresultStatus(result.get()))) co_return;
  }
  broken_ = PQstatus(connection_.get()) != CONNECTION_OK;
}

Error PgConnection::Lost() {
  broken_ = true;
  const ConnectFailure failure = ParseConnectFailure(PQerrorMessage(connection_.get()));
  return Error(Errc::kConnectionLost,
               failure.message.empty() ? "the connection is closed" : failure.message,
               failure.sqlstate);
}

std::vector<PgNotice> PgConnection::TakeNotices() {
  std::vector<PgNotice> taken(notices_->begin(), notices_->end());
  notices_->clear();
  return taken;
}

}  // namespace pgsteward
