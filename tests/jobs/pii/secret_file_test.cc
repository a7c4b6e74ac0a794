#include "jobs/pii/secret_file.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "jobs/pii/parameter_logging.h"

namespace pgsteward {
namespace {

class SecretFileTest : public ::testing::Test {
 protected:
  SecretFileTest() {
    std::string path = ::testing::TempDir() + "/secretXXXXXX";
    directory_ = ::mkdtemp(path.data());
  }
  ~SecretFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Read(const std::string& content) {
    const std::string path = directory_ + "/key";
    std::ofstream(path, std::ios::binary) << content;
    const auto secret = ReadSecretFile(path);
    if (secret) return "key " + secret->text();
    return secret.error().message.substr(("key file " + path).size() + 1);
  }

  std::string directory_;
};

TEST_F(SecretFileTest, TakesOneLine) {
  EXPECT_EQ(Read("abc"), "key abc");
  EXPECT_EQ(Read("abc \n"), "key abc ");
  EXPECT_EQ(Read("abc\r\n"), "key abc");
  EXPECT_EQ(Read(std::string(4096, 'x') + "\n"), "key " + std::string(4096, 'x'));
}

TEST_F(SecretFileTest, RefusesTheRestWithoutShowingIt) {
  EXPECT_EQ(Read(""), "is empty or cannot be read");
  EXPECT_EQ(Read("\n"), "is empty or cannot be read");
  EXPECT_EQ(Read("abc\ndef"), "has more than one line");
  EXPECT_EQ(Read("abc\n\n"), "has more than one line");
  EXPECT_EQ(Read(std::string("a\0b", 3)), "is not text");
  EXPECT_EQ(Read("a\xff"), "is not UTF-8");
  EXPECT_EQ(Read(std::string(4097, 'x')), "is longer than 4096 bytes");
  EXPECT_EQ(ReadSecretFile(directory_).error().message, "key file " + directory_ + " is not there");
  EXPECT_EQ(ReadSecretFile("/nowhere").error().message, "key file /nowhere is not there");
}

LogSetting Setting(std::string name, std::string value, bool may_set = false) {
  LogSetting setting;
  setting.name = std::move(name);
  setting.value = std::move(value);
  setting.may_set = may_set;
  return setting;
}

// "name=value ...|leak"
std::string Silenced(const std::vector<LogSetting>& settings) {
  const Silencing silencing = SilenceParameters(settings);
  std::string text;
  for (const auto& [name, value] : silencing.local) text += name + "=" + value + " ";
  return text + "|" + silencing.leak;
}

TEST(SilenceParametersTest, SetsWhatItMayAndTellsWhatItMayNot) {
  EXPECT_EQ(Silenced({}), "|");
  EXPECT_EQ(Silenced({Setting("log_parameter_max_length", "-1"), Setting("log_statement", "none"),
                      Setting("log_min_duration_statement", "-1"),
                      Setting("log_min_duration_sample", "-1"),
                      Setting("log_transaction_sample_rate", "0"),
                      Setting("log_parameter_max_length_on_error", "0", true)}),
            "|");
  EXPECT_EQ(Silenced({Setting("log_parameter_max_length", "0"), Setting("log_statement", "all")}),
            "|");
  EXPECT_EQ(Silenced({Setting("log_parameter_max_length", "80"), Setting("log_statement", "mod")}),
            "|log_parameter_max_length = 80 with log_statement = mod");
  EXPECT_EQ(Silenced({Setting("log_parameter_max_length", "-1"),
                      Setting("log_transaction_sample_rate", "0.01")}),
            "|log_parameter_max_length = -1 with log_transaction_sample_rate = 0.01");
  EXPECT_EQ(
      Silenced({Setting("log_parameter_max_length", "-1", true),
                Setting("log_parameter_max_length_on_error", "-1", true),
                Setting("debug_print_plan", "on", true)}),
      "log_parameter_max_length=0 log_parameter_max_length_on_error=0 debug_print_plan=off |");
  EXPECT_EQ(Silenced({Setting("auto_explain.log_min_duration", "100"),
                      Setting("pgaudit.log_parameter", "on")}),
            "|auto_explain.log_min_duration = 100; pgaudit.log_parameter = on");
}

}  // namespace
}  // namespace pgsteward
