// SPDX-License-Identifier: Apache-2.0
//
// aiofiber stack: the calls of each task, in Python's format: oldest first, each with its line of source.
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "aiofiber/runtime/inspect/source_line.h"
#include "commands.h"
#include "inspect/fold_repeats.h"

namespace aiofiber::tool {
namespace {

bool same_place(const Frame& a, const Frame& b) {
  return a.function == b.function && a.file == b.file && a.line == b.line && a.inlined == b.inlined &&
         (a.line > 0 || a.address == b.address);
}

void print_frame(const Frame& frame, bool verbose, bool with_source, std::ostream& out) {
  const std::string offset = absl::StrFormat("+%#x", frame.module_offset);
  if (frame.line > 0) {
    out << "  File \"" << printable(frame.file) << "\", line " << frame.line << ", in "
        << printable(frame.function);
  } else if (!frame.module.empty()) {
    out << "  Module \"" << printable(frame.module) << "\"" << offset << ", in " << printable(frame.function);
  } else {
    out << "  Address " << absl::StrFormat("%#x", frame.address) << ", in no module"
        << (frame.address == 0 ? " (a call through a null pointer)" : "");
  }
  out << (frame.inlined ? " [inlined]" : "") << (frame.runs ? " [begins here, and runs]" : "")
      << (frame.entry ? " [what the task begins with]" : "");
  if (verbose && frame.line > 0) out << " [" << printable(base_name(frame.module)) << offset << "]";
  if (frame.line == 0 && !frame.build_id.empty()) out << " [build-id " << frame.build_id << "]";
  out << '\n';
  const std::string text = with_source ? runtime::source_line(frame.file, frame.line) : std::string();
  if (!text.empty()) out << "    " << text << '\n';
}

// Oldest first.
void print_frames(const Inspection& inspection, const std::vector<Frame>& frames, bool verbose,
                  std::ostream& out) {
  const auto frame = [&](std::size_t i) -> const Frame& { return frames[frames.size() - 1 - i]; };
  const auto same = [&](std::size_t i, std::size_t k) { return same_place(frame(i), frame(k)); };
  const auto print = [&](std::size_t i) { print_frame(frame(i), verbose, inspection.shows_source(), out); };
  runtime::fold_repeats(frames.size(), same, print, [&](std::size_t lines, std::size_t times) {
    out << "  " << runtime::repeats_text(lines, times) << '\n';
  });
}

// Prints callbacks that block a loop. For a loop that a task blocks, the task's stack shows the place.
void print_callbacks(const Inspection& inspection, bool verbose, std::ostream& out) {
  for (const StandingLoop& loop : inspection.snapshot().standing_loops) {
    const std::vector<Frame> frames = inspection.callback_frames(loop, verbose);
    if (frames.empty()) continue;
    out << "Stack for the callback in which the loop of thread " << loop.tid
        << " stands (most recent call last):\n";
    print_frames(inspection, frames, verbose, out);
    out << '\n';
  }
}

}  // namespace

void print_stack(Inspection& inspection, const TaskSnapshot& task, bool verbose, std::ostream& out) {
  const std::vector<Address> addresses = inspection.addresses(task);
  std::vector<Frame> frames = inspection.frames(addresses, verbose);
  const bool only_plumbing = frames.empty() && !addresses.empty();
  if (only_plumbing) frames = inspection.frames(addresses, true);
  const std::string title = absl::StrCat("task ", task.record.id, " '", printable(task.name()), "', ",
                                         doing_text(inspection, task));
  if (frames.empty()) {
    out << "No stack for " << title << '\n';
    return;
  }
  out << "Stack for " << title << " (most recent call last):\n";
  if (task.truncated) out << "  (the older part of " << bytes_text(task.stack_used()) << " is not shown)\n";
  print_frames(inspection, frames, verbose, out);
}

void stack(Inspection& inspection, const Options& options, std::ostream& out) {
  const auto tasks = chosen_tasks(inspection.snapshot(), options);
  if (options.json) {
    JsonWriter json(out);
    begin_report(json, inspection);
    write_tasks(json, inspection, tasks, [&](std::size_t i) {
      write_frames(json, inspection.frames(inspection.addresses(*tasks[i]), options.verbose));
    });
    json.end_object();
    return;
  }
  if (options.tasks.empty()) print_callbacks(inspection, options.verbose, out);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (i > 0) out << '\n';
    print_stack(inspection, *tasks[i], options.verbose, out);
  }
  if (tasks.empty()) out << "(no tasks)\n";
}

}  // namespace aiofiber::tool
