// SPDX-License-Identifier: Apache-2.0
//
// Lives of a machine: start, run, die.
#include "simulation/host.h"

#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/task.h"
#include "simulation/real_calls.h"

namespace aiofiber::testing::detail {

namespace {

constexpr std::uint32_t kFirstAddress = 0x0a000001;            // 10.0.0.1
constexpr std::uint64_t kNetwork6 = 0xfd00'0000'0000'0000ull;  // of fd00::1
constexpr std::uint16_t kFirstPort = 32'768;
constexpr std::uint16_t kLastPort = 60'999;

thread_local constinit Host* current_host = nullptr;

// While it lives, code on this thread is code of the machine. `chooser`: of the tasks that are ready; null:
// they run in asyncio's order, as they do outside of tests.
class OnHost {
 public:
  OnHost(Host& host, runtime::Network& network, runtime::Chooser* chooser) noexcept
      : outer_host_(std::exchange(current_host, &host)),
        outer_network_(std::exchange(runtime::current_network, &network)),
        outer_chooser_(std::exchange(runtime::current_chooser, chooser)) {}
  ~OnHost() {
    current_host = outer_host_;
    runtime::current_network = outer_network_;
    runtime::current_chooser = outer_chooser_;
  }
  OnHost(const OnHost&) = delete;
  OnHost& operator=(const OnHost&) = delete;

 private:
  Host* const outer_host_;
  runtime::Network* const outer_network_;
  runtime::Chooser* const outer_chooser_;
};

// Closes the descriptors that dead programs have left open.
void close_sockets(std::vector<std::uint64_t> cookies) {
  if (cookies.empty()) return;
  std::sort(cookies.begin(), cookies.end());
  std::vector<int> open;
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return;
  while (const dirent* const entry = ::readdir(folder)) open.push_back(std::atoi(entry->d_name));
  ::closedir(folder);
  for (const int fd : open) {
    const std::uint64_t cookie = real::cookie(fd);
    if (cookie != 0 && std::binary_search(cookies.begin(), cookies.end(), cookie)) runtime::sys::close(fd);
  }
}

}  // namespace

// A loop on the machine's clock.
class Host::Loop : public EventLoop {
 public:
  explicit Loop(runtime::Clock& clock) : EventLoop(runtime::make_scheduler(clock)) {}
  using EventLoop::core;
};

Host* Host::current() noexcept { return current_host; }

Host* Host::of_calling_program() noexcept {
  const runtime::Fiber* const fiber = runtime::current_fiber();
  if (__builtin_expect(fiber == nullptr, 1) || fiber->hooks_off != 0) return nullptr;
  return current_host;
}

std::optional<std::size_t> Host::index_of(const Ip& ip) noexcept {
  if (ip.is_v4())
    return ip.number() >= kFirstAddress ? std::optional(ip.number() - kFirstAddress) : std::nullopt;
  return ip.high() == kNetwork6 && ip.low() > 0 ? std::optional(ip.low() - 1) : std::nullopt;
}

Host::Host(World& world, std::string name, std::size_t index)
    : world_(world),
      name_(std::move(name)),
      index_(index),
      ip_(Ip::v4(kFirstAddress + static_cast<std::uint32_t>(index))),
      ip6_(kNetwork6, 1 + index),
      address_(ip_.text()),
      address6_(ip6_.text()),
      clock_(world.clock()),
      calls_(*this),
      disk_(*this),
      last_port_(static_cast<std::uint16_t>(kFirstPort + world.chooser().choose(kLastPort - kFirstPort))) {
  start_loop();
}

Host::~Host() = default;

std::uint16_t Host::next_port() noexcept {
  last_port_ = last_port_ == kLastPort ? kFirstPort : static_cast<std::uint16_t>(last_port_ + 1);
  return last_port_;
}

void Host::start_loop() {
  loop_ = std::make_unique<Loop>(clock_);
  wake_time_ = runtime::kForever;
}

void Host::run(std::function<void()> fn) {
  entries_.push_back(std::move(fn));
  if (loop_ == nullptr) return;  // it starts with the others
  start(entries_.size() - 1);
}

void Host::start(std::size_t entry) {
  loop_->create_task({.name = name_}, [this, entry] { call(entry); }).detach();
  touch();
}

// A program: its error ends the simulation, unless the program is ended from outside.
void Host::call(std::size_t entry) {
  const std::function<void()> fn = entries_[entry];  // run() may move the others meanwhile
  try {
    fn();
  } catch (const runtime::ForcedUnwind&) {
    throw;
  } catch (const runtime::MachineDeath&) {
    throw;
  } catch (const CancelledError&) {
    throw;
  } catch (...) {
    world_.trace().event("fails", &name_);
    world_.fail(std::current_exception());
  }
}

void Host::kill(bool tell_peers) {
  if (current_host != nullptr)
    throw RuntimeError("a node's program cannot end a node while it runs: Simulation::after() can");
  if (loop_ == nullptr) return;
  const Wires::Remains remains = world_.wires().cut(*this, tell_peers);
  for (const AnyTask& task : all_tasks(loop_.get())) task.state().quiet_when_destroyed = true;
  dying_ = true;
  {
    const OnHost scope(*this, calls_, nullptr);
    loop_->close();
    loop_ = nullptr;
  }
  dying_ = false;
  touched_ = false;
  close_sockets(remains.cookies);
  for (const int wire : remains.wires) runtime::sys::close(wire);
}

void Host::lose_power() {
  kill(false);
  has_power_ = false;
  disk_.lose_what_is_not_synced();
}

void Host::restart() {
  kill(true);
  has_power_ = true;
  paused_ = false;
  start_loop();
  for (std::size_t i = 0; i < entries_.size(); ++i) start(i);
}

void Host::set_paused(bool paused) {
  paused_ = paused;
  if (!paused) touch();
}

void Host::set_rate(double rate) {
  clock_.set_rate(rate);
  touch();  // its next deadline is another one now
  world_.timers().clocks_changed(*this, false);
}

void Host::move_wall_clock(runtime::Nanoseconds ahead) {
  wall_offset_ += ahead;
  world_.timers().clocks_changed(*this, true);
}

void Host::step() {
  touched_ = false;
  const OnHost scope(*this, calls_, world_.task_chooser());
  aiofiber::detail::LoopCore& core = loop_->core();
  runtime::Scheduler& scheduler = core.scheduler();
  runtime::Nanoseconds next = 0;
  do {
    while (core.run_once(clock_.now()) || clock_.answers_are_due()) {
    }
    next = scheduler.next_pass();
  } while (next <= clock_.now());
  // Later than now also where the clock's rate rounds.
  wake_time_ = std::max(clock_.when(next), world_.now() + 1);
}

}  // namespace aiofiber::testing::detail
