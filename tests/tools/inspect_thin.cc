// SPDX-License-Identifier: Apache-2.0
//
// inspect_target, which is in a library here.
int inspect_main(int argc, char** argv);

int main(int argc, char** argv) { return inspect_main(argc, argv); }
