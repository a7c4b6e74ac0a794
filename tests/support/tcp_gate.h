// A TCP proxy between the code under test and PostgreSQL that can fail in every way a network does.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace pgsteward {

// All methods may be called from any thread at any time; each has taken effect when it returns.
class TcpGate {
 public:
  // Listens on 127.0.0.1, on a port of the system's choice, and forwards to 127.0.0.1:target_port.
  explicit TcpGate(int target_port);
  ~TcpGate();
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  int port() const { return port_; }

  // Everything as it should be, for old and new connections. What half-close and cut have broken
  // stays broken.
  void Pass();
  // New connections are refused; the port stays ours.
  void Refuse();
  // New connections are accepted and never answered.
  void AcceptAndSilence();
  // The present connections are forwarded no more, in neither direction, and not closed either.
  void Blackhole();
  enum class Cut { kReset, kFin };
  // The connection that carries the n-th byte towards the client from now on is closed behind it.
  // Only one: the next connections pass.
  void CutAfterBytes(std::size_t n, Cut how);
  // Towards the client, one byte at a time with this pause between them; 0 ends it.
  void Drip(std::chrono::milliseconds pause);
  // Both directions, everything arrives this much later; 0 ends it.
  void Delay(std::chrono::milliseconds delay);
  // Shuts down the server-to-client direction of the present connections; the other one works on.
  void HalfClose();
  // Resets the present connections.
  void DropAll();

  std::uint64_t connections() const { return connections_; }  // accepted, ever
  std::size_t open_connections();
  std::uint64_t bytes_to_client() const { return bytes_to_client_; }
  std::uint64_t bytes_to_server() const { return bytes_to_server_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Stream;  // one direction of a connection
  struct Link;    // a connection
  enum class Admission { kPass, kRefuse, kSilence };

  void Do(const std::function<void()>& command);
  void Run();
  void RunCommands();
  void Admit(Admission admission);
  void Accept();
  void Serve(Link& link, short client_events, short server_events);
  bool Read(Stream& stream);
  bool Write(Stream& stream);
  std::size_t Allowance(const Stream& stream) const;
  void Reset(Link& link);

  int target_port_;
  int port_ = 0;
  int reserved_ = -1;  // bound, never listening
  int listener_ = -1;
  int wake_ = -1;  // eventfd

  std::mutex mutex_;  // guards commands_
  std::vector<std::function<void()>> commands_;

  // Of the thread:
  bool stop_ = false;
  Admission admission_ = Admission::kPass;
  std::list<std::unique_ptr<Link>> links_;
  std::optional<std::size_t> cut_after_;
  Cut cut_how_ = Cut::kReset;
  std::chrono::milliseconds drip_{0};
  std::chrono::milliseconds delay_{0};

  std::atomic<std::uint64_t> connections_{0};
  std::atomic<std::uint64_t> bytes_to_client_{0};
  std::atomic<std::uint64_t> bytes_to_server_{0};
  std::thread thread_;
};

}  // namespace pgsteward
