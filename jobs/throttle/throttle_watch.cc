#include "jobs/throttle/throttle_watch.h"

#include <algorithm>

namespace pgsteward {

void ThrottleWatch::Look(SteadyTime now, const std::vector<ClosedGate>& closed) {
  Count(now);
  for (const ClosedGate& gate : closed) {
    Gate& kept = gates_[std::string(gate.reason)];
    kept.text = gate.text;
    kept.open_since.reset();
  }
  for (auto at = gates_.begin(); at != gates_.end();) {
    Gate& gate = at->second;
    const bool still = std::any_of(closed.begin(), closed.end(), [&at](const ClosedGate& each) {
      return each.reason == at->first;
    });
    if (!still && !gate.open_since) gate.open_since = now;
    const Duration reopen = at->first == "own_victims" ? Duration(0) : reopen_;
    const bool open = gate.open_since && now - *gate.open_since >= reopen;
    at = open ? gates_.erase(at) : std::next(at);
  }
  reason_.clear();
  text_.clear();
  if (!closed.empty()) {
    reason_ = closed.front().reason;
    text_ = closed.front().text;
  } else if (!gates_.empty()) {
    // The one that will open last.
    const auto last = std::max_element(gates_.begin(), gates_.end(), [](auto& a, auto& b) {
      return a.second.open_since < b.second.open_since;
    });
    reason_ = last->first;
    text_ = last->second.text;
  }
}

void ThrottleWatch::HoldBegins(SteadyTime now) {
  if (!counted_until_) counted_until_ = now;
}

void ThrottleWatch::HoldEnds(SteadyTime now) {
  Count(now);
  counted_until_.reset();
}

std::map<std::string, double> ThrottleWatch::HeldSeconds(SteadyTime now) const {
  std::map<std::string, double> held = held_s_;
  if (counted_until_ && closed()) held[reason_] += Seconds(now - *counted_until_);
  return held;
}

void ThrottleWatch::Count(SteadyTime now) {
  if (!counted_until_) return;
  if (closed()) held_s_[reason_] += Seconds(now - *counted_until_);
  counted_until_ = now;
}

}  // namespace pgsteward
