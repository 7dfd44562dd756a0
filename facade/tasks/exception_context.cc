// SPDX-License-Identifier: Apache-2.0
//
// The texts of an ExceptionContext, from one list of its keys and values.
#include "aiofiber/exception_context.h"

#include <algorithm>

#include "aiofiber/exceptions.h"
#include "core/text.h"

namespace aiofiber {

namespace {

using Items = std::vector<std::pair<std::string, std::string>>;

// The text of Python's repr of a list of traceback.FrameSummary.
std::string frame_summaries(const std::vector<Frame>& frames) {
  std::string out = "[";
  for (const Frame& frame : frames) {
    if (out.size() > 1) out += ", ";
    out += "<FrameSummary file " + frame.file + ", line " + std::to_string(frame.line) + " in " +
           frame.function + ">";
  }
  return out + "]";
}

// Keys and Python's repr of their values.
Items items(const ExceptionContext& context) {
  Items out;
  if (!context.message.empty()) out.emplace_back("message", detail::quote(context.message));
  if (context.exception != nullptr) out.emplace_back("exception", repr(context.exception));
  if (context.future) out.emplace_back("future", repr(*context.future));
  if (context.task) out.emplace_back("task", repr(*context.task));
  if (context.handle) out.emplace_back("handle", repr(*context.handle));
  if (!context.source_traceback.empty())
    out.emplace_back("source_traceback", frame_summaries(context.source_traceback));
  out.insert(out.end(), context.extra.begin(), context.extra.end());
  return out;
}

}  // namespace

std::vector<std::string> ExceptionContext::keys() const {
  std::vector<std::string> out;
  for (auto& [key, value] : items(*this)) out.push_back(std::move(key));
  std::sort(out.begin(), out.end());
  return out;
}

std::string repr(const ExceptionContext& context) {
  std::string out = "{";
  for (const auto& [key, value] : items(context)) {
    if (out.size() > 1) out += ", ";
    out += detail::quote(key) + ": " + value;
  }
  return out + "}";
}

std::string detail::describe(const ExceptionContext& context) {
  std::string out = context.message.empty() ? "Unhandled exception in event loop" : context.message;
  Items lines = items(context);
  std::sort(lines.begin(), lines.end());
  for (const auto& [key, value] : lines) {
    if (key == "source_traceback") {
      out += "\nsource_traceback: Object created at (most recent call last):\n" +
             detail::format_frames(context.source_traceback);
      out.pop_back();
    } else if (key != "message" && key != "exception") {
      out += "\n" + key + ": " + value;
    }
  }
  if (context.exception != nullptr) {
    const AnyFuture* owner = context.task ? &*context.task : context.future ? &*context.future : nullptr;
    out += "\n" + format_traceback(context.exception, owner != nullptr ? owner->ref().get() : nullptr) +
           format_exception(context.exception);
  }
  return out;
}

}  // namespace aiofiber
