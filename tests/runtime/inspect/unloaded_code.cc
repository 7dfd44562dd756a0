// SPDX-License-Identifier: Apache-2.0
//
// Built twice, as libraries with the same layout. Their functions have different names and frames of
// different sizes, so the unwinder's cache for one is wrong for the other.

using Callback = void (*)();

namespace plugin {

// Its frame is found by rsp with FRAME_BYTES on the stack, a constant of the code at this address.
[[gnu::noinline]] int PLUGIN_FUNCTION(Callback call) {
  volatile char room[FRAME_BYTES];
  room[0] = 1;
  call();
  return room[0];
}

}  // namespace plugin

extern "C" int plugin_enter(Callback call) { return plugin::PLUGIN_FUNCTION(call) + 1; }
