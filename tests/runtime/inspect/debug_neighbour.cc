// SPDX-License-Identifier: Apache-2.0
//
// Linked with debug_plugin.cc: code before and after its code, in one unit, which .debug_aranges lists if g++
// made it. For libdwfl, all code in between belongs to this unit.
extern "C" {
[[gnu::cold, gnu::noinline]] int before_plugin() { return 1; }
[[gnu::section("text_behind"), gnu::noinline]] int behind_plugin() { return 2; }
}
