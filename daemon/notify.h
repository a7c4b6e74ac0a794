// systemd's notification protocol, sd_notify(3): one datagram to $NOTIFY_SOCKET.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"

namespace pgsteward {

class Notifier {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment, so
  // that children cannot speak for us. Without systemd every call below does nothing.
  Notifier();

  void Ready(std::string_view status);
  void Reloading();
  void Stopping();
  void Status(std::string_view status);
  void Watchdog();

  // How often systemd wants to hear of us at the latest; empty without a watchdog.
  std::optional<Duration> watchdog_interval() const { return watchdog_; }

 private:
  void Send(const std::string& state) const;

  std::string socket_;
  std::optional<Duration> watchdog_;
};

}  // namespace pgsteward
