// SPDX-License-Identifier: Apache-2.0
//
// Where aiofiber's own reports go: one sink for the process, as asyncio's logger "asyncio".
//
// Levels have the numbers of Python's logging, so that a sink can hand them on. A report never throws and
// never suspends: it is made from destructors and from the loop itself.
#pragma once

#include <functional>
#include <string_view>

namespace aiofiber {

enum class LogLevel { DEBUG = 10, INFO = 20, WARNING = 30, ERROR = 40, CRITICAL = 50 };

// Replaces the sink; an empty function restores the default: WARNING and above as bare text on stderr.
// The sink may be called on any thread and must not throw (what it throws is dropped).
void set_log_sink(std::function<void(LogLevel, std::string_view)> sink);

namespace detail {
void log(LogLevel level, std::string_view text) noexcept;
}  // namespace detail

}  // namespace aiofiber
