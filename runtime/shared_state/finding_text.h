// SPDX-License-Identifier: Apache-2.0
//
// A finding as text: the variable, which task wrote it where, which other task changed it where, what the
// first was waiting for, and where it then used it.
//
// Made from addresses when the task has been suspended, not in a signal handler: it allocates and reads
// files.
#pragma once

#include <string>

#include "shared_state/heap_place.h"
#include "shared_state/history.h"
#include "shared_state/streams.h"

namespace aiofiber::runtime::shared_state {

// `'pconn' in http.c, 4 bytes at +16 of 48`; `4 bytes at +16 of a block of 48 bytes on the heap, to which
// 'cache' in http.c leads`. Null, and a heap place without a root: an address without a name.
std::string place_text(const Finding& finding, const Variable* variable, const HeapPlace& heap);

// The report. Reads debug information: keep hooks off meanwhile.
std::string finding_text(const Finding& finding, const Variable* variable, const HeapPlace& heap);

// The report about an output stream. The same holds for it.
std::string cut_line_text(const CutLine& finding);

// Equal for findings of one place: the variable, and the line that uses it.
std::string place_key(const Finding& finding, const Variable* variable);

}  // namespace aiofiber::runtime::shared_state
