// SPDX-License-Identifier: Apache-2.0
//
// First the functions that reach a call that waits, then each variable in each function.
#include "shared_variables.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "arch/call_code.h"

namespace aiofiber::tool {
namespace {

namespace arch = runtime::arch;
using Event = FunctionUses::Event;
using Kind = Event::Kind;

constexpr std::size_t kNone = SIZE_MAX;

std::size_t index_of(const std::vector<Symbol>& sorted, std::uint64_t address) {
  const auto after =
      std::upper_bound(sorted.begin(), sorted.end(), address,
                       [](std::uint64_t value, const Symbol& symbol) { return value < symbol.range.first; });
  if (after == sorted.begin() || address >= std::prev(after)->range.second) return kNone;
  return static_cast<std::size_t>(std::prev(after) - sorted.begin());
}

Kind kind_of(const arch::MemoryUse& use) {
  if (use.takes_address) return Kind::kTakesAddress;
  if (use.reads && use.writes) return Kind::kChanges;
  return use.writes ? Kind::kWrites : Kind::kReads;
}
bool is_use(Kind kind) { return kind != Kind::kCalls && kind != Kind::kImports; }
bool may_read(Kind kind) { return is_use(kind) && kind != Kind::kWrites; }
bool may_set(Kind kind) { return is_use(kind) && kind != Kind::kReads; }

class Search {
 public:
  Search(const ModuleUses& module, absl::FunctionRef<bool(const std::string&)> waits)
      : module_(module), waits_(module.uses.size(), kNone) {
    for (const std::string& import : module.imports) import_waits_.push_back(waits(import));
    spread_waits();
  }

  std::vector<SharedVariable> run() {
    for (std::size_t function = 0; function < module_.uses.size(); ++function) {
      if (!module_.functions[function].is_own) look_at(function);
    }
    std::vector<SharedVariable> found;
    for (std::size_t variable = 0; variable < module_.variables.size(); ++variable) {
      if (module_.variables[variable].is_own) continue;
      if (std::optional<SharedVariable> shared = judge(variable)) found.push_back(*std::move(shared));
    }
    std::stable_sort(found.begin(), found.end(), [](const SharedVariable& a, const SharedVariable& b) {
      return std::tie(a.how, b.size) < std::tie(b.how, a.size);
    });
    return found;
  }

 private:
  struct Uses {
    std::size_t across = kNone;      // the function that uses it before and after a wait
    std::size_t wait = kNone;        // the event there
    bool set_before = false;         // else only read before
    std::size_t address_in = kNone;  // a function that takes its address before a wait
    std::size_t wait_of_address = kNone;
    std::size_t setter = kNone;  // a function that sets it, and one that waits and uses it
    std::size_t waiting_user = kNone;
    std::size_t wait_of_user = kNone;
  };

  // The function waits: by this event, of which the first is kept.
  bool is_wait(const Event& event) const {
    if (event.kind == Kind::kImports) return import_waits_[event.index];
    return event.kind == Kind::kCalls && waits_[event.index] != kNone;
  }
  void spread_waits() {
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t function = 0; function < waits_.size(); ++function) {
        if (waits_[function] != kNone) continue;
        const std::vector<Event>& events = module_.uses[function].events;
        const auto wait =
            std::find_if(events.begin(), events.end(), [this](const Event& event) { return is_wait(event); });
        if (wait == events.end()) continue;
        waits_[function] = static_cast<std::size_t>(wait - events.begin());
        changed = true;
      }
    }
  }

  // What a function that does not wait does with variables, the functions that it calls included.
  struct Effect {
    bool reads = false;
    bool sets = false;
  };
  using Effects = absl::flat_hash_map<std::size_t, Effect>;
  const Effects& effects_of(std::size_t function) {
    const auto [known, is_new] = effects_.try_emplace(function);
    if (is_new) {
      Effects effects;  // a recursive call finds none
      for (const Event& event : module_.uses[function].events) {
        if (event.kind == Kind::kCalls) {
          for (const auto& [variable, effect] : effects_of(event.index)) {
            effects[variable].reads |= effect.reads;
            effects[variable].sets |= effect.sets;
          }
        } else if (is_use(event.kind)) {
          effects[event.index].reads |= may_read(event.kind);
          effects[event.index].sets |= may_set(event.kind);
        }
      }
      effects_[function] = std::move(effects);
    }
    return effects_[function];
  }

  // The walk through one function: what has been done with each variable, and the first wait after that.
  class Walk {
   public:
    Walk(Search& search, std::size_t function)
        : search_(search),
          function_(function),
          waits_(search.waits_[function] != kNone),
          // It runs once, and sets much that others only read. Only what is set again after a wait counts.
          is_main_(search.module_.functions[function].name == "main") {}

    void wait(std::size_t at) {
      for (auto& [variable, state] : seen_) {
        if (state.wait == kNone) state.wait = at;
        Uses& uses = search_.uses_[variable];
        if (state.address && !is_main_ && uses.address_in == kNone)
          std::tie(uses.address_in, uses.wait_of_address) = std::pair(function_, at);
      }
    }
    // A register may keep the address, so a later use need not be seen.
    void take_address(std::size_t variable) { seen_[variable].address = true; }
    void use(std::size_t variable, bool reads, bool sets) {
      Seen& state = seen_[variable];
      Uses& uses = search_.uses_[variable];
      if (state.wait != kNone && uses.across == kNone) {
        const bool used_what_was_set = state.set && (!is_main_ || sets);
        const bool set_by_what_was_read = state.read && sets && !is_main_;
        if (used_what_was_set || set_by_what_was_read) {
          uses.across = function_;
          uses.wait = state.wait;
          uses.set_before = state.set;
        }
      }
      state.set |= sets;
      state.read |= reads;
      if (is_main_) return;
      if (sets && uses.setter == kNone) uses.setter = function_;
      if (waits_ && (uses.waiting_user == kNone || uses.waiting_user == uses.setter)) {
        uses.waiting_user = function_;
        uses.wait_of_user = search_.waits_[function_];
      }
    }

   private:
    struct Seen {
      bool read = false;
      bool set = false;
      bool address = false;
      std::size_t wait = kNone;
    };
    Search& search_;
    const std::size_t function_;
    const bool waits_, is_main_;
    absl::flat_hash_map<std::size_t, Seen> seen_;
  };

  void look_at(std::size_t function) {
    Walk walk(*this, function);
    const std::vector<Event>& events = module_.uses[function].events;
    for (std::size_t i = 0; i < events.size(); ++i) {
      const Event& event = events[i];
      if (is_wait(event)) {
        walk.wait(i);
      } else if (event.kind == Kind::kCalls) {
        // A copy, for the effects of others may move these.
        const Effects effects = effects_of(event.index);
        for (const auto& [variable, effect] : effects) walk.use(variable, effect.reads, effect.sets);
      } else if (is_use(event.kind)) {
        walk.use(event.index, may_read(event.kind), may_set(event.kind));
        if (event.kind == Kind::kTakesAddress) walk.take_address(event.index);
      }
    }
  }

  // The function that is called there, or the import.
  const std::string& callee(std::size_t function, std::size_t at) const {
    const Event& event = module_.uses[function].events[at];
    return event.kind == Kind::kImports ? module_.imports[event.index] : module_.functions[event.index].name;
  }

  std::optional<SharedVariable> judge(std::size_t variable) const {
    const auto found = uses_.find(variable);
    if (found == uses_.end()) return std::nullopt;
    const Uses& uses = found->second;
    const Symbol& symbol = module_.variables[variable];
    SharedVariable shared;
    shared.name = symbol.name;
    shared.file = symbol.file;
    shared.size = symbol.range.second - symbol.range.first;
    if (uses.across != kNone) {
      if (!uses.set_before) shared.how = SharedVariable::How::kReadAcrossWait;
      shared.function = module_.functions[uses.across].name;
      shared.call = callee(uses.across, uses.wait);
      return shared;
    }
    if (uses.address_in != kNone) {
      shared.how = SharedVariable::How::kAddressAcrossWait;
      shared.function = module_.functions[uses.address_in].name;
      shared.call = callee(uses.address_in, uses.wait_of_address);
      return shared;
    }
    if (uses.setter == kNone || uses.waiting_user == kNone || uses.setter == uses.waiting_user)
      return std::nullopt;
    shared.how = SharedVariable::How::kByFunctions;
    shared.function = module_.functions[uses.setter].name;
    shared.used_in = module_.functions[uses.waiting_user].name;
    shared.call = callee(uses.waiting_user, uses.wait_of_user);
    return shared;
  }

  const ModuleUses& module_;
  std::vector<bool> import_waits_;
  std::vector<std::size_t> waits_;                     // of each function: its first event that waits
  absl::flat_hash_map<std::size_t, Uses> uses_;        // of each variable
  absl::flat_hash_map<std::size_t, Effects> effects_;  // of functions that do not wait
};

}  // namespace

ModuleUses read_uses(const std::vector<Code>& code, const CallSites& sites, std::vector<Symbol> functions,
                     std::vector<Symbol> variables) {
  ModuleUses module;
  module.functions = std::move(functions);
  module.variables = std::move(variables);
  module.uses.resize(module.functions.size());
  const auto add = [&](std::uint64_t place, Kind kind, std::size_t index) {
    const std::size_t function = index_of(module.functions, place);
    if (function != kNone) module.uses[function].events.push_back({place, kind, index});
  };
  for (const auto& [name, places] : sites.places()) {
    for (const std::uint64_t place : places) add(place, Kind::kImports, module.imports.size());
    module.imports.push_back(name);
  }
  if (module.variables.empty()) return module;
  const std::uint64_t first = module.variables.front().range.first;
  const std::uint64_t last = module.variables.back().range.second;
  constexpr std::size_t kLongestOpcode = 5;
  for (const Code& part : code) {
    arch::for_each_displacement(
        part.bytes, part.size, part.address, [&](std::size_t at, std::uint64_t target) {
          if (at < kLongestOpcode) return;
          const unsigned char* const bytes = part.bytes + at;
          if (target + 4 >= first && target < last && arch::is_operand(bytes)) {
            const arch::MemoryUse use = arch::use_of_memory(bytes);
            const std::size_t variable = index_of(module.variables, target + use.bytes_after);
            if (variable != kNone) add(part.address + at, kind_of(use), variable);
          } else if (arch::is_branch(bytes)) {
            const std::size_t function = index_of(module.functions, target);
            if (function != kNone && module.functions[function].range.first == target)
              add(part.address + at, Kind::kCalls, function);
          }
        });
  }
  for (FunctionUses& function : module.uses) {
    std::stable_sort(function.events.begin(), function.events.end(),
                     [](const Event& a, const Event& b) { return a.place < b.place; });
  }
  return module;
}

std::vector<SharedVariable> find_shared_variables(const ModuleUses& uses,
                                                  absl::FunctionRef<bool(const std::string&)> waits) {
  return Search(uses, waits).run();
}

// The forms of a name: __recv_chk, fgets_unlocked, pread64, __isoc99_fscanf.
std::string_view plain_name(std::string_view name) {
  while (name.starts_with('_')) name.remove_prefix(1);
  for (const std::string_view begin : {"IO_", "isoc99_", "isoc23_"}) {
    if (name.starts_with(begin)) name.remove_prefix(begin.size());
  }
  for (const std::string_view end : {"_chk", "_unlocked", "64"}) {
    if (name.ends_with(end)) name.remove_suffix(end.size());
  }
  return name;
}

bool is_wait(const std::string& name) {
  static constexpr auto kNames = std::to_array<std::string_view>({"accept",
                                                                  "accept4",
                                                                  "clock_nanosleep",
                                                                  "connect",
                                                                  "epoll_pwait",
                                                                  "epoll_pwait2",
                                                                  "epoll_wait",
                                                                  "fdatasync",
                                                                  "fflush",
                                                                  "fgetc",
                                                                  "fgets",
                                                                  "flock",
                                                                  "fprintf",
                                                                  "fputs",
                                                                  "fread",
                                                                  "fscanf",
                                                                  "fsync",
                                                                  "fwrite",
                                                                  "getaddrinfo",
                                                                  "getc",
                                                                  "getdelim",
                                                                  "gethostbyaddr",
                                                                  "gethostbyname",
                                                                  "gethostbyname2",
                                                                  "getline",
                                                                  "getnameinfo",
                                                                  "nanosleep",
                                                                  "pause",
                                                                  "pclose",
                                                                  "poll",
                                                                  "ppoll",
                                                                  "pread",
                                                                  "preadv",
                                                                  "preadv2",
                                                                  "pselect",
                                                                  "pthread_barrier_wait",
                                                                  "pthread_cond_timedwait",
                                                                  "pthread_cond_wait",
                                                                  "pthread_join",
                                                                  "pwrite",
                                                                  "pwritev",
                                                                  "pwritev2",
                                                                  "read",
                                                                  "readv",
                                                                  "recv",
                                                                  "recvfrom",
                                                                  "recvmmsg",
                                                                  "recvmsg",
                                                                  "res_nquery",
                                                                  "res_query",
                                                                  "res_search",
                                                                  "select",
                                                                  "sem_timedwait",
                                                                  "sem_wait",
                                                                  "send",
                                                                  "sendfile",
                                                                  "sendmmsg",
                                                                  "sendmsg",
                                                                  "sendto",
                                                                  "sigsuspend",
                                                                  "sigwait",
                                                                  "sleep",
                                                                  "splice",
                                                                  "system",
                                                                  "thrd_sleep",
                                                                  "uflow",
                                                                  "usleep",
                                                                  "wait",
                                                                  "wait3",
                                                                  "wait4",
                                                                  "waitid",
                                                                  "waitpid",
                                                                  "write",
                                                                  "writev"});
  static_assert(std::is_sorted(kNames.begin(), kNames.end()));
  return std::binary_search(kNames.begin(), kNames.end(), plain_name(name));
}

}  // namespace aiofiber::tool
