#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "collectors/blocking_report.h"
#include "core/json.h"

namespace pgsteward {

namespace {

constexpr int kSchemaVersion = 1;

std::string Number(std::optional<double> seconds) {
  if (!seconds) return "null";
  std::array<char, 32> buffer{};
  const double milliseconds = std::round(*seconds * 1000) / 1000;
  const auto end =
      std::to_chars(buffer.begin(), buffer.end(), milliseconds, std::chars_format::fixed);
  return {buffer.data(), end.ptr};
}

class JsonObject {
 public:
  JsonObject& Raw(std::string_view name, const std::string& json) {
    text_ += (text_.empty() ? "" : ",") + JsonQuoted(name) + ":" + json;
    return *this;
  }
  // What is not known is null.
  JsonObject& Text(std::string_view name, const std::string& value) {
    return Raw(name, value.empty() ? "null" : JsonQuoted(value));
  }
  JsonObject& Count(std::string_view name, long long value) {
    return Raw(name, std::to_string(value));
  }
  JsonObject& Flag(std::string_view name, bool value) {
    return Raw(name, value ? "true" : "false");
  }
  std::string Done() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

template <class Items, class ToJson>
std::string JsonArray(const Items& items, ToJson to_json) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ",") + to_json(item);
  return "[" + text + "]";
}

// The server's way to name it: a prepared transaction has pid 0.
JsonObject Identity(const BlockingNode& node) {
  JsonObject json;
  json.Count("pid", node.id > 0 ? node.id : 0);
  json.Text("gid", node.party ? node.party->gid : "");
  return json;
}

std::string WaitJson(const BlockingTree& tree, const BlockingNode& node) {
  if (!node.wait) return "null";
  JsonObject json;
  json.Text("lock_type", node.wait->lock_type)
      .Text("mode", node.wait->mode)
      .Text("relation", node.wait->relation)
      .Text("object", node.wait->object)
      .Raw("seconds", Number(node.wait->seconds))
      .Count("chain", node.chain)
      .Raw("blocked_by", JsonArray(node.blockers, [&](std::size_t blocker) {
             return Identity(tree.nodes[blocker]).Done();
           }));
  return json.Done();
}

std::string SessionJson(const BlockingTree& tree, const BlockingNode& node) {
  static const LockParty kUnknown;
  const LockParty& party = node.party ? *node.party : kUnknown;
  return Identity(node)
      .Text("database", party.database)
      .Text("user", party.user)
      .Text("application", party.application)
      .Text("state", node.id <= 0 ? "prepared" : party.state)
      .Raw("transaction_seconds", Number(party.xact_seconds))
      .Text("query", party.query)
      .Flag("ended", !node.party)
      .Flag("deadlock", node.deadlock)
      .Raw("wait", WaitJson(tree, node))
      .Done();
}

}  // namespace

std::string BlockingJson(const BlockingFacts& facts) {
  const BlockingTree tree = BuildBlockingTree(facts);
  JsonObject json;
  json.Count("schema_version", kSchemaVersion)
      .Count("blocked_sessions", tree.waiting + tree.not_examined)
      .Count("not_examined", tree.not_examined)
      .Count("longest_chain", tree.chain)
      .Raw("longest_wait_seconds", Number(tree.longest_seconds))
      .Raw("roots", JsonArray(tree.roots,
                              [&](const BlockingRoot& root) {
                                return Identity(tree.nodes[root.node])
                                    .Count("blocked_sessions", root.blocked)
                                    .Done();
                              }))
      .Raw("sessions", JsonArray(tree.nodes, [&](const BlockingNode& node) {
             return SessionJson(tree, node);
           }));
  return json.Done();
}

}  // namespace pgsteward
