// One connection to PostgreSQL over libpq's asynchronous interface.
#pragma once

#include <libpq-fe.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/pg_error.h"
#include "core/pg_result.h"
#include "core/runtime.h"
#include "core/task.h"

namespace pgsteward {

// Where to connect and how the session behaves.
struct PgTarget {
  std::string conninfo;       // keyword string or URI; libpq's environment, passfile and service
                              // file fill in the rest
  std::string database;       // overrides the conninfo's dbname; empty: as the conninfo says
  std::string password_file;  // read anew at each attempt; empty: libpq's own sources
  std::string part = "collector";  // application_name is "pgsteward:<part>"
  bool read_only = true;           // default_transaction_read_only
  // Only what nobody else can write into: an operator or function of the same name in another
  // schema would run with our rights. Everything else is named with its schema.
  std::string search_path = "pg_catalog";
  Duration connect_timeout = std::chrono::seconds(5);
  Duration lock_timeout = std::chrono::milliseconds(500);
  // Sends no setting that outlives a transaction, so that a pooler may lie between: whoever uses
  // the connection sets what it needs with SET LOCAL. read_only, search_path and lock_timeout are
  // not applied, and only we bound the statements.
  bool transaction_scoped = false;
};

// "15.18": of the libpq at run time.
std::string LibpqVersion();

// Parameters $1, $2, ... in text form; empty is NULL.
using PgValues = std::vector<std::optional<std::string>>;

// A notice or warning of the server.
struct PgNotice {
  std::string severity;  // "WARNING", not localized
  std::string sqlstate;
  std::string message;

  std::string Text() const { return severity + ": " + message; }
};

struct OpenFailure {
  ServerState state = ServerState::kFailed;
  Error error;
};

class PgConnection {
 public:
  // Connects and makes the session safe: statement_timeout, lock_timeout,
  // idle_in_transaction_session_timeout, row_security=off (an error instead of silently missing
  // rows), jit=off, pinned search_path, UTC, read-only where the target says so.
  static Task<boost::system::result<std::unique_ptr<PgConnection>, OpenFailure>> Open(
      Runtime& runtime, PgTarget target);

  // One statement with parameters. `timeout` bounds it twice: by the server's statement_timeout,
  // and a little later by us, with a cancel request and a drain. After a timeout the connection is
  // usable again, or closed when the server did not answer the cancel either.
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout);
  // Statements separated by semicolons, without parameters; the last one's result. Outside an
  // explicit BEGIN they form one transaction.
  Task<Result<PgResult>> Script(std::string sql, Duration timeout);

  // A statement that is under way is cancelled on the server as well: a backend that is busy does
  // not notice that its client went away.
  ~PgConnection();
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;

  // False after an error that leaves nothing to hold on to: throw the connection away.
  bool usable() const { return !broken_ && PQstatus(connection_.get()) == CONNECTION_OK; }
  int server_version() const { return PQserverVersion(connection_.get()); }  // 150018
  // As the connection began: a pooler tells another one than answers.
  int backend_pid() const { return PQbackendPID(connection_.get()); }
  bool in_transaction() const { return PQtransactionStatus(connection_.get()) != PQTRANS_IDLE; }
  std::string database() const { return PQdb(connection_.get()); }
  // Notices and warnings of the server since the last call, the newest 100.
  std::vector<PgNotice> TakeNotices();

 private:
  PgConnection(Runtime& runtime, std::shared_ptr<PGconn> connection)
      : runtime_(runtime), connection_(std::move(connection)) {}

  enum class Form { kParameters, kScript };
  Task<Result<PgResult>> Run(Form form, std::string sql, PgValues values, Duration timeout);
  Task<Result<PgResult>> Exchange(Form form, std::string sql, PgValues values, Deadline deadline);
  Task<bool> Flush(Deadline deadline);
  // The next result, null at the end of the statement; empty at the deadline.
  Task<std::optional<PGresult*>> NextResult(Deadline deadline);
  Task<void> CancelAndDrain();
  Error Lost();

  Runtime& runtime_;
  // Shared with the blocking pool while connecting, and only then.
  std::shared_ptr<PGconn> connection_;
  std::shared_ptr<std::deque<PgNotice>> notices_;
  std::optional<Duration> statement_timeout_;
  bool transaction_scoped_ = false;
  bool broken_ = false;
  bool under_way_ = false;  // a statement was sent whose end has not come
};

}  // namespace pgsteward
