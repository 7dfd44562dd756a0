// SPDX-License-Identifier: Apache-2.0
//
// Simulation: machines, a network between them and months of time, in one thread, from one seed.
//
// A node is a simulated machine. Its code is ordinary blocking code: socket, bind, accept, connect, recv,
// poll, sleep, time, in the program's own functions or in libraries that were compiled years ago. The hooks
// make these calls suspend, and the simulation answers them: bytes arrive when its network lets them arrive,
// and time is its own. The order of everything comes from the seed, so a run can be repeated exactly.
// Link aiofiber::simulation and aiofiber::hooks. facade/simulation/README.md is the manual.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/duration.h"
#include "aiofiber/explore.h"

namespace aiofiber::testing {

namespace detail {
class World;
class Host;
}  // namespace detail

// A length of time that is drawn anew each time: from `low` to `high`, all equally likely.
struct RandomDuration {
  Duration low;   // at least
  Duration high;  // at most
};
// Always the same length.
constexpr RandomDuration fixed(Duration length) noexcept { return {length, length}; }
// From `low` to `high`.
constexpr RandomDuration uniform(Duration low, Duration high) noexcept { return {low, high}; }

// The connection of two nodes; the same both ways. Bytes of a connection arrive in order, whatever their
// latencies are. Each datagram has its own latency, so that one overtakes another.
struct LinkOptions {
  // How long a packet travels.
  RandomDuration latency = {std::chrono::microseconds(100), std::chrono::microseconds(500)};
  // Cuts what a program sends into pieces that travel one by one.
  bool split = false;
  // Bytes a second and direction; 0: no limit.
  double bandwidth = 0;
  // The part of the packets that is lost, 0 to 1. Connections send them again, so they become slow. Datagrams
  // are gone.
  double loss = 0;
  // The part of the datagrams that arrive twice, 0 to 1.
  double duplication = 0;
  // How many bytes of a connection may be under way in a direction; then the sender waits. While as many wait
  // for the link's bandwidth, datagrams are dropped.
  std::size_t window = 65536;
};

// The disk of a node.
struct DiskOptions {
  // How long fsync() and fdatasync() take.
  RandomDuration sync = {};
  // The part of them that fail with EIO, 0 to 1. As in Linux, the next one succeeds, and does not save what
  // the failed one should have saved, unless it is written again.
  double sync_failure = 0;
  // By how many bytes the node's files can become longer in all: a write saves what fits (a short write), and
  // then fails with ENOSPC. Room that is given back (truncate, unlink) is not counted: set_disk() again.
  std::size_t space = SIZE_MAX;
};

// The settings of a Simulation.
struct SimulationOptions {
  // Absent: the environment's AIOFIBER_SEED, else 1.
  std::optional<std::uint64_t> seed = std::nullopt;
  // What the wall clocks of the nodes show at the beginning, since 1970.
  Duration wall_clock = std::chrono::hours(24 * 365 * 56 + 24 * 14);  // 2026-01-01
  // Whether the programs' random numbers follow the seed, so that TLS handshakes repeat: those of
  // getrandom(), getentropy(), rand(), random(), and of /dev/urandom and /dev/random opened by open().
  // srand() and srandom() have no effect then. Not those of fopen() or openat() of these files, drand48() and
  // its like, arc4random(), std::random_device.
  bool seed_random = false;
  // Whether code outside the nodes may use the real network: threads that a program starts, other loops, the
  // test itself. Otherwise, while the simulation exists, their calls that name an Internet address fail with
  // ENETUNREACH, and look-ups with EAI_FAIL (NO_RECOVERY); the log says so once. Connections that are open
  // already go on. With several simulations in a process, the strictest decides.
  bool real_network = false;
  // How many of the newest events the trace keeps.
  std::size_t trace_events = 100'000;
};

// A simulated machine: a handle, valid as long as its simulation. kill(), crash() and restart() throw
// RuntimeError when a node's program calls them: use Simulation::at() and after().
class Node {
 public:
  // Starts fn() as a task of this machine. After a restart() it is started again. An exception that leaves
  // fn ends the run: run_for() throws it.
  void run(std::function<void()> fn);
  // The processes die at once. No code of theirs runs any more but destructors, and those reach nobody. Peers
  // get a reset. A new connection is refused.
  void kill();
  // The machine loses power: as kill(), but nobody is told. Packets to it vanish.
  void crash();
  // Starts all functions of run() again, after kill() or crash(), or instead.
  void restart();
  // The processes stand still; connections are still accepted and filled by their kernel. Until resume().
  void pause();
  void resume();  // goes on after pause()
  // Moves the wall clock; the monotonic clock goes on.
  void set_clock(Duration ahead);
  // How fast both clocks of the machine run from now on: 1.0 is right. ValueError: not positive.
  void set_clock_rate(double rate);
  // Look-ups by this machine's programs: how long they take, and an error that they have instead of an answer
  // (EAI_AGAIN, EAI_NONAME; 0: none).
  void set_name_service(RandomDuration delay, int error = 0);
  // What the look-up of `name` gives on this machine from now on; "": the truth again.
  void set_host(std::string_view name, std::string_view address);

  // The disk of its programs from now on. Errors: ValueError for a length below 0, a failure outside [0, 1].
  void set_disk(const DiskOptions& options);
  // A folder of the node's own, real and empty at first; it is removed with the simulation. crash() loses
  // what its files contain beyond their last fsync() or fdatasync() by a node's program; kill() does not.
  // std::system_error: it cannot be made.
  const std::string& folder() const;

  // As given to Simulation::node().
  const std::string& name() const noexcept;
  // Numeric, IPv4: 10.0.0.1 and so on.
  const std::string& address() const noexcept;
  // Numeric, IPv6: fd00::1 and so on.
  const std::string& address6() const noexcept;

 private:
  friend class Simulation;
  explicit Node(detail::Host& host) noexcept : host_(&host) {}
  detail::Host* host_;
};

// Threads: one, that of its making. Simulations of several threads are independent.
// Errors: std::system_error when the system has no descriptors left.
class Simulation {
 public:
  // Virtual time begins at 0. See SimulationOptions.
  explicit Simulation(SimulationOptions options = {});
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // The machine of this name; the first call makes it. Names are found by getaddrinfo() on every machine.
  Node node(std::string_view name);
  // Changes the connection of two machines from now on. Errors: ValueError for an unknown name, a latency
  // below 0, a loss outside [0, 1].
  void link(std::string_view a, std::string_view b, LinkOptions options);
  // Calls fn() at a time of the simulation (now, if that is past), or after a while.
  void at(Duration time, std::function<void()> fn);
  // See at().
  void after(Duration delay, std::function<void()> fn);

  // Nothing passes between the two any more; open connections stay open and try again.
  void partition(std::string_view a, std::string_view b);
  // Nothing passes from one to the other.
  void partition_one_way(std::string_view from, std::string_view to);
  // Ends the partition of the two, both ways.
  void heal(std::string_view a, std::string_view b);
  void heal();  // every partition
  // Stops all links of a random half of the machines, one by one at random times within `duration`, and heals
  // them one by one in another order: FoundationDB's swizzle-clogging.
  void swizzle_clog(Duration duration);

  // Runs everything that happens within the duration. RuntimeError: it runs already, or another loop runs in
  // this thread; any exception that leaves a node's function, after a line in the log that repeats the run.
  void run_for(Duration duration);
  // The time since the beginning.
  Duration time() const noexcept;
  // The seed of this run.
  std::uint64_t seed() const noexcept;
  // A number in [0, n), from the seed; n > 0.
  std::uint64_t choose(std::uint64_t n);

  // What happened: a line for each event, oldest first. The same seed gives the same text.
  std::string trace() const;
  // A number made of all events, also of those that trace() has dropped.
  std::uint64_t trace_digest() const noexcept;
  // Writes a line of the program's own into the trace.
  void note(std::string_view text);
  // The command that repeats this run: "AIOFIBER_SEED=42 ./program arguments".
  std::string repro() const;
  // How many packets have arrived so far.
  std::uint64_t packets() const noexcept;

 private:
  friend Exploration explore(const std::function<void(Simulation&)>& scenario, const ExploreOptions& options,
                             SimulationOptions world);
  std::unique_ptr<detail::World> world_;
};

// explore() for programs on simulated machines: runs the scenario once for each schedule, in a new world. A
// schedule decides which of a machine's ready tasks takes the next step; otherwise they keep asyncio's order.
// RANDOM and PCT give each schedule a world of its own, with the schedule's seed. FIFO and EXHAUSTIVE run
// options.seed's world. A scenario fails if it throws, also by a node's program, or takes too many steps: so
// it makes nodes, calls run_for(), and throws if something is not so. The line that repeats a failure has its
// seed and its schedule. `world.seed` is not used.
// Threads: one without a running loop. Errors: ScheduleFailed; ValueError: options.cancel or
// options.slow_steps is set; RuntimeError: a loop runs; std::invalid_argument: a variable of the environment
// is not a number or schedule.
Exploration explore(const std::function<void(Simulation&)>& scenario, const ExploreOptions& options = {},
                    SimulationOptions world = {});

// The seeds for a test that runs many: first, first + 1 and so on. With AIOFIBER_SEED=n in the environment
// only n, so that the line of a failed run repeats it.
std::vector<std::uint64_t> seeds(std::size_t count, std::uint64_t first = 1);

}  // namespace aiofiber::testing
