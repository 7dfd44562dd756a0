// SPDX-License-Identifier: Apache-2.0
//
// First the functions that reach a call that waits, then what the others do with variables, then each
// variable in each function.
//
// Programs may have a hundred thousand functions that call each other in long chains. So nothing here is
// recursive, and what is kept of a function is limited.
#include "shared_variables.h"

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "blocking_calls.h"

namespace aiofiber::tool {
namespace {

using Event = FunctionUses::Event;
using Kind = Event::Kind;

constexpr std::size_t kNone = SIZE_MAX;

// What is done with a variable, or a field of one.
struct Deeds {
  bool reads = false;    // who takes an address may set the variable later, or never
  bool writes = false;   // without regard to the old value
  bool changes = false;  // by one instruction, as a counter
  bool sets() const { return writes || changes; }
  bool only_writes() const { return writes && !reads && !changes; }
  bool only_changes() const { return changes && !reads && !writes; }
  void add(const Deeds& other) {
    reads |= other.reads;
    writes |= other.writes;
    changes |= other.changes;
  }
  bool operator==(const Deeds&) const = default;
};
Deeds deeds_of(Kind kind) {
  return {.reads = kind == Kind::kReads || kind == Kind::kTakesAddress,
          .writes = kind == Kind::kWrites,
          .changes = kind == Kind::kChanges};
}

// An address leads to each field of a variable.
constexpr std::uint64_t kAnyField = UINT64_MAX;
std::uint64_t field_of(const Event& event) {
  return event.kind == Kind::kTakesAddress ? kAnyField : event.offset;
}

// No task: main(), and what sets the module's variables before it. It sets much that others only read.
bool runs_once(std::string_view function) {
  return function.substr(0, function.find('.')) == "main" || function.starts_with("_GLOBAL__sub_I_") ||
         function.find("__static_initialization_and_destruction_0") != std::string_view::npos;
}

// Who is handed a jmp_buf. The hooks keep the content of each jmp_buf for each task.
bool is_jump(std::string_view function) {
  function = function.substr(0, function.find('@'));
  for (const std::string_view name : {"_setjmp", "setjmp", "__sigsetjmp", "sigsetjmp", "longjmp", "_longjmp",
                                      "siglongjmp", "__longjmp_chk"}) {
    if (function == name) return true;
  }
  return false;
}

class Search {
 public:
  Search(const ModuleUses& module, absl::FunctionRef<bool(const std::string&)> waits)
      : module_(module), waits_(module.uses.size(), kNone), effects_(module.uses.size()) {
    for (const std::string& import : module.imports) import_waits_.push_back(waits(import));
    spread_waits(waits);
    spread_effects();
  }

  std::vector<SharedVariable> run() {
    for (std::size_t function = 0; function < module_.uses.size(); ++function) {
      const Symbol& symbol = module_.functions[function];
      if (!symbol.is_own && !runs_once(symbol.name)) look_at(function);
    }
    std::vector<SharedVariable> found;
    for (std::size_t variable = 0; variable < module_.variables.size(); ++variable) {
      if (module_.variables[variable].is_own) continue;
      if (std::optional<SharedVariable> shared = judge(variable)) found.push_back(*std::move(shared));
    }
    std::stable_sort(found.begin(), found.end(), [](const SharedVariable& a, const SharedVariable& b) {
      return std::tie(a.how, a.calls_between, b.size) < std::tie(b.how, b.calls_between, a.size);
    });
    return found;
  }

 private:
  // How far from a function that waits its callees do something before the wait and after it.
  struct Distance {
    bool is_far = false;  // both are done by functions that its callees call
    int calls = 0;
    auto operator<=>(const Distance&) const = default;
  };
  struct Uses {
    std::size_t across = kNone;      // the function that uses it before and after a wait
    std::size_t wait = kNone;        // the event there
    bool set_before = false;         // else only read before
    Distance distance;               // of that
    std::size_t address_in = kNone;  // a function that takes its address before a wait
    std::size_t wait_of_address = kNone;
    std::size_t setter = kNone;  // a function that sets it, and one that waits and uses it
    std::size_t waiting_user = kNone;
    std::size_t wait_of_user = kNone;
    std::size_t overwritten_in = kNone;  // a function that sets it before a wait, and after it without a look
    std::size_t wait_before_overwrite = kNone;
    std::size_t waiting_readers[2] = {kNone, kNone};  // functions that wait and read it: the first two
    bool is_set = false;
    bool set_without_guard = false;
  };

  // The function waits: by this event, of which the first is kept.
  bool is_wait(const Event& event) const {
    if (event.kind == Kind::kImports) return import_waits_[event.index];
    return event.kind == Kind::kCalls && waits_[event.index] != kNone;
  }
  // From each function that waits to those that call it, so that each is looked at once.
  void spread_waits(absl::FunctionRef<bool(const std::string&)> waits) {
    std::vector<std::size_t> waiting;
    std::vector<std::vector<std::size_t>> callers(waits_.size());
    for (std::size_t function = 0; function < waits_.size(); ++function) {
      const Symbol& symbol = module_.functions[function];
      for (const Event& event : module_.uses[function].events) {
        if (event.kind == Kind::kCalls) callers[event.index].push_back(function);
      }
      const bool waits_itself =
          symbol.is_aiofibers ? begins_wait(symbol.name, waits) : imports_wait(function);
      if (!waits_itself) continue;
      mark_waiting(function);
      waiting.push_back(function);
    }
    while (!waiting.empty()) {
      std::vector<std::size_t> next;
      for (const std::size_t function : waiting) {
        for (const std::size_t caller : callers[function]) {
          if (waits_[caller] != kNone || !passes_on(function, caller)) continue;
          mark_waiting(caller);
          next.push_back(caller);
        }
      }
      waiting = std::move(next);
    }
  }
  // Of aiofiber's functions: a hook of a call that waits, or where its own waits end. Its code calls much
  // else of libc, and the hooks, in places where no task waits.
  static bool begins_wait(const std::string& name, absl::FunctionRef<bool(const std::string&)> waits) {
    return is_suspension(name) || (is_hooked(name) && waits(name));
  }
  bool imports_wait(std::size_t function) const {
    const std::vector<Event>& events = module_.uses[function].events;
    return std::any_of(events.begin(), events.end(), [this](const Event& event) {
      return event.kind == Kind::kImports && import_waits_[event.index];
    });
  }
  bool passes_on(std::size_t function, std::size_t caller) const {
    if (!module_.functions[caller].is_aiofibers) return true;
    return !is_hooked(module_.functions[function].name) && !is_hooked(module_.functions[caller].name) &&
           !abandons_task(module_.functions[caller].name);
  }
  void mark_waiting(std::size_t function) {
    const std::vector<Event>& events = module_.uses[function].events;
    const auto wait =
        std::find_if(events.begin(), events.end(), [this](const Event& event) { return is_wait(event); });
    waits_[function] = wait == events.end() ? 0 : static_cast<std::size_t>(wait - events.begin());
  }

  // What a function that does not wait does with a field of a variable, the functions that it calls included.
  struct Effect {
    std::size_t variable;
    std::uint64_t field;
    Deeds deeds;
    int depth = 1;  // of the function that does it: 1 is this one itself
  };
  using Effects = std::vector<Effect>;
  static constexpr std::size_t kMostEffects = 64;  // of a function: the first ones
  static constexpr int kDeepestCalls = 16;         // effects are passed on to callers at least so far

  static bool add_effect(Effects& effects, const Effect& effect) {
    const auto known = std::find_if(effects.begin(), effects.end(), [&](const Effect& other) {
      return other.variable == effect.variable && other.field == effect.field;
    });
    if (known == effects.end()) {
      if (effects.size() == kMostEffects) return false;
      effects.push_back(effect);
      return true;
    }
    const auto before = std::pair(known->deeds, known->depth);
    known->deeds.add(effect.deeds);
    known->depth = std::min(known->depth, effect.depth);
    return before != std::pair(known->deeds, known->depth);
  }
  bool has_effects(std::size_t function) const {
    return waits_[function] == kNone && !module_.functions[function].is_aiofibers;
  }
  void spread_effects() {
    std::vector<std::pair<std::size_t, std::size_t>> calls;  // caller, callee
    for (std::size_t function = 0; function < effects_.size(); ++function) {
      if (!has_effects(function)) continue;
      for (const Event& event : module_.uses[function].events) {
        if (event.kind == Kind::kCalls) {
          if (event.index != function && has_effects(event.index)) calls.emplace_back(function, event.index);
        } else if (is_use(event.kind) && !module_.variables[event.index].is_own) {
          add_effect(effects_[function], {event.index, field_of(event), deeds_of(event.kind)});
        }
      }
    }
    std::sort(calls.begin(), calls.end());
    calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
    bool changed = true;
    for (int depth = 0; changed && depth < kDeepestCalls; ++depth) {
      changed = false;
      for (const auto& [caller, callee] : calls) {
        if (effects_[caller].size() == kMostEffects) continue;
        for (Effect effect : effects_[callee]) {
          ++effect.depth;
          changed |= add_effect(effects_[caller], effect);
        }
      }
    }
  }

  // The walk through one function: when it first did what with each field, and where it waits.
  class Walk {
   public:
    Walk(Search& search, std::size_t function)
        : search_(search), function_(function), makes_(search.module_.uses[function].makes) {}

    void wait(std::size_t at) {
      for (const std::size_t variable : std::exchange(addresses_, {})) {
        Uses& uses = search_.uses_[variable];
        if (uses.address_in == kNone)
          std::tie(uses.address_in, uses.wait_of_address) = std::pair(function_, at);
      }
      waits_.push_back(at);
    }
    // What a function does that is called at this event.
    void call(std::size_t at, const Effects& effects) {
      for (const Effect& effect : effects)
        use(at, effect.variable, effect.field, effect.deeds, effect.depth, false);
    }
    // What is done here. A register may keep an address, so a later use need not be seen.
    void use(std::size_t at, const Event& event) {
      const bool makes = std::any_of(makes_.begin(), makes_.end(), [&](const CodeRange& range) {
        return event.place >= range.first && event.place < range.second;
      });
      use(at, event.index, field_of(event), deeds_of(event.kind), 0, makes);
      if (event.kind == Kind::kTakesAddress) addresses_.push_back(event.index);
    }
    // The address that was taken last is a jmp_buf's.
    void jump() {
      if (!addresses_.empty()) addresses_.pop_back();
    }

   private:
    // The events that first did so, and how deep in calls it was done at least: 0 is here.
    struct Field {
      std::size_t read = kNone;
      std::size_t written = kNone;
      std::size_t set = kNone;  // written or changed
      int depth_of_set = kDeepestCalls;
      int depth_of_read = kDeepestCalls;
    };
    using Fields = absl::btree_map<std::pair<std::size_t, std::uint64_t>, Field>;  // by variable and offset

    std::size_t first_wait_after(std::size_t at) const {
      if (at == kNone) return kNone;
      const auto wait = std::upper_bound(waits_.begin(), waits_.end(), at);
      return wait == waits_.end() ? kNone : *wait;
    }
    // The nearest to this function is kept.
    void note_across(std::size_t variable, std::size_t wait, bool set_before, int depth, int depth_after) {
      if (wait == kNone) return;
      Uses& uses = search_.uses_[variable];
      const Distance distance{std::min(depth, depth_after) > 1, depth + depth_after};
      if (uses.across != kNone && !(distance < uses.distance)) return;
      uses.across = function_;
      uses.wait = wait;
      uses.set_before = set_before;
      uses.distance = distance;
    }
    void use(std::size_t at, std::size_t variable, std::uint64_t field, const Deeds& deeds, int depth,
             bool makes) {
      if (field == kAnyField) {  // who has the address may use each that was set
        for (auto known = fields_.lower_bound({variable, 0});
             known != fields_.end() && known->first.first == variable; ++known)
          note_across(variable, first_wait_after(known->second.set), true, known->second.depth_of_set, depth);
      }
      Field& known = fields_[{variable, field}];
      // A counter that is changed before the wait and after it is right, whoever changed it meanwhile.
      const std::size_t wait = first_wait_after(deeds.only_changes() ? known.written : known.set);
      Uses& uses = search_.uses_[variable];
      if (!deeds.only_writes()) {
        note_across(variable, wait, true, known.depth_of_set, depth);
      } else if (wait != kNone && uses.overwritten_in == kNone) {
        std::tie(uses.overwritten_in, uses.wait_before_overwrite) = std::pair(function_, wait);
      }
      if (deeds.sets())
        note_across(variable, first_wait_after(known.read), false, known.depth_of_read, depth);
      const auto note = [at](std::size_t& first) { first = std::min(first, at); };
      if (deeds.reads && known.set == kNone) {  // else it is what was set here
        note(known.read);
        known.depth_of_read = std::min(known.depth_of_read, depth);
      }
      if (deeds.writes) note(known.written);
      if (deeds.sets()) {
        note(known.set);
        known.depth_of_set = std::min(known.depth_of_set, depth);
      }

      uses.is_set |= deeds.sets();
      uses.set_without_guard |= deeds.sets() && !makes;
      if (deeds.sets() && uses.setter == kNone) uses.setter = function_;
      const bool waits = search_.waits_[function_] != kNone;
      if (waits && !deeds.only_writes()) {
        for (std::size_t& reader : uses.waiting_readers) {
          if (reader == kNone) reader = function_;
          if (reader == function_) break;
        }
      }
      if (waits && (uses.waiting_user == kNone || uses.waiting_user == uses.setter)) {
        uses.waiting_user = function_;
        uses.wait_of_user = search_.waits_[function_];
      }
    }

    Search& search_;
    const std::size_t function_;
    const std::vector<CodeRange>& makes_;
    Fields fields_;
    std::vector<std::size_t> addresses_;  // variables whose address was taken since the last wait
    std::vector<std::size_t> waits_;      // events, in order
  };

  void look_at(std::size_t function) {
    Walk walk(*this, function);
    const std::vector<Event>& events = module_.uses[function].events;
    for (std::size_t i = 0; i < events.size(); ++i) {
      const Event& event = events[i];
      if (is_wait(event)) {
        walk.wait(i);
      } else if (!is_use(event.kind) && is_jump(module_.callee(event))) {
        walk.jump();
      } else if (is_use(event.kind)) {
        walk.use(i, event);
      } else if (event.kind == Kind::kCalls) {
        walk.call(i, effects_[event.index]);
      }
    }
  }

  // The function that is called there, or the import.
  const std::string& callee(std::size_t function, std::size_t at) const {
    return module_.callee(module_.uses[function].events[at]);
  }

  // Set, a wait, and set again: for those that read it during the wait.
  static bool is_setting_for_a_time(const Uses& uses) {
    return uses.overwritten_in != kNone &&
           std::any_of(std::begin(uses.waiting_readers), std::end(uses.waiting_readers),
                       [&](std::size_t reader) { return reader != kNone && reader != uses.overwritten_in; });
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
    const bool is_made_once = symbol.is_guarded && !uses.set_without_guard;
    if (uses.across != kNone) {
      shared.how = uses.distance.is_far ? SharedVariable::How::kFarAcrossWait
                   : uses.set_before    ? SharedVariable::How::kAcrossWait
                                        : SharedVariable::How::kReadAcrossWait;
      shared.calls_between = uses.distance.calls;
      shared.function = module_.functions[uses.across].name;
      shared.call = callee(uses.across, uses.wait);
    } else if (is_setting_for_a_time(uses)) {
      shared.function = module_.functions[uses.overwritten_in].name;
      shared.call = callee(uses.overwritten_in, uses.wait_before_overwrite);
    } else if (uses.address_in != kNone) {
      const bool is_table = symbol.has_values && !uses.is_set;
      shared.how = is_table ? SharedVariable::How::kAddressOfTable : SharedVariable::How::kAddressAcrossWait;
      shared.function = module_.functions[uses.address_in].name;
      shared.call = callee(uses.address_in, uses.wait_of_address);
    } else {
      if (uses.setter == kNone || uses.waiting_user == kNone || uses.setter == uses.waiting_user)
        return std::nullopt;
      shared.how = SharedVariable::How::kByFunctions;
      shared.function = module_.functions[uses.setter].name;
      shared.used_in = module_.functions[uses.waiting_user].name;
      shared.call = callee(uses.waiting_user, uses.wait_of_user);
    }
    if (is_made_once) shared.how = SharedVariable::How::kMadeOnce;
    return shared;
  }

  const ModuleUses& module_;
  std::vector<bool> import_waits_;
  std::vector<std::size_t> waits_;               // of each function: its first event that waits
  absl::flat_hash_map<std::size_t, Uses> uses_;  // of each variable
  std::vector<Effects> effects_;                 // of each function that does not wait
};

}  // namespace

std::vector<SharedVariable> find_shared_variables(const ModuleUses& uses,
                                                  absl::FunctionRef<bool(const std::string&)> waits) {
  return Search(uses, waits).run();
}

}  // namespace aiofiber::tool
