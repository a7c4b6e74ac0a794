#include "jobs/backup/child_connection.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

namespace pgsteward {

namespace {

// In the child.
constexpr int kServiceFd = 3;
constexpr int kPasswordFd = 4;

Result<Fd> InMemory(const char* name, std::string_view text) {
  Fd file(::memfd_create(name, MFD_CLOEXEC));
  // libpq takes no password from a file that others could read.
  const bool made =
      file.open() && ::fchmod(file.get(), 0600) == 0 &&
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (made) return file;
  return Error(Errc::kUnavailable, std::string("cannot make a file in memory: ") +
                                       std::generic_category().message(errno));
}

// Ours is in the service file already, and the rest of libpq's would change what a dump says.
std::vector<std::string> Environment() {
  std::vector<std::string> environment;
  for (std::string& entry : InheritedEnvironment()) {
    if (!entry.starts_with("PG") && !entry.starts_with("LC_") && !entry.starts_with("LANG")) {
      environment.push_back(std::move(entry));
    }
  }
  environment.emplace_back("LC_ALL=C");
  environment.push_back("PGSERVICEFILE=" + PathOfFd(kServiceFd));
  return environment;
}

}  // namespace

Result<ChildConnection> ChildConnection::Make(PgService service, const std::string& application,
                                              const std::string& options) {
  std::string& text = service.service_file;
  text += "application_name=" + application + "\n";
  if (!options.empty()) {
    const auto given = text.find("\noptions=");
    if (given == std::string::npos) {
      text += "options=" + options + "\n";
    } else {
      text.insert(text.find('\n', given + 1), " " + options);
    }
  }
  ChildConnection connection;
  if (!service.password_file.empty()) {
    text += "passfile=" + PathOfFd(kPasswordFd) + "\n";
    auto password = InMemory("password", service.password_file);
    if (!password) return password.error();
    connection.password_ = std::move(*password);
  }
  auto file = InMemory("service", text);
  if (!file) return file.error();
  connection.service_ = std::move(*file);
  return connection;
}

void ChildConnection::Lend(StreamChildSpec& spec) const {
  spec.environment = Environment();
  spec.inherited.push_back({service_.get(), kServiceFd});
  if (password_.open()) spec.inherited.push_back({password_.get(), kPasswordFd});
}

}  // namespace pgsteward
