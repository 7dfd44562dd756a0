// SPDX-License-Identifier: Apache-2.0
//
// C code as it is in many programs: a client that tries again whatever the error is, and prints each failure.
// Nothing in it knows of tasks or cancellations.
#pragma once

// Asks the server on 127.0.0.1 for a byte, again and again.
extern "C" void ask_until_answered(int port);
