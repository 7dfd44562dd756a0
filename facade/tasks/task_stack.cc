// SPDX-License-Identifier: Apache-2.0
//
// Task::get_stack and print_stack: addresses from the runtime, names from libdw, in Python's format.
//
// A suspended task is unwound from its saved context and does not run; its suspended coroutines are between
// its frames (call_list.h). A failed task shows the throw, as recorded when it happened. Frames of aiofiber
// and of the standard library's call machinery are left out.
#include <ostream>
#include <span>
#include <string>

#include "aiofiber/runtime/inspect/call_list.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/throw_trace.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "aiofiber/task.h"
#include "core/standard_streams.h"

namespace aiofiber::detail {

namespace {

constexpr std::size_t kMaxCalls = 512;

using Frames = std::vector<runtime::SymbolizedFrame>;

Frames entry_frame(const TaskCore& task) {
  const EntryInfo entry = task.entry();
  runtime::SymbolizedFrame frame;
  if (entry.address != 0) frame = runtime::symbolize(entry.address, true).back();
  frame.function = entry_name(entry);
  return {frame};
}

enum class Source { kStack, kTraceback };

// The segment of the task that passed the exception to the owner of `segment`; null if the owner threw it.
const runtime::RethrowSegment* passed_on_by(const runtime::RethrowSegment& segment) {
  if (segment.from == nullptr) return segment.before;
  const runtime::RethrowSegment* other = segment.before;
  while (other != nullptr && other->by != segment.from) other = other->before;
  return other;
}

// From the outermost awaiting task to the throw. `owner`: the failed task of the traceback; null: the last
// reader.
Frames traceback_of(const std::exception_ptr& exception, const FutureBase* owner) {
  Frames frames;
  const auto append = [&frames](std::span<const std::uintptr_t> calls) {
    for (auto& frame : runtime::program_frames(calls)) frames.push_back(std::move(frame));
  };
  const runtime::RethrowSegment* segment = runtime::last_rethrow_segment(exception);
  while (owner != nullptr && segment != nullptr && segment->by != owner) segment = segment->before;
  for (; segment != nullptr; segment = passed_on_by(*segment)) append({segment->calls, segment->count});
  append(runtime::throw_trace(exception));
  return frames;
}

std::pair<Source, Frames> collect(const TaskCore& task) {
  const FutureBase& future = task.future();
  if (future.done()) {
    if (!future.failed()) return {Source::kStack, {}};
    return {Source::kTraceback, traceback_of(future.peek_exception(), &future)};
  }
  if (task.fiber() == nullptr) return {Source::kStack, {}};  // its loop was closed while it was pending
  const runtime::Fiber& fiber = *task.fiber();
  if (!fiber.started() && fiber.coroutines == 0) return {Source::kStack, entry_frame(task)};
  // Not on the stack, which may be small.
  std::vector<std::uintptr_t> calls(kMaxCalls * (fiber.coroutines != 0 ? runtime::kWordsOfCoroutine : 1));
  runtime::CallSource source{{}, fiber.bounds(), fiber.coroutines, nullptr, true};
  if (runtime::current_fiber_or_step() == &fiber) {
    source.registers = runtime::current_registers();
    source.bounds = runtime::current_stack_bounds();
  } else if (fiber.started()) {
    source.registers = runtime::saved_registers(reinterpret_cast<const void*>(fiber.fcontext));
  }
  runtime::notice_unloaded_code();
  const std::size_t count = runtime::list_calls(source, calls);
  return {Source::kStack, runtime::fiber_frames(std::span(calls).first(count), fiber.entry)};
}

// Keeps the newest frames of a stack and the oldest of a traceback: these say most.
void apply_limit(Source source, Frames& frames, std::optional<std::size_t> limit) {
  if (!limit || frames.size() <= *limit) return;
  if (source == Source::kTraceback) {
    frames.resize(*limit);
  } else {
    frames.erase(frames.begin(), frames.end() - static_cast<std::ptrdiff_t>(*limit));
  }
}

std::vector<Frame> public_frames(Frames frames) {
  std::vector<Frame> result;
  for (runtime::SymbolizedFrame& frame : frames) {
    result.push_back({frame.address, std::move(frame.function), std::move(frame.file), frame.line,
                      frame.inlined, std::move(frame.module), frame.module_offset,
                      std::move(frame.build_id)});
  }
  return result;
}

}  // namespace

std::string format_frames(const std::vector<Frame>& frames) {
  Frames out;
  for (const Frame& frame : frames) {
    out.push_back({.address = frame.address,
                   .function = frame.function,
                   .linkage_name = {},
                   .file = frame.file,
                   .line = frame.line,
                   .inlined = frame.inlined,
                   .module = frame.module,
                   .module_offset = frame.module_offset,
                   .build_id = frame.build_id});
  }
  return runtime::format_frames(out);
}

std::vector<Frame> source_frames(const SourceTrace& trace) { return public_frames(trace.frames()); }

std::vector<Frame> task_stack(const TaskCore& task, std::optional<std::size_t> limit) {
  const runtime::HooksOff hooks_off;
  auto [source, frames] = collect(task);
  apply_limit(source, frames, limit);
  return public_frames(std::move(frames));
}

void print_task_stack(const TaskCore& task, std::optional<std::size_t> limit, std::ostream* file) {
  std::ostream& out = file != nullptr ? *file : standard_error();
  const runtime::HooksOff hooks_off;
  auto [source, frames] = collect(task);
  apply_limit(source, frames, limit);
  const std::string text = task.future().text();
  if (frames.empty()) {
    out << "No stack for " << text << '\n';
  } else {
    out << (source == Source::kTraceback ? "Traceback for " : "Stack for ") << text
        << " (most recent call last):\n";
  }
  out << runtime::format_frames(frames);
  if (task.future().failed()) out << format_exception(task.future().peek_exception()) << '\n';
  out.flush();
}

std::string format_traceback(const std::exception_ptr& exception, FutureBase* owner) {
  const runtime::HooksOff hooks_off;
  const Frames frames =
      traceback_of(exception, owner != nullptr && owner->task() != nullptr ? owner : nullptr);
  return frames.empty() ? std::string()
                        : "Traceback (most recent call last):\n" + runtime::format_frames(frames);
}

}  // namespace aiofiber::detail
