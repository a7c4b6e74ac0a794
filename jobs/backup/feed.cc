#include "jobs/backup/feed.h"

#include <csignal>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace pgsteward {

namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;
constexpr std::size_t kTail = 512;
// After the last byte: building indexes and constraints takes as long as it takes, and whoever
// does not want to wait flips the switch.
constexpr Duration kEndTakesAtMost = std::chrono::hours(72);

void KeepTail(std::string& tail, std::span<const std::byte> bytes) {
  const std::span<const std::byte> last = bytes.size() > kTail ? bytes.last(kTail) : bytes;
  tail.append(reinterpret_cast<const char*>(last.data()), last.size());
  if (tail.size() > kTail) tail.erase(0, tail.size() - kTail);
}

std::string ProgramName(const std::vector<std::string>& argv) {
  // Behind setpriv and its options.
  for (const std::string& word : argv) {
    const std::string name = word.substr(word.rfind('/') + 1);
    if (name.starts_with("pg_") || name == "psql") return name;
  }
  return argv.front();
}

// The first error says what went wrong; what follows is its consequence.
std::string FirstErrorOf(const std::string& text) {
  std::string first;
  std::size_t at = text.find("error:");
  if (at == std::string::npos) at = text.find("ERROR:");
  if (at == std::string::npos) at = text.find("FATAL:");
  const std::size_t begin = at == std::string::npos ? 0 : text.rfind('\n', at) + 1;
  first = text.substr(begin, 1000);
  first.erase(first.find_last_not_of(" \r\n") + 1);
  return first;
}

Result<void> Ended(StreamChild& child, const std::string& name, const StopSwitch& stop) {
  auto outcome = child.Wait(SteadyNow() + kEndTakesAtMost);
  if (stop.stopped()) return Stopped();
  if (!outcome) return outcome.error();
  if (outcome->ok()) return Result<void>();
  const std::string how = outcome->signal != 0
                              ? " was ended by signal " + std::to_string(outcome->signal)
                              : " ended with exit code " + std::to_string(outcome->exit_code);
  const std::string why = FirstErrorOf(outcome->error_output);
  return Error(Errc::kChildFailed, name + how + (why.empty() ? "" : ": " + why));
}

bool EndsWithTrailer(std::string_view tail, std::string_view trailer) {
  const std::size_t at = tail.rfind(trailer);
  if (at == std::string_view::npos) return false;
  std::string_view rest = tail.substr(at + trailer.size());
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    if (!line.empty() && line != "--" && !line.starts_with("\\unrestrict ")) return false;
    if (end == std::string_view::npos) return false;
    rest.remove_prefix(end + 1);
  }
  return true;
}

}  // namespace

Result<Fed> ReadThrough(StoredStream& stream, const FeedProgress& progress) {
  std::vector<std::byte> block(kBlock);
  Fed fed;
  for (;;) {
    auto n = stream.Read(block);
    if (!n) return n.error();
    if (*n == 0) return fed;
    const auto bytes = std::span<const std::byte>(block).first(*n);
    fed.bytes += *n;
    KeepTail(fed.tail, bytes);
    if (progress) progress(*n);
  }
}

Result<std::string> ReadAll(StoredStream& stream, std::size_t most) {
  std::vector<std::byte> block(kBlock);
  std::string text;
  for (;;) {
    auto n = stream.Read(block);
    if (!n) return n.error();
    if (*n == 0) return text;
    text.append(reinterpret_cast<const char*>(block.data()), *n);
    if (text.size() > most) {
      return Error(Errc::kUnsupported,
                   "is larger than " + std::to_string(most >> 20) + " MiB, too large for this");
    }
  }
}

Result<Fed> FeedProgram(StoredStream& stream, StreamChildSpec spec, StopSwitch& stop,
                        const FeedProgress& progress) {
  const std::string name = ProgramName(spec.argv);
  spec.output = StreamEnd::kNull;
  auto started = StreamChild::Start(std::move(spec));
  if (!started) return started.error();
  StreamChild& child = **started;
  const StopSwitch::Attached attached(stop, child);
  std::vector<std::byte> block(kBlock);
  Fed fed;
  for (;;) {
    auto n = stream.Read(block);
    if (!n) {
      child.Kill(SIGKILL);
      (void)child.Wait(SteadyNow());
      return n.error();
    }
    if (*n == 0) break;
    const auto bytes = std::span<const std::byte>(block).first(*n);
    auto written = child.Write(bytes);
    if (!written) {
      // It has given up, or thinks that it has seen the end.
      if (const std::optional<Error> fault = stream.Fault()) return *fault;
      auto ended = Ended(child, name, stop);
      if (!ended) return ended.error();
      return Error(Errc::kQueryFailed, "goes on behind the end of the dump");
    }
    fed.bytes += *n;
    KeepTail(fed.tail, bytes);
    if (progress) progress(*n);
  }
  child.CloseInput();
  auto ended = Ended(child, name, stop);
  if (!ended) return ended.error();
  return fed;
}

Result<void> FeedText(std::string_view text, StreamChildSpec spec, StopSwitch& stop) {
  const std::string name = ProgramName(spec.argv);
  spec.output = StreamEnd::kNull;
  auto started = StreamChild::Start(std::move(spec));
  if (!started) return started.error();
  StreamChild& child = **started;
  const StopSwitch::Attached attached(stop, child);
  const auto written = child.Write(std::as_bytes(std::span(text.data(), text.size())));
  child.CloseInput();
  auto ended = Ended(child, name, stop);
  if (ended && !written) return written.error();
  return ended;
}

std::vector<std::string> PgProgramEnvironment() {
  std::vector<std::string> environment = InheritedEnvironment();
  std::erase_if(environment, [](const std::string& entry) {
    return entry.starts_with("PG") || entry.starts_with("LC_") || entry.starts_with("LANG");
  });
  environment.emplace_back("LC_ALL=C.UTF-8");
  environment.emplace_back("PGAPPNAME=pgsteward:restore");
  environment.emplace_back(
      "PGOPTIONS=-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 "
      "-c row_security=off -c idle_session_timeout=0");
  return environment;
}

bool HasDumpTrailer(std::string_view tail) {
  return EndsWithTrailer(tail, "-- PostgreSQL database dump complete\n");
}

bool HasGlobalsTrailer(std::string_view tail) {
  return EndsWithTrailer(tail, "-- PostgreSQL database cluster dump complete\n");
}

}  // namespace pgsteward
