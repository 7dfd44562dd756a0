// SPDX-License-Identifier: Apache-2.0
//
// Reads call sites, actions, and the types of handlers.
#include "inspect/exception_table.h"

#include "aiofiber/runtime/inspect/unwind.h"
#include "arch/landing_pad.h"
#include "inspect/table_bytes.h"

// The C++ runtime's interpreter of exception tables: the tables of frames that name it can be read here.
extern "C" void __gxx_personality_v0();

namespace aiofiber::runtime {
namespace {

// What a handler for `type` does with an exception of type `thrown`; kPasses: it does not match.
Fate fate_of_handler(const std::type_info& type, const std::type_info* thrown) {
  if (type == typeid(PassesOn)) return Fate::kPassesOn;
  if (type == typeid(PassesOnOther)) return Fate::kPassesOnOther;
  if (thrown == nullptr) return Fate::kMayCatch;
  void* object = nullptr;  // would be adjusted to the base class
  return type.__do_catch(thrown, &object, 1) ? Fate::kCatches : Fate::kPasses;
}

// The chain of actions of one call site: the handlers that an exception meets there.
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
      return Fate::kTerminates;  // an exception specification: it lists nothing, so nothing may pass
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

Fate fate_in_frame(const FrameTable& table, std::uintptr_t instruction, const std::type_info* thrown,
                   std::uintptr_t* cleanup) {
  if (cleanup != nullptr) *cleanup = 0;
  if (table.exception_table == 0) return Fate::kNothing;
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
    if (landing_pad == 0) return Fate::kNothing;
    if (action == 0) {
      if (cleanup != nullptr) *cleanup = landing_base + landing_pad;
      return Fate::kPasses;
    }
    return fate_of_actions(actions + action - 1, type_table, type_encoding, landing_base + landing_pad,
                           thrown);
  }
  return Fate::kTerminates;  // g++ omits a call that may not throw from the table
}

}  // namespace aiofiber::runtime
