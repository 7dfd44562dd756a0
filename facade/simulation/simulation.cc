// SPDX-License-Identifier: Apache-2.0
//
// The public face: Simulation and Node are handles of the world and its machines.
#include "aiofiber/simulation.h"

#include <utility>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "debug/schedule.h"
#include "simulation/host.h"
#include "simulation/libc_names.h"
#include "simulation/repro.h"
#include "simulation/world.h"

namespace aiofiber::testing {

// ---- Node

void Node::run(std::function<void()> fn) {
  if (!fn) throw TypeError("Node::run() was given an empty function");
  host_->run(std::move(fn));
}
void Node::kill() {
  host_->world().trace().event("is killed", &host_->name());
  host_->kill(true);
}
void Node::crash() {
  host_->world().trace().event("loses power", &host_->name());
  host_->lose_power();
}
void Node::restart() {
  host_->world().trace().event("starts again", &host_->name());
  host_->restart();
}
void Node::pause() {
  host_->world().trace().event("stands still", &host_->name());
  host_->set_paused(true);
}
void Node::resume() {
  host_->world().trace().event("goes on", &host_->name());
  host_->set_paused(false);
}
void Node::set_clock(Duration ahead) { host_->move_wall_clock(ahead.nanoseconds()); }
void Node::set_clock_rate(double rate) {
  if (!(rate > 0)) throw ValueError("a clock's rate is positive");
  host_->set_rate(rate);
}
void Node::set_name_service(RandomDuration delay, int error) {
  host_->names().delay = delay;
  host_->names().error = error;
}
void Node::set_host(std::string_view name, std::string_view address) {
  if (address.empty()) {
    host_->names().wrong.erase(std::string(name));
  } else {
    host_->names().wrong.insert_or_assign(std::string(name), std::string(address));
  }
}
void Node::set_disk(const DiskOptions& options) {
  if (options.sync.low < Duration() || options.sync.high < options.sync.low)
    throw ValueError("a disk's sync takes 0 or more, and does not end before it begins");
  if (!(options.sync_failure >= 0 && options.sync_failure <= 1))
    throw ValueError("a disk's sync_failure is between 0 and 1");
  host_->disk().set(options);
}
const std::string& Node::folder() const { return host_->disk().folder(); }
const std::string& Node::name() const noexcept { return host_->name(); }
const std::string& Node::address() const noexcept { return host_->address(); }
const std::string& Node::address6() const noexcept { return host_->address6(); }

// ---- Simulation

Simulation::Simulation(SimulationOptions options) {
  detail::keep_libc_names();
  std::optional<std::uint64_t> seed = options.seed;
  if (!seed) seed = detail::seed_of_environment();
  world_ = std::make_unique<detail::World>(options, seed.value_or(1));
}
Simulation::~Simulation() = default;

Node Simulation::node(std::string_view name) { return Node(world_->host(name)); }

void Simulation::link(std::string_view a, std::string_view b, LinkOptions options) {
  world_->set_link(world_->known_host(a), world_->known_host(b), options);
}

void Simulation::at(Duration time, std::function<void()> fn) {
  if (!fn) throw TypeError("Simulation::at() was given an empty function");
  world_->at(time.nanoseconds(), std::move(fn));
}
void Simulation::after(Duration delay, std::function<void()> fn) {
  at(std::chrono::nanoseconds(runtime::saturating_add(world_->now(), delay.nanoseconds())), std::move(fn));
}

void Simulation::partition(std::string_view a, std::string_view b) {
  partition_one_way(a, b);
  partition_one_way(b, a);
}
void Simulation::partition_one_way(std::string_view from, std::string_view to) {
  world_->block(world_->known_host(from), world_->known_host(to));
}
void Simulation::heal(std::string_view a, std::string_view b) {
  world_->unblock(world_->known_host(a), world_->known_host(b));
  world_->unblock(world_->known_host(b), world_->known_host(a));
}
void Simulation::heal() { world_->unblock_all(); }

void Simulation::swizzle_clog(Duration duration) {
  const RandomDuration half{Duration(), std::chrono::nanoseconds(duration.nanoseconds() / 2)};
  for (const std::unique_ptr<detail::Host>& host : world_->hosts()) {
    if (choose(2) == 0) continue;
    const auto set_all = [this, chosen = host.get()](bool blocked) {
      for (const std::unique_ptr<detail::Host>& other : world_->hosts()) {
        if (other.get() == chosen) continue;
        for (const auto& [from, to] : {std::pair(chosen, other.get()), std::pair(other.get(), chosen)}) {
          if (blocked) {
            world_->block(*from, *to);
          } else {
            world_->unblock(*from, *to);
          }
        }
      }
    };
    after(std::chrono::nanoseconds(world_->draw(half)), [set_all] { set_all(true); });
    after(std::chrono::nanoseconds(half.high.nanoseconds() + world_->draw(half)),
          [set_all] { set_all(false); });
  }
}

void Simulation::run_for(Duration duration) {
  world_->run_until(runtime::saturating_add(world_->now(), duration.nanoseconds()));
}

Duration Simulation::time() const noexcept { return std::chrono::nanoseconds(world_->now()); }
std::uint64_t Simulation::seed() const noexcept { return world_->seed(); }
std::uint64_t Simulation::choose(std::uint64_t n) { return world_->chooser().choose(n); }
std::string Simulation::trace() const { return world_->trace().text(); }
std::uint64_t Simulation::trace_digest() const noexcept { return world_->trace().digest(); }
void Simulation::note(std::string_view text) { world_->trace().event("note:", nullptr, text); }
std::string Simulation::repro() const { return detail::repro_command(world_->seed()); }
std::uint64_t Simulation::packets() const noexcept { return world_->wires().packets(); }

Exploration explore(const std::function<void(Simulation&)>& scenario, const ExploreOptions& options,
                    SimulationOptions world) {
  if (options.cancel != Cancellation::NONE || options.slow_steps)
    throw ValueError("explore() cancels no task of a Simulation, and lets no time pass in its steps");
  const auto run = [&](const Plan& plan) {
    return run_directed(
        [&](runtime::Chooser& chooser) {
          world.seed = plan.seed;
          Simulation sim(world);
          sim.world_->set_task_chooser(&chooser);
          scenario(sim);
        },
        plan);
  };
  return explore_plans(run, options, true);
}

std::vector<std::uint64_t> seeds(std::size_t count, std::uint64_t first) {
  if (const std::optional<std::uint64_t> only = detail::seed_of_environment()) return {*only};
  std::vector<std::uint64_t> all(count);
  for (std::uint64_t& seed : all) seed = first++;
  return all;
}

}  // namespace aiofiber::testing
