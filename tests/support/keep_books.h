// SPDX-License-Identifier: Apache-2.0
//
// Makes the whole test program keep its books: a test that leaves something behind fails.
#pragma once

#include "aiofiber/gtest.h"

namespace aiofiber {

inline const bool books_are_kept = (testing::keep_books(), true);

}  // namespace aiofiber
