// SPDX-License-Identifier: Apache-2.0
//
// An instrumented program has no sanitizer's own library beside the search.
//
// Each wants to be the one malloc and the one end of the compiler's calls. A program with two of them dies
// before main() without a word.
#pragma once

namespace aiofiber::runtime::shared_state {

// Ends the process with one sentence if it has such a library. For the first moment in which code of the
// program runs: works before the C library's own start has ended.
void insist_on_being_alone() noexcept;

}  // namespace aiofiber::runtime::shared_state
