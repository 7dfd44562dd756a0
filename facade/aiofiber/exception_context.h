// SPDX-License-Identifier: Apache-2.0
//
// ExceptionContext: describes an error that no code handles, for the loop's exception handler.
//
// Only the parts that apply are set. It has its own header because it refers to futures, tasks and handles,
// which refer to the loop. Source: asyncio's "Error Handling API".
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

// What an exception handler is told. Source: the context of loop.call_exception_handler().
struct ExceptionContext {
  std::string message;              // what happened, in one sentence
  std::exception_ptr exception;     // null: none
  std::optional<AnyFuture> future;  // the one whose error nobody handled
  std::optional<AnyTask> task;      // the one that went wrong, or ran when it happened
  std::optional<Handle> handle;     // the callback that threw
  // In debug mode: where the future, task or handle was made, oldest frame first.
  std::vector<Frame> source_traceback;
  // Further keys with their texts.
  std::vector<std::pair<std::string, std::string>> extra;

  // The keys that are set, in the order above, as in asyncio's dictionary.
  std::vector<std::string> keys() const;
};

// The context as Python writes the dictionary: `{'message': 'oops', 'exception': ValueError('boom')}`.
std::string repr(const ExceptionContext& context);

namespace detail {
// The text that the default handler logs: the message, a line for each other key, the exception.
std::string describe(const ExceptionContext& context);
}  // namespace detail

}  // namespace aiofiber
