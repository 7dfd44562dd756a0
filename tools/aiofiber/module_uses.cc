// SPDX-License-Identifier: Apache-2.0
//
// Collects the events of each function, then sorts them by their place.
#include "module_uses.h"

#include <algorithm>
#include <iterator>
#include <string_view>
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
// From where a guard says that the variable is to be made, to where it is told that it is done. If the code
// jumps back there, what follows is out of the line of the rest: the compiler put it there for the making.
std::vector<CodeRange> code_under_guards(const ModuleUses& module, std::size_t function,
                                         const std::vector<Code>& code) {
  std::vector<CodeRange> ranges;
  const std::vector<Event>& events = module.uses[function].events;
  constexpr std::size_t kDisplacement = 4;
  const auto calls = [&](const Event& event, std::string_view name) {
    return !is_use(event.kind) && module.callee(event) == name;
  };
  for (const Event& acquire : events) {
    if (!calls(acquire, "__cxa_guard_acquire")) continue;
    const auto part = std::find_if(code.begin(), code.end(), [&](const Code& one) {
      return acquire.place >= one.address && acquire.place - one.address < one.size;
    });
    if (part == code.end()) continue;
    const std::size_t after = acquire.place - part->address + kDisplacement;
    CodeRange range{part->address + arch::where_true_goes(part->bytes, part->size, after),
                    module.functions[function].range.second};
    const auto release = std::find_if(events.begin(), events.end(), [&](const Event& event) {
      return event.place >= range.first && calls(event, "__cxa_guard_release");
    });
    if (release != events.end()) {
      const std::size_t end = release->place - part->address + kDisplacement;
      if (!arch::is_jump_back(part->bytes, part->size, end)) range.second = release->place;
    }
    ranges.push_back(range);
  }
  return ranges;
}

}  // namespace

ModuleUses read_uses(const std::vector<Code>& code, const CallSites& sites, std::vector<Symbol> functions,
                     std::vector<Symbol> variables) {
  ModuleUses module;
  module.functions = std::move(functions);
  module.variables = std::move(variables);
  module.uses.resize(module.functions.size());
  const auto add = [&](std::uint64_t place, Kind kind, std::size_t index, std::uint64_t offset = 0) {
    const std::size_t function = index_of(module.functions, place);
    if (function != kNone) module.uses[function].events.push_back({place, kind, index, offset});
  };
  const auto add_use = [&](std::uint64_t place, const arch::MemoryUse& use, std::uint64_t address) {
    const std::size_t variable = index_of(module.variables, address);
    if (variable == kNone) return;
    const auto [begin, end] = module.variables[variable].range;
    add(place, kind_of(use), variable, address - begin);
    constexpr std::uint64_t kHalf = 8;
    if (use.is_wide && address + kHalf < end) add(place, kind_of(use), variable, address - begin + kHalf);
  };
  for (const auto& [name, places] : sites.places()) {
    for (const std::uint64_t place : places) add(place, Kind::kImports, module.imports.size());
    module.imports.push_back(name);
  }
  if (module.variables.empty()) return module;
  const std::uint64_t first = module.variables.front().range.first;
  const std::uint64_t last = module.variables.back().range.second;
  const auto add_call = [&](std::uint64_t place, std::uint64_t target) {
    const std::size_t function = index_of(module.functions, target);
    if (function != kNone && module.functions[function].range.first == target)
      add(place, Kind::kCalls, function);
  };
  const auto add_what_is_at = [&](const Code& part, std::size_t at, std::uint64_t target) {
    constexpr std::size_t kLongestOpcode = 5;
    if (at < kLongestOpcode) return;
    const unsigned char* const bytes = part.bytes + at;
    if (target + 4 >= first && target < last && arch::is_operand(bytes)) {
      const arch::MemoryUse use = arch::use_of_memory(bytes);
      add_use(part.address + at, use, target + use.bytes_after);
    } else if (arch::is_branch(bytes)) {
      add_call(part.address + at, target);
    }
  };
  for (const Code& part : code) {
    arch::for_each_displacement(
        part.bytes, part.size, part.address,
        [&](std::size_t at, std::uint64_t target) { add_what_is_at(part, at, target); });
    arch::for_each_short_jump(part.bytes, part.size, part.address, [&](std::size_t at, std::uint64_t target) {
      add_call(part.address + at, target);
    });
  }
  for (std::size_t i = 0; i < module.uses.size(); ++i) {
    FunctionUses& function = module.uses[i];
    std::stable_sort(function.events.begin(), function.events.end(),
                     [](const Event& a, const Event& b) { return a.place < b.place; });
    function.makes = code_under_guards(module, i, code);
  }
  return module;
}

}  // namespace aiofiber::tool
