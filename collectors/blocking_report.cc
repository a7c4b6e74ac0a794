#include "collectors/blocking_report.h"

#include <deque>

#include "core/terminal_text.h"

namespace pgsteward {

namespace {

constexpr std::size_t kNamedBlockers = 3;
constexpr int kLevelColumns = 3;
constexpr int kTextColumns = 40;  // that indentation leaves at least, where the width allows

struct Style {
  std::string_view on;
};
constexpr Style kPlain{""};
constexpr Style kBold{"\x1b[1m"};
constexpr Style kDim{"\x1b[2m"};
constexpr Style kRed{"\x1b[31m"};
constexpr std::string_view kOff = "\x1b[0m";

std::string NameOf(const BlockingNode& node) {
  if (node.id > 0) return "pid " + std::to_string(node.id);
  if (!node.party) return "a prepared transaction";
  return "prepared transaction '" + HarmlessText(node.party->gid) + "'";
}

std::string TargetOf(const LockWait& wait) {
  std::string text = HarmlessText(wait.lock_type);
  const std::string relation = HarmlessText(wait.relation);
  if (!wait.object.empty()) text += " " + HarmlessText(wait.object);
  if (relation.empty()) return text;
  if (wait.lock_type == "relation") return text + " " + relation;
  if (wait.lock_type == "transactionid") return text + " (row of " + relation + ")";
  return text + " of " + relation;
}

// " (user@database, application, state, transaction 2m03s)"
std::string DetailsOf(const BlockingNode& node) {
  if (!node.party) return " (ended meanwhile)";
  const LockParty& party = *node.party;
  std::vector<std::string> details;
  if (!party.user.empty() || !party.database.empty()) {
    details.push_back(HarmlessText(party.user) + "@" + HarmlessText(party.database));
  }
  if (!party.application.empty()) details.push_back(HarmlessText(party.application));
  if (!party.state.empty()) details.push_back(HarmlessText(party.state));
  if (party.xact_seconds) {
    const std::string age = ShortDuration(*party.xact_seconds);
    details.push_back(node.id < 0 ? "prepared " + age + " ago" : "transaction " + age);
  }
  std::string text;
  for (const std::string& detail : details) text += (text.empty() ? " (" : ", ") + detail;
  return text.empty() ? text : text + ")";
}

// What is printed below what: each node once, below the first that is found breadth first, and a
// mention in each other root's tree.
class Layout {
 public:
  struct Child {
    std::size_t node;
    bool mention;
  };

  explicit Layout(const BlockingTree& tree)
      : children_(tree.nodes.size()), parent_(tree.nodes.size(), kNone) {
    constexpr std::size_t kNowhere = kNone;
    std::vector<std::size_t> placed(tree.nodes.size(), kNowhere);  // in which root's tree
    std::vector<std::size_t> mentioned(tree.nodes.size(), kNowhere);
    for (std::size_t r = 0; r < tree.roots.size(); ++r) placed[tree.roots[r].node] = r;
    for (std::size_t r = 0; r < tree.roots.size(); ++r) {
      std::deque<std::size_t> pending = {tree.roots[r].node};
      for (; !pending.empty(); pending.pop_front()) {
        const std::size_t blocker = pending.front();
        for (const std::size_t waiter : tree.nodes[blocker].waiters) {
          if (placed[waiter] == kNowhere) {
            placed[waiter] = r;
            parent_[waiter] = blocker;
            children_[blocker].push_back({waiter, false});
            pending.push_back(waiter);
          } else if (placed[waiter] != r && mentioned[waiter] != r) {
            mentioned[waiter] = r;
            children_[blocker].push_back({waiter, true});
          }
        }
      }
    }
  }

  const std::vector<Child>& Children(std::size_t node) const { return children_[node]; }
  bool IsParent(std::size_t node, std::size_t of) const { return parent_[of] == node; }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::vector<std::vector<Child>> children_;
  std::vector<std::size_t> parent_;
};

class Renderer {
 public:
  Renderer(const BlockingTree& tree, int width, bool color)
      : tree_(tree), layout_(tree), width_(width), color_(color) {}

  std::string Render() {
    const int waiting = tree_.waiting + tree_.not_examined;
    if (waiting == 0) return "no session waits for a lock\n";
    std::string summary =
        std::to_string(waiting) + (waiting == 1 ? " session waits" : " sessions wait");
    if (tree_.longest_seconds) {
      summary += ", the longest for " + ShortDuration(*tree_.longest_seconds);
    }
    if (tree_.chain > 1) summary += ", up to " + std::to_string(tree_.chain) + " in a chain";
    Line("", 0, summary, kPlain);
    for (const BlockingRoot& root : tree_.roots) {
      out_ += '\n';
      const BlockingNode& node = tree_.nodes[root.node];
      std::string text = NameOf(node) + " blocks " + std::to_string(root.blocked);
      if (node.wait) text += ", " + WaitText(root.node);
      Line("", 0, text + DetailsOf(node), node.deadlock ? kRed : kBold);
      Below(root.node, "", 0, false);
    }
    if (tree_.not_examined > 0) {
      out_ += '\n';
      Line("", 0,
           std::to_string(tree_.not_examined) +
               " more wait; only the longest waits are followed to their blockers",
           kPlain);
    }
    return std::move(out_);
  }

 private:
  std::string WaitText(std::size_t i) const {
    const BlockingNode& node = tree_.nodes[i];
    std::string text = "waits ";
    if (node.wait->seconds) text += ShortDuration(*node.wait->seconds) + " ";
    text += "for " + HarmlessText(node.wait->mode) + " on " + TargetOf(*node.wait);
    std::vector<std::string> others;
    for (const std::size_t blocker : node.blockers) {
      if (!layout_.IsParent(blocker, i)) others.push_back(NameOf(tree_.nodes[blocker]));
    }
    for (std::size_t o = 0; o < std::min(others.size(), kNamedBlockers); ++o) {
      text += (o > 0                                   ? ", "
               : others.size() == node.blockers.size() ? ", behind "
                                                       : ", also behind ");
      text += others[o];
    }
    if (others.size() > kNamedBlockers) {
      text += " and " + std::to_string(others.size() - kNamedBlockers) + " more";
    }
    return node.deadlock ? text + ", DEADLOCK" : text;
  }

  // The query of `i` and all that hangs below it; `more`: its next sibling stands at `prefix`, too.
  void Below(std::size_t i, const std::string& prefix, int columns, bool more) {
    const BlockingNode& node = tree_.nodes[i];
    const auto& children = layout_.Children(i);
    const bool deeper = width_ == 0 || columns + kLevelColumns + kTextColumns <= width_;
    const int child_columns = deeper ? columns + kLevelColumns : columns;
    if (node.party && !node.party->query.empty()) {
      const std::string bar = children.empty() && !more ? "   " : "│  ";
      Line(prefix + bar, columns + kLevelColumns, HarmlessLine(node.party->query), kDim);
    }
    for (const Layout::Child& child : children) {
      const bool last = &child == &children.back();
      const BlockingNode& waiter = tree_.nodes[child.node];
      std::string text = NameOf(waiter);
      text += child.mention ? " too, see above" : " " + WaitText(child.node) + DetailsOf(waiter);
      Line(prefix + (last ? "└─ " : "├─ "), columns + kLevelColumns, text,
           waiter.deadlock ? kRed : kPlain);
      if (child.mention) continue;
      Below(child.node, deeper ? prefix + (last ? "   " : "│  ") : prefix, child_columns,
            !deeper && !last);
    }
  }

  void Line(const std::string& prefix, int prefix_columns, std::string text, Style style) {
    if (width_ > 0) text = CutToWidth(std::move(text), std::max(width_ - prefix_columns, 1));
    out_ += prefix;
    if (color_ && !style.on.empty()) {
      out_ += style.on;
      out_ += text;
      out_ += kOff;
    } else {
      out_ += text;
    }
    out_ += '\n';
  }

  const BlockingTree& tree_;
  Layout layout_;
  int width_;
  bool color_;
  std::string out_;
};

}  // namespace

std::string RenderBlockingTree(const BlockingFacts& facts, int width, bool color) {
  const BlockingTree tree = BuildBlockingTree(facts);
  return Renderer(tree, width, color).Render();
}

}  // namespace pgsteward
