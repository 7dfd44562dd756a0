// SPDX-License-Identifier: Apache-2.0
//
// The search for displacements. If runtime/arch/ does not know the processor's code, it finds nothing, and
// the caller must use the imports.
#include "call_sites.h"

#include <algorithm>
#include <unordered_map>

#include "arch/call_code.h"

namespace aiofiber::tool {

const CodeRange* find_range(const std::vector<CodeRange>& sorted, std::uint64_t address) {
  const auto after =
      std::upper_bound(sorted.begin(), sorted.end(), address,
                       [](std::uint64_t value, const CodeRange& range) { return value < range.first; });
  return after != sorted.begin() && address < std::prev(after)->second ? &*std::prev(after) : nullptr;
}

namespace {

namespace arch = runtime::arch;

// Addresses that lead to an import, with a fast test for the many that do not.
class Targets {
 public:
  void add(std::uint64_t address, const std::string* name) {
    first_ = std::min(first_, address);
    last_ = std::max(last_, address);
    names_[address] = name;
  }
  const std::string* find(std::uint64_t address) const {
    if (address < first_ || address > last_) return nullptr;
    const auto found = names_.find(address);
    return found == names_.end() ? nullptr : found->second;
  }

 private:
  std::uint64_t first_ = UINT64_MAX;
  std::uint64_t last_ = 0;
  // Asked for each displacement near it: abseil's table made all of `hooks --check` 40 % slower.
  std::unordered_map<std::uint64_t, const std::string*> names_;
};

// Calls found(index of the displacement, its target).
template <class Found>
void for_each_displacement(const Code& code, Found found) {
  arch::for_each_displacement(code.bytes, code.size, code.address, found);
}

}  // namespace

CallSites::CallSites(const std::vector<Code>& code, const std::vector<ImportSlot>& slots,
                     const std::vector<CodeRange>& functions)
    : code_(code) {
  Targets through_slot, by_stub;
  for (const ImportSlot& slot : slots) through_slot.add(slot.address, &slot.name);
  for (const Code& part : code) {
    for_each_displacement(part, [&](std::size_t at, std::uint64_t target) {
      const std::string* const name = through_slot.find(target);
      if (name == nullptr || !arch::is_operand(part.bytes + at)) return;
      const std::uint64_t place = part.address + at;
      if (arch::is_jump_through_slot(part.bytes + at) && !contains(functions, place)) {
        by_stub.add(part.address + arch::stub_begin(part.bytes, at), name);
      } else {
        places_[*name].push_back(place);
      }
    });
  }
  for (const Code& part : code) {
    for_each_displacement(part, [&](std::size_t at, std::uint64_t target) {
      const std::string* const name = by_stub.find(target);
      if (name != nullptr && arch::is_branch(part.bytes + at)) places_[*name].push_back(part.address + at);
    });
  }
}

std::vector<std::uint64_t> CallSites::users_of(std::uint64_t address) const {
  std::vector<std::uint64_t> users;
  for (const Code& part : code_) {
    for_each_displacement(part, [&](std::size_t at, std::uint64_t target) {
      const bool uses = arch::is_branch(part.bytes + at) || arch::is_operand(part.bytes + at);
      if (target == address && uses) users.push_back(part.address + at);
    });
  }
  return users;
}

CallSites::SystemCall CallSites::system_call_at(std::uint64_t place) const {
  for (const Code& part : code_) {
    if (place < part.address || place - part.address >= part.size) continue;
    const std::size_t at = place - part.address;
    // A call through a slot or a stub. Another use of its address does not show the number.
    const unsigned char* const displacement = part.bytes + at;
    const bool calls = arch::is_branch(displacement) || arch::is_call_through_slot(displacement) ||
                       arch::is_jump_through_slot(displacement);
    if (!calls) return {};
    return {arch::set_before(part.bytes, at, arch::Argument::kFirst),
            arch::set_before(part.bytes, at, arch::Argument::kThird)};
  }
  return {};
}

}  // namespace aiofiber::tool
