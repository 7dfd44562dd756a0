// SPDX-License-Identifier: Apache-2.0
//
// A simulated machine: its loop, which is its life; its clocks; its names and ports.
//
// Each life has a loop of its own. So killing a machine is closing its loop, and what is left of its tasks
// ends as in any loop that closes. While its loop runs, current_network is its network.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/event_loop.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "simulation/disk.h"
#include "simulation/host_clock.h"
#include "simulation/socket_calls.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

class Host {
 public:
  Host(World& world, std::string name, std::size_t index);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  World& world() noexcept { return world_; }
  const std::string& name() const noexcept { return name_; }
  const std::string& address() const noexcept { return address_; }
  const std::string& address6() const noexcept { return address6_; }
  Ip ip() const noexcept { return ip_; }
  Ip ip6() const noexcept { return ip6_; }
  // Its address of the same family.
  Ip own_ip(const Ip& like) const noexcept { return like.is_v4() ? ip_ : ip6_; }
  std::size_t index() const noexcept { return index_; }
  // The number of the machine that has the address, if there are so many; absent: none has it.
  static std::optional<std::size_t> index_of(const Ip& ip) noexcept;

  void run(std::function<void()> fn);
  void kill(bool tell_peers);
  void lose_power();
  void restart();
  void set_paused(bool paused);
  // Whether its programs die right now: no call reaches the network any more.
  bool is_dying() const noexcept { return dying_; }
  // Whether it has power. A machine whose processes died still has a kernel, which answers with resets.
  bool has_power() const noexcept { return has_power_; }

  // ---- the simulation's side
  bool wants_to_run() const noexcept { return touched_ && loop_ != nullptr && !paused_; }
  // When it runs by itself; kForever: only when touched.
  runtime::Nanoseconds wake_time() const noexcept {
    return loop_ == nullptr || paused_ ? runtime::kForever : wake_time_;
  }
  // Something happened to one of its descriptors.
  void touch() noexcept { touched_ = true; }
  // Runs its loop until everything waits.
  void step();

  // ---- its clocks
  void set_rate(double rate);
  void move_wall_clock(runtime::Nanoseconds ahead);
  runtime::Nanoseconds monotonic_time() const noexcept { return kBootTime + clock_.now(); }
  runtime::Nanoseconds wall_time() const noexcept {
    return world_.wall_clock() + clock_.now() + wall_offset_;
  }

  // The simulation's time when so much has passed on its clocks.
  runtime::Nanoseconds when_passed(runtime::Nanoseconds length) const noexcept {
    return clock_.when(runtime::saturating_add(clock_.now(), length));
  }

  Disk& disk() noexcept { return disk_; }

  // ---- its names and ports
  struct NameService {
    RandomDuration delay{};
    int error = 0;
    std::map<std::string, std::string, std::less<>> wrong;  // names that it answers falsely
  };
  NameService& names() noexcept { return names_; }
  std::uint16_t next_port() noexcept;

  // The machine whose loop runs on this thread; null: none.
  static Host* current() noexcept;
  // The machine whose program calls: a task of it, with its hooks on. Null: libc's functions are the real
  // ones.
  static Host* of_calling_program() noexcept;

 private:
  static constexpr runtime::Nanoseconds kBootTime = 1000 * std::int64_t{1'000'000'000};
  class Loop;
  void start_loop();
  void start(std::size_t entry);
  void call(std::size_t entry);

  World& world_;
  const std::string name_;
  const std::size_t index_;
  const Ip ip_;
  const Ip ip6_;
  const std::string address_;
  const std::string address6_;
  HostClock clock_;
  runtime::Nanoseconds wall_offset_ = 0;
  SocketCalls calls_;
  Disk disk_;
  NameService names_;
  std::uint16_t last_port_;
  std::vector<std::function<void()>> entries_;
  std::unique_ptr<Loop> loop_;
  bool paused_ = false;
  bool touched_ = false;
  bool has_power_ = true;
  bool dying_ = false;
  runtime::Nanoseconds wake_time_ = runtime::kForever;
};

}  // namespace aiofiber::testing::detail
