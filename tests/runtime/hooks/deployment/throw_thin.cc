// SPDX-License-Identifier: Apache-2.0
//
// A program without its own runtime, around the library of throw_tracing.cc.
extern "C" void report_throws();

int main() { report_throws(); }
