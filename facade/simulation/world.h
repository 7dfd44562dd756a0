// SPDX-License-Identifier: Apache-2.0
//
// The world of a simulation: its time, its random numbers, its machines and the links between them.
//
// It runs as a discrete-event simulation. At each moment, all machines that have something to do run until
// they wait, in an order that the seed decides; then time jumps to the next event or deadline.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/choice.h"
#include "aiofiber/simulation.h"
#include "simulation/closed_network.h"
#include "simulation/datagrams.h"
#include "simulation/event_queue.h"
#include "simulation/random_files.h"
#include "simulation/timers.h"
#include "simulation/trace.h"
#include "simulation/wires.h"

namespace aiofiber::testing::detail {

class Host;

class World {
 public:
  World(const SimulationOptions& options, std::uint64_t seed);
  ~World();

  runtime::Nanoseconds now() const noexcept { return now_; }
  const runtime::Nanoseconds& clock() const noexcept { return now_; }  // for what follows the time
  std::uint64_t seed() const noexcept { return seed_; }
  runtime::Chooser& chooser() noexcept { return chooser_; }
  // Who decides which of a machine's ready tasks runs next; null: they keep asyncio's order.
  runtime::Chooser* task_chooser() const noexcept { return task_chooser_; }
  void set_task_chooser(runtime::Chooser* chooser) noexcept { task_chooser_ = chooser; }
  bool seeds_random() const noexcept { return seeds_random_; }
  Trace& trace() noexcept { return trace_; }
  Wires& wires() noexcept { return wires_; }
  Datagrams& datagrams() noexcept { return datagrams_; }
  Timers& timers() noexcept { return timers_; }
  RandomFiles& random_files() noexcept { return random_files_; }
  void fill_from_seed(void* buffer, std::size_t bytes) noexcept;
  runtime::Nanoseconds wall_clock() const noexcept { return wall_clock_; }

  void at(runtime::Nanoseconds time, EventQueue::Action action) {
    events_.add(std::max(time, now_), std::move(action));
  }
  // RuntimeError: it runs already, or it is called by a program of a machine.
  void run_until(runtime::Nanoseconds end);
  // Keeps the first one: run_until() throws it.
  void fail(std::exception_ptr error) noexcept {
    if (failure_ == nullptr) failure_ = std::move(error);
  }

  Host& host(std::string_view name);
  Host* find_host(std::string_view name) noexcept;
  Host* find_host(const Ip& ip) noexcept;
  Host& known_host(std::string_view name);  // ValueError
  const std::vector<std::unique_ptr<Host>>& hosts() const noexcept { return hosts_; }

  // ---- links
  void set_link(Host& a, Host& b, const LinkOptions& options);
  const LinkOptions& link(const Host& from, const Host& to) const noexcept;
  void block(const Host& from, const Host& to);
  void unblock(const Host& from, const Host& to);
  void unblock_all();
  // Whether nothing passes: a partition, or a machine without power.
  bool is_blocked(const Host& from, const Host& to) const noexcept;
  bool loses_packet(const Host& from, const Host& to);
  bool doubles_packet(const Host& from, const Host& to);
  // Whether so much waits for the link that a datagram finds no room.
  bool is_full(const Host& from, const Host& to) const noexcept;
  runtime::Nanoseconds latency(const Host& from, const Host& to);
  // When so many bytes that are sent now have left the machine.
  runtime::Nanoseconds departure(const Host& from, const Host& to, std::size_t bytes);
  runtime::Nanoseconds draw(const RandomDuration& duration);
  bool happens(double probability);

 private:
  using Pair = std::pair<std::size_t, std::size_t>;  // the numbers of two machines
  struct LinkState {
    LinkOptions options;
    bool blocked = false;
    runtime::Nanoseconds busy_until = 0;
  };
  static Pair pair(const Host& from, const Host& to) noexcept;
  void settle();
  runtime::Nanoseconds next_time() const noexcept;
  [[noreturn]] void report_failure();

  const std::uint64_t seed_;
  runtime::Nanoseconds now_ = 0;
  const runtime::Nanoseconds wall_clock_;
  const bool seeds_random_;
  runtime::SeededChooser chooser_;
  runtime::Chooser* task_chooser_ = nullptr;
  EventQueue events_;
  Trace trace_;
  std::optional<ClosedNetwork> closed_network_;  // of the rest of the process
  // Before the wires, which tell these of their end.
  Datagrams datagrams_;
  Timers timers_;
  RandomFiles random_files_;
  Wires wires_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::map<std::string_view, Host*> by_name_;
  std::map<Pair, LinkState> links_;  // from, to; what is not there is as the defaults say
  std::exception_ptr failure_;
  bool running_ = false;
};

}  // namespace aiofiber::testing::detail
