// SPDX-License-Identifier: Apache-2.0
//
// ExceptionContext: what a loop's exception handler is told about an error that nobody else will see.
//
// Only the parts that apply are set. Its own header, because it names futures, tasks and handles, which
// themselves refer to the loop. Source: asyncio's "Error Handling API".
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/future.h"
#include "aiofiber/handle.h"
#include "aiofiber/task.h"

namespace aiofiber {

struct ExceptionContext {
  std::string message;
  std::exception_ptr exception;
  std::optional<AnyFuture> future;
  std::optional<AnyTask> task;
  std::optional<Handle> handle;
  // Where the future, task or handle was made, oldest frame first; in debug mode.
  std::vector<Frame> source_traceback;
  // Further keys with their texts.
  std::vector<std::pair<std::string, std::string>> extra;

  // Which are set, as asyncio's dictionary would hold them: in the order above.
  std::vector<std::string> keys() const;
};

// As Python writes the dictionary: `{'message': 'oops', 'exception': ValueError('boom')}`.
std::string repr(const ExceptionContext& context);

namespace detail {
// What the default handler logs: the message, a line for each other key, the exception.
std::string describe(const ExceptionContext& context);
}  // namespace detail

}  // namespace aiofiber
