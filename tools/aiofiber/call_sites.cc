// SPDX-License-Identifier: Apache-2.0
//
// The search for displacements. On other processors than x86-64 it finds nothing, and the caller must use the
// imports.
#include "call_sites.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace aiofiber::tool {

const CodeRange* find_range(const std::vector<CodeRange>& sorted, std::uint64_t address) {
  const auto after =
      std::upper_bound(sorted.begin(), sorted.end(), address,
                       [](std::uint64_t value, const CodeRange& range) { return value < range.first; });
  return after != sorted.begin() && address < std::prev(after)->second ? &*std::prev(after) : nullptr;
}

#if defined(__x86_64__)

namespace {

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
  std::unordered_map<std::uint64_t, const std::string*> names_;
};

// Calls found(address of the displacement, its target) for every four bytes of the code.
template <class Found>
void for_each_displacement(const Code& code, Found found) {
  for (std::size_t at = 2; at + 4 <= code.size; ++at) {
    std::int32_t displacement;
    std::memcpy(&displacement, code.bytes + at, sizeof displacement);
    found(at, code.address + at + 4 + static_cast<std::uint64_t>(std::int64_t{displacement}));
  }
}

bool is_jump_through_slot(const unsigned char* displacement) {
  return displacement[-2] == 0xff && displacement[-1] == 0x25;
}

// A stub is a jump through the slot. `bnd` and `endbr64` may be before it.
std::uint64_t stub_of(const Code& code, std::size_t displacement_at) {
  static constexpr unsigned char kEndbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  std::size_t at = displacement_at - 2;
  if (at >= 1 && code.bytes[at - 1] == 0xf2) --at;
  if (at >= sizeof kEndbr64 && std::memcmp(code.bytes + at - sizeof kEndbr64, kEndbr64, sizeof kEndbr64) == 0)
    at -= sizeof kEndbr64;
  return code.address + at;
}

// A relative call or jump, also a conditional one.
bool is_branch(const unsigned char* displacement) {
  const unsigned char last = displacement[-1];
  return last == 0xe8 || last == 0xe9 || (displacement[-2] == 0x0f && (last & 0xf0) == 0x80);
}

// A memory operand relative to the next instruction: a call through a slot, or the use of an address. Other
// bytes may match by chance.
bool is_operand(const unsigned char* displacement) { return (displacement[-1] & 0xc7) == 0x05; }

// The value that the nearest `mov register, value` before `at` sets, by the register's opcode; -1: none near.
int value_set_before(const Code& code, std::size_t at, unsigned char opcode, unsigned char clear_operand) {
  constexpr std::size_t kNear = 48;
  constexpr std::uint32_t kLargest = 1000;
  for (std::size_t back = 2; back <= kNear && back <= at; ++back) {
    const unsigned char* const byte = code.bytes + at - back;
    const bool wide = back < at && (byte[-1] & 0xf0) == 0x40;  // a prefix: another register
    if (wide) continue;
    if (byte[0] == 0x31 && byte[1] == clear_operand) return 0;  // xor with itself
    std::uint32_t value;
    if (back < 1 + sizeof value || byte[0] != opcode) continue;
    std::memcpy(&value, byte + 1, sizeof value);
    if (value < kLargest) return static_cast<int>(value);
  }
  return -1;
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
      if (name == nullptr || !is_operand(part.bytes + at)) return;
      const std::uint64_t place = part.address + at;
      if (is_jump_through_slot(part.bytes + at) && !contains(functions, place)) {
        by_stub.add(stub_of(part, at), name);
      } else {
        places_[*name].push_back(place);
      }
    });
  }
  for (const Code& part : code) {
    for_each_displacement(part, [&](std::size_t at, std::uint64_t target) {
      const std::string* const name = by_stub.find(target);
      if (name != nullptr && is_branch(part.bytes + at)) places_[*name].push_back(part.address + at);
    });
  }
}

std::vector<std::uint64_t> CallSites::users_of(std::uint64_t address) const {
  std::vector<std::uint64_t> users;
  for (const Code& part : code_) {
    for_each_displacement(part, [&](std::size_t at, std::uint64_t target) {
      const bool uses = is_branch(part.bytes + at) || is_operand(part.bytes + at);
      if (target == address && uses) users.push_back(part.address + at);
    });
  }
  return users;
}

CallSites::SystemCall CallSites::system_call_at(std::uint64_t place) const {
  constexpr unsigned char kSetEdi = 0xbf, kClearEdi = 0xff, kSetEdx = 0xba, kClearEdx = 0xd2;
  for (const Code& part : code_) {
    if (place < part.address || place - part.address >= part.size) continue;
    const std::size_t at = place - part.address;
    // A call through a slot or a stub. Another use of its address does not show the number.
    const bool through_slot =
        part.bytes[at - 2] == 0xff && (part.bytes[at - 1] == 0x15 || part.bytes[at - 1] == 0x25);
    const bool calls = is_branch(part.bytes + at) || through_slot;
    if (!calls) return {};
    return {value_set_before(part, at, kSetEdi, kClearEdi), value_set_before(part, at, kSetEdx, kClearEdx)};
  }
  return {};
}

#else

CallSites::CallSites(const std::vector<Code>& code, const std::vector<ImportSlot>&,
                     const std::vector<CodeRange>&)
    : code_(code) {}
std::vector<std::uint64_t> CallSites::users_of(std::uint64_t) const { return {}; }
CallSites::SystemCall CallSites::system_call_at(std::uint64_t) const { return {}; }

#endif

}  // namespace aiofiber::tool
