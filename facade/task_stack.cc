// SPDX-License-Identifier: Apache-2.0
//
// Task::get_stack and print_stack: addresses from the runtime, names from libdw, Python's look.
//
// A suspended task is walked from its saved context and never run. A failed one shows the throw, as it was
// recorded when it happened. Frames of aiofiber itself and of the standard library's call machinery are
// left out: a reader wants the program's own.
#include <array>
#include <iostream>
#include <string>

#include "aiofiber/runtime/symbolize.h"
#include "aiofiber/runtime/throw_trace.h"
#include "aiofiber/runtime/unwind.h"
#include "aiofiber/task.h"

namespace aiofiber::detail {

namespace {

constexpr std::size_t kMaxFrames = 512;

bool is_plumbing(const runtime::SymbolizedFrame& frame) {
  static constexpr std::string_view kPrefixes[] = {
      "_ZN8aiofiber", "_ZNK8aiofiber", "_ZZN8aiofiber", "_ZZNK8aiofiber", "_ZSt8__invoke", "_ZSt13__invoke", "_ZSt6invoke",
      "_ZSt12__apply_impl", "_ZSt14__apply_impl", "_ZSt5apply", "_ZSt10__apply", "_ZNSt17_Function_handler",
      "_ZNKSt8function", "_ZNSt13__invoke", "_ZNK8aiofiber", "aiofiber_current_registers", "aiofiber_jump",
      "_ZN9__gnu_cxx"};
  const std::string_view name = frame.linkage_name.empty() ? std::string_view(frame.function) : frame.linkage_name;
  for (const std::string_view prefix : kPrefixes) {
    // The testing helpers and user types in tests are under other names, so a prefix is enough.
    if (name.starts_with(prefix)) return true;
  }
  // Inlined helpers of the hooks: the hooked name itself (`poll`) tells more.
  if (frame.inlined && frame.file.find("runtime/hooks/") != std::string::npos) return true;
  return frame.function.starts_with("aiofiber::") || frame.function.starts_with("std::__invoke") ||
         frame.function.starts_with("std::invoke") || frame.function.starts_with("std::__apply_impl") ||
         frame.function.starts_with("std::apply");
}

// Newest-first return addresses to oldest-first frames of the program.
std::vector<Frame> frames_of(const std::uintptr_t* addresses, std::size_t count) {
  std::vector<Frame> newest_first;
  for (std::size_t i = 0; i < count; ++i) {
    for (const runtime::SymbolizedFrame& frame : runtime::symbolize(addresses[i])) {
      if (is_plumbing(frame)) continue;
      newest_first.push_back({frame.address, frame.function, frame.file, frame.line, frame.inlined});
    }
  }
  return {newest_first.rbegin(), newest_first.rend()};
}

std::vector<Frame> entry_frame(const TaskCore& task) {
  const EntryInfo entry = task.entry();
  Frame frame;
  frame.address = entry.address;
  frame.function = entry_name(entry);
  if (entry.address != 0) {
    const auto symbolized = runtime::symbolize(entry.address, true);
    if (!symbolized.empty()) {
      frame.file = symbolized.back().file;
      frame.line = symbolized.back().line;
    }
  }
  return {frame};
}

// While it lives, hooked calls of the current task are libc's own: symbolizing reads files.
class HooksOff {
 public:
  HooksOff() noexcept : fiber_(runtime::current_fiber()) {
    if (fiber_ != nullptr) ++fiber_->hooks_off;
  }
  ~HooksOff() {
    if (fiber_ != nullptr) --fiber_->hooks_off;
  }
  HooksOff(const HooksOff&) = delete;
  HooksOff& operator=(const HooksOff&) = delete;

 private:
  runtime::Fiber* fiber_;
};

enum class Source { kStack, kTraceback };

std::pair<Source, std::vector<Frame>> collect(const TaskCore& task) {
  const FutureBase& future = task.future();
  if (future.done()) {
    if (!future.failed()) return {Source::kStack, {}};
    const auto trace = runtime::throw_trace(future.peek_exception());
    return {Source::kTraceback, frames_of(trace.data(), trace.size())};
  }
  const runtime::Fiber& fiber = *task.fiber();
  if (!fiber.started()) return {Source::kStack, entry_frame(task)};
  std::array<std::uintptr_t, kMaxFrames> addresses;
  const runtime::Registers registers = runtime::current_fiber() == &fiber
                                           ? runtime::current_registers()
                                           : runtime::saved_registers(reinterpret_cast<const void*>(fiber.fcontext));
  const std::size_t count = runtime::unwind(registers, fiber.bounds(), addresses);
  return {Source::kStack, frames_of(addresses.data(), count)};
}

// The newest of a stack, the oldest of a traceback: what tells most about each.
void apply_limit(Source source, std::vector<Frame>& frames, std::optional<std::size_t> limit) {
  if (!limit || frames.size() <= *limit) return;
  if (source == Source::kTraceback) {
    frames.resize(*limit);
  } else {
    frames.erase(frames.begin(), frames.end() - static_cast<std::ptrdiff_t>(*limit));
  }
}

}  // namespace

std::vector<Frame> task_stack(const TaskCore& task, std::optional<std::size_t> limit) {
  const HooksOff hooks_off;
  auto [source, frames] = collect(task);
  apply_limit(source, frames, limit);
  return std::move(frames);
}

void print_task_stack(const TaskCore& task, std::optional<std::size_t> limit, std::ostream* file) {
  std::ostream& out = file != nullptr ? *file : std::cerr;
  const HooksOff hooks_off;
  auto [source, frames] = collect(task);
  apply_limit(source, frames, limit);
  const std::string text = task.future().text();
  if (frames.empty()) {
    out << "No stack for " << text << '\n';
  } else {
    out << (source == Source::kTraceback ? "Traceback for " : "Stack for ") << text << " (most recent call last):\n";
  }
  for (const Frame& frame : frames) {
    out << "  File \"" << (frame.file.empty() ? "?" : frame.file) << "\", line " << frame.line << ", in " << frame.function
        << (frame.inlined ? " [inlined]" : "") << '\n';
    const std::string line = runtime::source_line(frame.file, frame.line);
    if (!line.empty()) out << "    " << line << '\n';
  }
  if (task.future().failed()) out << format_exception(task.future().peek_exception()) << '\n';
  out.flush();
}

}  // namespace aiofiber::detail
