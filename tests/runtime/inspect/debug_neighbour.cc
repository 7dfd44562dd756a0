// SPDX-License-Identifier: Apache-2.0
//
// Linked with debug_plugin.cc: code before and behind its code, in one unit, which .debug_aranges lists when
// g++ made it. To libdwfl all between them is of this unit.
extern "C" {
[[gnu::cold, gnu::noinline]] int before_plugin() { return 1; }
[[gnu::section("text_behind"), gnu::noinline]] int behind_plugin() { return 2; }
}
