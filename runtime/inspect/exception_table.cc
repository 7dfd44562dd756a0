// SPDX-License-Identifier: Apache-2.0
//
// Call sites, actions, and the recognition of handlers that end the program.
#include "inspect/exception_table.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "aiofiber/runtime/inspect/unwind.h"
#include "inspect/table_bytes.h"

#if defined(__x86_64__) && defined(__LP64__)

// The C++ runtime's interpreter of exception tables: frames that name it have tables which we can read.
extern "C" void __gxx_personality_v0();

namespace aiofiber::runtime {
namespace {

// Machine code, for the one question below. As Bytes, and knows a few instructions.
class Code : private Bytes {
 public:
  explicit Code(std::uintptr_t at) : Bytes(reinterpret_cast<const std::uint8_t*>(at)) {}

  bool take(std::initializer_list<std::uint8_t> wanted) {
    if (!std::equal(wanted.begin(), wanted.end(), at())) return false;
    skip(wanted.size());
    return true;
  }
  void take_endbr() { take({0xf3, 0x0f, 0x1e, 0xfa}); }

  // `call` with a distance; its target, or 0.
  std::uintptr_t take_call() {
    if (!take({0xe8})) return 0;
    const auto distance = fixed<std::int32_t>();
    return reinterpret_cast<std::uintptr_t>(at()) + static_cast<std::uintptr_t>(std::intptr_t{distance});
  }
};

// clang has no "may not throw" in its tables: it catches everything and calls a helper that calls
// __cxa_begin_catch and std::terminate and does not return. A handler written by the user calls
// __cxa_begin_catch itself. Between the landing pad and either call there may be clean-ups (and, under
// AddressSanitizer, a call of its own), so the pad's code is searched for the call of a helper that no call
// of __cxa_begin_catch precedes. A heuristic: bytes are searched, not instructions, and a far helper is not
// seen.
constexpr std::size_t kLandingPadBytes = 192;

// What the helper at `target` calls first, if it is one; else 0.
std::uintptr_t first_call_of_terminate_helper(std::uintptr_t target) {
  // A byte that only looks like a call leads anywhere: look no further unless a function begins there.
  const auto table = find_frame_table(target);
  if (!table || table->function != target) return 0;
  Code helper(target);
  helper.take_endbr();
  const bool pushes_rax = helper.take({0x50});
  if (!pushes_rax && !helper.take({0x55, 0x48, 0x89, 0xe5})) return 0;  // push %rbp; mov %rsp,%rbp
  const std::uintptr_t first = helper.take_call();
  return first != 0 && helper.take_call() != 0 ? first : 0;
}

// `after_others`: handlers for certain types stand before it and call __cxa_begin_catch, so that order says
// nothing: a pad that calls a helper at all is taken for one that ends the program.
bool is_terminating_landing_pad(std::uintptr_t landing_pad, bool after_others) {
  std::uintptr_t end = landing_pad + kLandingPadBytes;
  constexpr std::uintptr_t kPageMask = 4095;
  if (!find_frame_table(end)) end = std::min(end, (landing_pad | kPageMask) - sizeof(std::int32_t));
  std::array<std::uintptr_t, 32> seen;
  std::size_t seen_count = 0;
  for (std::uintptr_t at = landing_pad; at < end && seen_count < seen.size(); ++at) {
    const std::uintptr_t target = Code(at).take_call();
    if (target == 0) continue;
    if (const std::uintptr_t begin_catch = first_call_of_terminate_helper(target)) {
      return after_others ||
             std::find(seen.begin(), seen.begin() + seen_count, begin_catch) == seen.begin() + seen_count;
    }
    seen[seen_count++] = target;
  }
  return false;
}

// What a handler for `type` means to an exception of type `thrown`; kPasses: it is not for it.
Fate fate_of_handler(const std::type_info& type, const std::type_info* thrown) {
  if (type == typeid(PassesOn)) return Fate::kPassesOn;
  if (type == typeid(PassesOnOther)) return Fate::kPassesOnOther;
  if (thrown == nullptr) return Fate::kMayCatch;
  void* object = nullptr;  // would be adjusted to the base class
  return type.__do_catch(thrown, &object, 1) ? Fate::kCatches : Fate::kPasses;
}

// The chain of actions of one call site: which handlers an exception meets there.
Fate fate_of_actions(const std::uint8_t* action, const std::uint8_t* type_table, std::uint8_t type_encoding,
                     std::uintptr_t landing_pad, const std::type_info* thrown) {
  Fate fate = Fate::kPasses;
  bool after_others = false;
  for (;;) {
    Bytes in(action);
    const std::int64_t filter = in.sleb();
    const auto* next = in.at();
    const std::int64_t displacement = in.sleb();
    if (filter < 0)
      return Fate::kTerminates;  // an exception specification: nothing is listed, so nothing may pass
    if (filter > 0 && type_table) {
      const unsigned format = type_encoding & 0x0fu;
      const std::int64_t width = format == 0x03 || format == 0x0b   ? 4
                                 : format == 0x02 || format == 0x0a ? 2
                                                                    : 8;
      const std::uintptr_t type = Bytes(type_table - filter * width).pointer(type_encoding, 0, 0);
      if (type == 0)
        return is_terminating_landing_pad(landing_pad, after_others) ? Fate::kTerminates : Fate::kCatches;
      const Fate here = fate_of_handler(*reinterpret_cast<const std::type_info*>(type), thrown);
      after_others = true;
      if (here == Fate::kMayCatch) fate = here;
      if (here != Fate::kMayCatch && here != Fate::kPasses) return here;
    }
    if (displacement == 0) return fate;
    action = next + displacement;
  }
}

}  // namespace

Fate fate_in_frame(const FrameTable& table, std::uintptr_t instruction, const std::type_info* thrown) {
  if (table.exception_table == 0) return Fate::kPasses;
  if (table.personality != reinterpret_cast<std::uintptr_t>(&__gxx_personality_v0)) return Fate::kPasses;
  Bytes in(reinterpret_cast<const std::uint8_t*>(table.exception_table));
  std::uintptr_t landing_base = table.function;
  if (const auto encoding = in.fixed<std::uint8_t>(); encoding != 0xff) {
    landing_base = in.pointer(encoding, 0, table.function);
  }
  const auto type_encoding = in.fixed<std::uint8_t>();
  const std::uint8_t* type_table = nullptr;
  if (type_encoding != 0xff) {
    const std::uint64_t distance = in.uleb();
    type_table = in.at() + distance;
  }
  const auto site_encoding = in.fixed<std::uint8_t>();
  const std::uint64_t sites_length = in.uleb();
  const std::uint8_t* actions = in.at() + sites_length;
  while (in.at() < actions) {
    const std::uintptr_t start = in.raw(site_encoding);
    const std::uintptr_t length = in.raw(site_encoding);
    const std::uintptr_t landing_pad = in.raw(site_encoding);
    const std::uint64_t action = in.uleb();
    if (instruction < table.function + start) break;  // the table is sorted
    if (instruction >= table.function + start + length) continue;
    if (landing_pad == 0 || action == 0) return Fate::kPasses;
    return fate_of_actions(actions + action - 1, type_table, type_encoding, landing_base + landing_pad,
                           thrown);
  }
  return Fate::kTerminates;  // g++ leaves a call that may not throw out of the table
}

}  // namespace aiofiber::runtime

#endif
