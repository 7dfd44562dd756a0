// SPDX-License-Identifier: Apache-2.0
//
// Time passes; links and their moods.
#include "simulation/world.h"

#include <absl/cleanup/cleanup.h>

#include <cstring>

#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "simulation/host.h"
#include "simulation/repro.h"

namespace aiofiber::testing::detail {

using runtime::Nanoseconds;

namespace {
constexpr LinkOptions kDefaultLink{};
constexpr Nanoseconds kLoopbackLatency = 10'000;
constexpr std::uint64_t kOneInAMillion = 1'000'000;
}  // namespace

World::World(const SimulationOptions& options, std::uint64_t seed)
    : seed_(seed),
      wall_clock_(options.wall_clock.nanoseconds()),
      seeds_random_(options.seed_random),
      chooser_(seed),
      events_(chooser_),
      trace_(options.trace_events, now_),
      datagrams_(*this, wires_),
      timers_(*this, wires_),
      random_files_(*this, wires_),
      wires_(*this) {
  if (!options.real_network) closed_network_.emplace();
}

World::~World() {
  for (const std::unique_ptr<Host>& host : hosts_) host->kill(false);
}

// ---- time

void World::settle() {
  std::vector<Host*> ready;
  for (;;) {
    ready.clear();
    for (const std::unique_ptr<Host>& host : hosts_) {
      if (host->wants_to_run() || host->wake_time() <= now_) ready.push_back(host.get());
    }
    if (ready.empty()) return;
    ready[ready.size() > 1 ? chooser_.choose(ready.size()) : 0]->step();
    wires_.collect();
    if (failure_ != nullptr) report_failure();
  }
}

Nanoseconds World::next_time() const noexcept {
  Nanoseconds next = events_.next_time();
  for (const std::unique_ptr<Host>& host : hosts_) next = std::min(next, host->wake_time());
  return next;
}

void World::run_until(Nanoseconds end) {
  if (running_) throw RuntimeError("this simulation runs already");
  running_ = true;
  const absl::Cleanup ends = [this] { running_ = false; };
  for (;;) {
    settle();
    const Nanoseconds next = next_time();
    if (next > end || next == runtime::kForever) break;
    now_ = std::max(now_, next);
    while (events_.next_time() <= now_) {
      events_.take()();
      if (failure_ != nullptr) report_failure();
    }
  }
  now_ = std::max(now_, end);
}

void World::report_failure() {
  const std::exception_ptr failure = std::exchange(failure_, nullptr);
  if (task_chooser_ == nullptr) {  // explore() tells it otherwise
    aiofiber::detail::log(LogLevel::ERROR, "simulation failed after " + std::to_string(now_ / 1'000'000) +
                                               " ms; to repeat it: " + repro_command(seed_));
  }
  std::rethrow_exception(failure);
}

void World::fill_from_seed(void* buffer, std::size_t bytes) noexcept {
  constexpr std::size_t kDrawn = 7;  // bytes of a choice
  auto* to = static_cast<unsigned char*>(buffer);
  while (bytes > 0) {
    const std::uint64_t drawn = chooser_.choose(std::uint64_t{1} << (8 * kDrawn));
    const std::size_t taken = std::min(bytes, kDrawn);
    std::memcpy(to, &drawn, taken);
    to += taken;
    bytes -= taken;
  }
}

// ---- machines

Host& World::host(std::string_view name) {
  if (Host* const known = find_host(name)) return *known;
  hosts_.push_back(std::make_unique<Host>(*this, std::string(name), hosts_.size()));
  by_name_[hosts_.back()->name()] = hosts_.back().get();
  return *hosts_.back();
}

Host* World::find_host(std::string_view name) noexcept {
  const auto found = by_name_.find(name);
  return found != by_name_.end() ? found->second : nullptr;
}

Host* World::find_host(const Ip& ip) noexcept {
  const std::optional<std::size_t> index = Host::index_of(ip);
  return index && *index < hosts_.size() ? hosts_[*index].get() : nullptr;
}

Host& World::known_host(std::string_view name) {
  if (Host* const known = find_host(name)) return *known;
  throw ValueError("the simulation has no node '" + std::string(name) + "'");
}

// ---- links

World::Pair World::pair(const Host& from, const Host& to) noexcept { return {from.index(), to.index()}; }

void World::set_link(Host& a, Host& b, const LinkOptions& options) {
  if (options.latency.low < Duration() || options.latency.high < options.latency.low)
    throw ValueError("a link's latency begins at 0 or more, and does not end before it begins");
  if (!(options.loss >= 0 && options.loss <= 1)) throw ValueError("a link's loss is between 0 and 1");
  if (!(options.duplication >= 0 && options.duplication <= 1))
    throw ValueError("a link's duplication is between 0 and 1");
  if (!(options.bandwidth >= 0)) throw ValueError("a link's bandwidth is not negative");
  links_[pair(a, b)].options = options;
  links_[pair(b, a)].options = options;
}

const LinkOptions& World::link(const Host& from, const Host& to) const noexcept {
  const auto found = links_.find(pair(from, to));
  return found != links_.end() ? found->second.options : kDefaultLink;
}

void World::block(const Host& from, const Host& to) {
  links_[pair(from, to)].blocked = true;
  trace_.event("cannot reach", &from.name(), to.name());
}

void World::unblock(const Host& from, const Host& to) {
  links_[pair(from, to)].blocked = false;
  trace_.event("can reach", &from.name(), to.name());
}

void World::unblock_all() {
  for (auto& [pair, link] : links_) link.blocked = false;
  trace_.event("all partitions are healed", nullptr);
}

bool World::is_blocked(const Host& from, const Host& to) const noexcept {
  if (!from.has_power() || !to.has_power()) return true;
  const auto found = links_.find(pair(from, to));
  return found != links_.end() && found->second.blocked;
}

bool World::happens(double probability) {
  return probability > 0 &&
         static_cast<double>(chooser_.choose(kOneInAMillion)) < probability * kOneInAMillion;
}

bool World::loses_packet(const Host& from, const Host& to) {
  return is_blocked(from, to) || happens(link(from, to).loss);
}

bool World::doubles_packet(const Host& from, const Host& to) { return happens(link(from, to).duplication); }

bool World::is_full(const Host& from, const Host& to) const noexcept {
  const auto found = links_.find(pair(from, to));
  if (found == links_.end() || found->second.busy_until <= now_) return false;
  const double seconds = static_cast<double>(found->second.busy_until - now_) / 1e9;
  const LinkOptions& options = found->second.options;
  return seconds * options.bandwidth > static_cast<double>(options.window);
}

Nanoseconds World::draw(const RandomDuration& duration) {
  const Nanoseconds low = duration.low.nanoseconds();
  const Nanoseconds high = duration.high.nanoseconds();
  if (high <= low) return low;
  return low + static_cast<Nanoseconds>(chooser_.choose(static_cast<std::uint64_t>(high - low) + 1));
}

Nanoseconds World::latency(const Host& from, const Host& to) {
  return &from == &to ? kLoopbackLatency : draw(link(from, to).latency);
}

Nanoseconds World::departure(const Host& from, const Host& to, std::size_t bytes) {
  const auto found = links_.find(pair(from, to));
  if (found == links_.end() || found->second.options.bandwidth <= 0) return now_;
  LinkState& link = found->second;
  const double seconds = static_cast<double>(bytes) / link.options.bandwidth;
  link.busy_until = std::max(link.busy_until, now_) + static_cast<Nanoseconds>(seconds * 1e9);
  return link.busy_until;
}

}  // namespace aiofiber::testing::detail
