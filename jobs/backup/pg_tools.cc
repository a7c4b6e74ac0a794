#include "jobs/backup/pg_tools.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>

#include "core/process.h"
#include "core/wait.h"

namespace pgsteward {

namespace {

constexpr Duration kAnswersWithin = std::chrono::seconds(10);

std::vector<std::string> Folders(int major, const std::vector<std::string>& directories) {
  std::vector<std::string> folders = directories;
  const std::string number = std::to_string(major);
  folders.push_back("/usr/lib/postgresql/" + number + "/bin");
  folders.push_back("/usr/pgsql-" + number + "/bin");
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path ? path : ""; !rest.empty();) {
    const auto colon = rest.find(':');
    folders.emplace_back(rest.substr(0, colon));
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return folders;
}

// Blocks: a folder may lie on a file system that hangs.
std::vector<std::string> Candidates(const std::string& name,
                                    const std::vector<std::string>& folders) {
  std::vector<std::string> found;
  std::set<std::string> seen;
  for (const std::string& folder : folders) {
    if (folder.empty() || folder[0] != '/') continue;
    std::string path = folder + "/" + name;
    if (seen.insert(path).second && ::access(path.c_str(), X_OK) == 0) found.push_back(path);
  }
  return found;
}

// "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" -> "15.18"; also "16beta1".
std::string VersionIn(std::string_view text) {
  const auto mark = text.find("(PostgreSQL) ");
  if (mark == std::string_view::npos) return {};
  text.remove_prefix(mark + std::string_view("(PostgreSQL) ").size());
  return std::string(text.substr(0, text.find_first_of(" \r\n")));
}

Error NoneOf(const std::string& name, int major, const std::string& found) {
  const bool of_server = name == "initdb" || name == "pg_ctl" || name == "postgres";
  const std::string package =
      (of_server ? "postgresql-" : "postgresql-client-") + std::to_string(major);
  return Error(Errc::kUnsupported,
               "there is no " + name + " of PostgreSQL " + std::to_string(major) +
                   (found.empty() ? "" : "; found: " + found),
               {}, "Install the package " + package + ", or name its folder in tools.");
}

}  // namespace

Task<Result<PgTool>> FindPgTool(Runtime& runtime, std::string name, int major,
                                std::vector<std::string> directories) {
  std::vector<std::string> folders = Folders(major, directories);
  auto look = [name, folders = std::move(folders)] { return Candidates(name, folders); };
  auto looking = Offload(runtime, std::move(look), SteadyNow() + kAnswersWithin);
  auto candidates = co_await std::move(looking);
  if (!candidates) {
    co_return Error(Errc::kTimeout, "looking for " + name +
                                        " took too long: a folder of tools or "
                                        "of the PATH does not answer");
  }
  std::string found;
  for (const std::string& path : *candidates) {
    std::vector<std::string> argv;
    argv.push_back(path);
    argv.emplace_back("--version");
    ProcessSpec spec(std::move(argv));
    auto outcome = co_await RunProcess(runtime, std::move(spec), SteadyNow() + kAnswersWithin);
    PgTool tool;
    tool.path = path;
    if (outcome && outcome->ok()) tool.version = VersionIn(outcome->output);
    std::from_chars(tool.version.data(), tool.version.data() + tool.version.size(), tool.major);
    if (tool.major == major) co_return tool;
    if (!found.empty()) found += ", ";
    found += path + " (" + (tool.version.empty() ? "says no version" : tool.version) + ")";
  }
  co_return NoneOf(name, major, found);
}

Task<Result<void>> FindPgTools(Runtime& runtime, std::vector<WantedTool> wanted, int major,
                               std::vector<std::string> directories) {
  for (const WantedTool& each : wanted) {
    std::string name = each.name;
    auto tool = co_await FindPgTool(runtime, std::move(name), major, directories);
    if (!tool) co_return tool.error();
    *each.path = tool->path;
  }
  co_return Result<void>();
}

}  // namespace pgsteward
