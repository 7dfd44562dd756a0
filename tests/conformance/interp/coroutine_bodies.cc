// SPDX-License-Identifier: Apache-2.0
//
// The sources of bodies/ as coroutines. On their own they are compiled as ordinary functions.
#define CONF_COROUTINES

#include "bodies/flow.cc"
#include "bodies/locks.cc"
#include "bodies/machine.cc"
#include "bodies/shared_queue.cc"
#include "bodies/streams.cc"
#include "bodies/tasks.cc"
