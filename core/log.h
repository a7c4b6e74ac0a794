// Structured log lines: a constant message and key=value fields, one line each, UTC, to stderr.
// The only home of spdlog (log.cc).
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pgsteward {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat {
  kLogfmt,
  kJson,
};

struct LogField {
  LogField(std::string_view k, std::string_view text) : key(k), value(text) {}
  LogField(std::string_view k, const char* text) : key(k), value(text) {}
  LogField(std::string_view k, const std::string& text) : key(k), value(text) {}
  template <std::integral T>
  LogField(std::string_view k, T number) : key(k), value(std::to_string(number)) {}
  LogField(std::string_view k, double number);

  std::string_view key;
  std::string value;
};
using LogFields = std::initializer_list<LogField>;

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
};

// May be called again (reload). Under systemd's journal (JOURNAL_STREAM names our stderr) lines
// carry a priority prefix "<6>" and no time, because the journal stamps them itself.
void InitLog(LogOptions options);

// `message` is a constant, lower case, without full stop. Values may be hostile (they come from
// the database): they are quoted and control characters are escaped, so a line is always one line.
void Log(LogLevel level, std::string_view message, const std::vector<LogField>& fields);

inline void LogDebug(std::string_view message, LogFields fields = {}) {
  Log(LogLevel::kDebug, message, fields);
}
inline void LogInfo(std::string_view message, LogFields fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarning(std::string_view message, LogFields fields = {}) {
  Log(LogLevel::kWarning, message, fields);
}
inline void LogError(std::string_view message, LogFields fields = {}) {
  Log(LogLevel::kError, message, fields);
}

// The fields of an error: err, sqlstate and hint, those that are set, after `fields`.
std::vector<LogField> WithError(LogFields fields, const Error& error);

// How many lines were written since the start, by level (debug, info, warning, error).
std::array<std::uint64_t, 4> LogCounts();
std::string_view LogLevelName(LogLevel level);

// Pure: one line without the newline. `time` is RFC 3339 or empty (under the journal).
std::string FormatLogLine(LogFormat format, LogLevel level, std::string_view time,
                          std::string_view message, const std::vector<LogField>& fields);

// For tests: while alive, lines (without time) are collected here instead of written.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  friend void Log(LogLevel, std::string_view, const std::vector<LogField>&);
  std::vector<std::string> lines_;
};

}  // namespace pgsteward
