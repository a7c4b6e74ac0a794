// Damaged files: whatever happens to them, the daemon says something sensible and no secret.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/pg_connection.h"
#include "core/pg_conninfo.h"
#include "tests/daemon/config_fixture.h"

namespace pgsteward {
namespace {

constexpr char kSecretWord[] = "swordfish";

// Six letters of the word are as bad as all.
bool Leaks(const std::string& text) { return text.find("swordf") != std::string::npos; }

// Everything that could be shown to somebody.
std::string Output(const boost::system::result<LoadedConfig, std::vector<ConfigProblem>>& loaded) {
  std::string text;
  const auto& problems = loaded ? loaded->warnings : loaded.error();
  for (const ConfigProblem& problem : problems) text += problem.ToText() + "\n";
  if (!loaded) return text;
  for (const ServerConfig& server : loaded->config.servers) {
    PgTarget target;
    target.conninfo = server.conninfo;
    text += TargetLabel(target) + "\n";
  }
  return text + PrintConfig(loaded->config);
}

std::string Plant(std::string text) {
  const std::string place = "user=pgsteward";
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place, at + 1)) {
    text.insert(at, "password=" + std::string(kSecretWord) + " ");
    at += 30;
  }
  return text;
}

TEST_F(ConfigTest, TruncatedSampleNeverCrashesOrLeaks) {
  const std::string sample = Plant(ReadSource("systemd/pgsteward.yaml"));
  ASSERT_TRUE(Leaks(sample));
  std::size_t refused = 0;
  // The jobs at its end are many and alike: there not every byte.
  const std::size_t jobs = sample.find("\njobs:\n");
  for (std::size_t size = 0; size <= sample.size(); size += size < jobs + 1000 ? 1 : 41) {
    const auto loaded = LoadConfig(Write("c.yaml", sample.substr(0, size)));
    if (!loaded) {
      ++refused;
      ASSERT_FALSE(loaded.error().empty()) << "cut at byte " << size;
    }
    ASSERT_FALSE(Leaks(Output(loaded))) << "cut at byte " << size << "\n" << Output(loaded);
  }
  EXPECT_GT(refused, 0U);
  EXPECT_LT(refused, sample.size()) << "the whole sample is accepted";
}

TEST_F(ConfigTest, ChangedByteNeverCrashesOrLeaks) {
  const std::string text = R"(servers:
  - {name: a, conninfo: host=h password=swordfish user=u}
  - name: b
    conninfo: "postgresql://u:swordfish@h/d?sslpassword=swordfish"
  - name: c
    conninfo: host=h password=swordfish
    databases: [x]
time_zone: UTC
)";
  // Without this byte the word is a part of the user's name, for libpq as for us.
  const std::size_t before_uri_password = text.find("u:") + 1;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at == before_uri_password) continue;
    for (const char byte : std::string("\n\t :,\"'[]{}*&!#%|>?-=@/\\\0\xff", 27)) {
      std::string changed = text;
      changed[at] = byte;
      const auto loaded = LoadConfig(Write("c.yaml", changed));
      ASSERT_FALSE(Leaks(Output(loaded))) << at << " " << changed << "\n" << Output(loaded);
    }
  }
}

}  // namespace
}  // namespace pgsteward
