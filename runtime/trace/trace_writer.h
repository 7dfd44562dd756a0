// SPDX-License-Identifier: Apache-2.0
//
// The single writer of a process: it empties the rings of all threads into the file.
//
// start_trace() and stop_trace() (trace.h) start and end it. Without a trace nothing reads the rings; they
// fill up and drop events.
#pragma once

#include "trace/trace_ring.h"

namespace aiofiber::runtime {

// Makes a ring for the calling thread; the writer reads it from now on. Ownership: the writer's, until the
// ring is abandoned and empty. Errors: std::bad_alloc.
TraceRing& add_trace_ring();

// Sets what tracing() returns, and whether switches are traced.
void set_tracing(bool on) noexcept;

// Tells the writer that a ring is half full. Requires that a ring was added. Never blocks.
void wake_trace_writer() noexcept;

}  // namespace aiofiber::runtime
