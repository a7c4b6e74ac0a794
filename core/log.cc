#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "core/utf8.h"

namespace pgsteward {

namespace {

struct LogState {
  LogOptions options;
  bool journal = false;
  std::shared_ptr<spdlog::logger> logger;
  std::array<std::uint64_t, 4> counts{};
  LogCapture* capture = nullptr;
};

LogState& State() {
  static LogState state;
  return state;
}

// systemd sets JOURNAL_STREAM to "device:inode" of the stream it connected; our stderr may have
// been redirected since.
bool StderrIsJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st {};
  if (!stream || ::fstat(STDERR_FILENO, &st) != 0) return false;
  return std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino) == stream;
}

std::string UtcNow() {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms % 1000);
}

// JSON string syntax; logfmt readers (go-logfmt) take the same escapes.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : ValidUtf8(text)) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (u < 0x20 || u == 0x7f) {
      out += fmt::format("\\u{:04x}", u);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string LogfmtValue(std::string_view text) {
  if (text.empty()) return "\"\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\' || c == 0x7f) {
      return Quoted(text);
    }
  }
  return ValidUtf8(text);
}

int SyslogPriority(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return 3;
    case LogLevel::kWarning:
      return 4;
    case LogLevel::kInfo:
      return 6;
    case LogLevel::kDebug:
      return 7;
  }
  return 6;
}

}  // namespace

LogField::LogField(std::string_view k, double number)
    : key(k), value(fmt::format("{:.3f}", number)) {}

std::string_view LogLevelName(LogLevel level) {
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  return kNames[static_cast<std::size_t>(level)];
}

std::string FormatLogLine(LogFormat format, LogLevel level, std::string_view time,
                          std::string_view message, const std::vector<LogField>& fields) {
  std::string line;
  if (format == LogFormat::kJson) {
    line = "{";
    if (!time.empty()) line += "\"time\":" + Quoted(time) + ",";
    line += "\"level\":" + Quoted(LogLevelName(level)) + ",\"msg\":" + Quoted(message);
    for (const LogField& f : fields) line += "," + Quoted(f.key) + ":" + Quoted(f.value);
    return line + "}";
  }
  if (!time.empty()) line += "time=" + std::string(time) + " ";
  line += "level=" + std::string(LogLevelName(level)) + " msg=" + LogfmtValue(message);
  for (const LogField& f : fields) line += " " + std::string(f.key) + "=" + LogfmtValue(f.value);
  return line;
}

void InitLog(LogOptions options) {
  LogState& state = State();
  state.options = options;
  state.journal = StderrIsJournal();
  if (state.logger) return;
  state.logger = std::make_shared<spdlog::logger>(
      "pgsteward", std::make_shared<spdlog::sinks::stderr_sink_st>());
  state.logger->set_pattern("%v");
  state.logger->set_level(spdlog::level::trace);
  state.logger->flush_on(spdlog::level::trace);
}

void Log(LogLevel level, std::string_view message, const std::vector<LogField>& fields) {
  LogState& state = State();
  if (state.capture) {
    ++state.counts[static_cast<std::size_t>(level)];
    state.capture->lines_.push_back(FormatLogLine(LogFormat::kLogfmt, level, "", message, fields));
    return;
  }
  if (level < state.options.level) return;
  ++state.counts[static_cast<std::size_t>(level)];
  if (!state.logger) InitLog(state.options);
  std::string line;
  if (state.journal) line = "<" + std::to_string(SyslogPriority(level)) + ">";
  line +=
      FormatLogLine(state.options.format, level, state.journal ? "" : UtcNow(), message, fields);
  state.logger->log(spdlog::level::info, line);
}

std::vector<LogField> WithError(LogFields fields, const Error& error) {
  std::vector<LogField> all(fields);
  all.emplace_back("err", error.message);
  if (!error.sqlstate.empty()) all.emplace_back("sqlstate", error.sqlstate);
  if (!error.hint.empty()) all.emplace_back("hint", error.hint);
  return all;
}

std::array<std::uint64_t, 4> LogCounts() { return State().counts; }

LogCapture::LogCapture() { State().capture = this; }
LogCapture::~LogCapture() { State().capture = nullptr; }

}  // namespace pgsteward
