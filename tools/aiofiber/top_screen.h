// SPDX-License-Identifier: Apache-2.0
//
// The output of `aiofiber top` as lines of text: a heading, and the tasks as a table.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "top_table.h"

namespace aiofiber::tool {

// Two lines: the target, and its tasks by state. `cost_ms`: the time of the refresh.
std::vector<std::string> top_heading(const Inspection& inspection, const TopTable& table, double cost_ms);

// The titles and the rows [first, last). Only these are unwound.
std::vector<std::string> top_rows(Inspection& inspection, const TopTable& table, std::size_t first,
                                  std::size_t last);

}  // namespace aiofiber::tool
