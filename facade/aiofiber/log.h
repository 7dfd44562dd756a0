// SPDX-License-Identifier: Apache-2.0
//
// The log: one sink for the reports of aiofiber in the process, like asyncio's logger "asyncio".
//
// The levels have the numbers of Python's logging. A report never throws and never suspends, because
// destructors and the loop itself make reports.
#pragma once

#include <functional>
#include <string_view>

namespace aiofiber {

// How grave a message is; the numbers are those of Python's logging.
enum class LogLevel { DEBUG = 10, INFO = 20, WARNING = 30, ERROR = 40, CRITICAL = 50 };

// Replaces the sink. An empty function restores the default: WARNING and above as bare text on stderr.
// The sink may be called on any thread and must not throw (exceptions from it are dropped).
void set_log_sink(std::function<void(LogLevel, std::string_view)> sink);

namespace detail {
void log(LogLevel level, std::string_view text) noexcept;
}  // namespace detail

}  // namespace aiofiber
