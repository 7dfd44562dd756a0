// SPDX-License-Identifier: Apache-2.0
//
// inspect_target, with its code in a library.
int inspect_main(int argc, char** argv);

int main(int argc, char** argv) { return inspect_main(argc, argv); }
