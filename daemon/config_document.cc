#include "daemon/config_document.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <sstream>
#include <tuple>

namespace pgsteward {

namespace {

// Fails on a file with a syntax error, and knows where a second document begins: YAML::LoadAll
// stops at an empty document and says nothing about those behind it.
class DocumentCounter : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { start_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  const YAML::Mark& start() const { return start_; }

 private:
  YAML::Mark start_;
};

std::vector<ConfigProblem> Ordered(std::vector<ConfigProblem> problems) {
  const auto key = [](const ConfigProblem& p) { return std::tie(p.line, p.column, p.message); };
  std::sort(problems.begin(), problems.end(),
            [&](const auto& a, const auto& b) { return key(a) < key(b); });
  const auto end = std::unique(problems.begin(), problems.end(),
                               [&](const auto& a, const auto& b) { return key(a) == key(b); });
  problems.erase(end, problems.end());
  return problems;
}

ConfigProblem ProblemAt(const std::string& file, const YAML::Mark& at, const Error& error) {
  return {.file = file, .line = at.line + 1, .column = at.column + 1, .message = ToText(error)};
}

}  // namespace

void ConfigProblems::AddError(const YAML::Mark& at, const Error& error) {
  errors_.push_back(ProblemAt(file_, at, error));
}

void ConfigProblems::AddWarning(const YAML::Mark& at, const Error& warning) {
  warnings_.push_back(ProblemAt(file_, at, warning));
}

std::vector<ConfigProblem> ConfigProblems::TakeErrors() { return Ordered(std::move(errors_)); }

std::vector<ConfigProblem> ConfigProblems::TakeWarnings() { return Ordered(std::move(warnings_)); }

std::optional<YAML::Node> ParseYaml(std::string text, ConfigProblems& problems) {
  // yaml-cpp takes the end of the file for a missing quote when a line end stands before it.
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    DocumentCounter counter;
    parser.HandleNextDocument(counter);
    if (parser.HandleNextDocument(counter)) {
      problems.AddError(counter.start(),
                        Error(Errc::kBadConfig, "a second YAML document begins here", {},
                              "Write everything into one document, and check the indentation."));
      return std::nullopt;
    }
    return YAML::Load(text);
  } catch (const YAML::DeepRecursion& deep) {
    problems.AddError(deep.mark,
                      Error(Errc::kBadConfig, "is not YAML that can be read: nested too deep"));
    return std::nullopt;
  } catch (const YAML::Exception& syntax) {
    // Behind the colon some messages repeat text of the file.
    problems.AddError(
        syntax.mark,
        Error(Errc::kBadConfig, "is not YAML: " + syntax.msg.substr(0, syntax.msg.find(':')), {},
              "Check quotes, brackets and indentation here and above."));
    return std::nullopt;
  }
}

}  // namespace pgsteward
