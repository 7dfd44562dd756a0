// SPDX-License-Identifier: Apache-2.0
//
// Names and stacks are looked up here, when the task has been suspended; what was noted are addresses.
#include "shared_state/finding_text.h"

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/traceback.h"

namespace aiofiber::runtime::shared_state {

namespace {

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string who(const aiofiber_record& record) {
  return record.id == 0 ? "a callback of the loop" : absl::StrCat("task '", task_name(record), "'");
}

std::string stack_text(const Calls* calls, const aiofiber_record& record) {
  if (calls == nullptr) return "  (its stack is not known)\n";
  const auto frames = fiber_frames({calls->addresses, calls->count}, record.entry);
  return frames.empty() ? "  (no frames of the program's own)\n" : format_frames(frames);
}

std::string wait_text(const aiofiber_record& record) {
  aiofiber_record waiting = record;
  if (waiting.state != AIOFIBER_WAITING || waiting.wait_kind == AIOFIBER_WAIT_NONE)
    return "to let others run";
  // The time that was left is no news any more.
  if (waiting.wait_kind == AIOFIBER_WAIT_SLEEP) return "in a sleep";
  const std::string wait = describe_wait(waiting, snapshot_tasks());
  return wait.empty() ? "to let others run" : absl::StrCat("in a wait for ", wait);
}

}  // namespace

namespace {

// `'pconn' in http.c`.
std::string name_text(const Variable& variable) {
  const std::string file = variable.file.empty() ? file_of_variable(variable.address) : variable.file;
  return file.empty() ? absl::StrCat("'", variable.name, "' of ", file_name(variable.module))
                      : absl::StrCat("'", variable.name, "' in ", file_name(file));
}

std::string bytes_text(std::size_t bytes) { return absl::StrCat(bytes, bytes == 1 ? " byte" : " bytes"); }

}  // namespace

std::string place_text(const Finding& finding, const Variable* variable, const HeapPlace& heap) {
  if (heap.root != nullptr) {
    std::string way = heap.root->name.empty() ? absl::StrCat("the data of ", file_name(heap.root->module))
                                              : name_text(*heap.root);
    absl::StrAppend(&way, heap.offsets.size() == 1 ? " points" : " leads");
    if (heap.offsets.size() > 1 || heap.offsets[0] > 0) {
      absl::StrAppend(&way, " (by the pointer at ");
      for (std::size_t i = 0; i < heap.offsets.size(); ++i)
        absl::StrAppend(&way, i > 0 ? ", then at " : "", "+", heap.offsets[i]);
      absl::StrAppend(&way, ")");
    }
    return absl::StrCat(bytes_text(finding.bytes), " at +", finding.address - heap.block.begin,
                        " of a heap block of ", heap.block.bytes, ", to which ", way);
  }
  if (variable == nullptr) return absl::StrCat(finding.bytes, " bytes at 0x", absl::Hex(finding.address));
  const std::size_t offset = finding.address - variable->address;
  if (variable->name.empty()) {
    return absl::StrCat(finding.bytes, " bytes at +0x", absl::Hex(offset), " of the data of ",
                        file_name(variable->module), ", which has no symbols");
  }
  std::string text = name_text(*variable);
  if (offset == 0 && finding.bytes >= variable->size) return text;
  absl::StrAppend(&text, ", ", bytes_text(finding.bytes), " at +", offset, " of ", variable->size);
  return text;
}

std::string finding_text(const Finding& finding, const Variable* variable, const HeapPlace& heap) {
  const std::string first = who(finding.first), second = who(finding.overwrite.by);
  std::string text = absl::StrCat("Shared state: ", place_text(finding, variable, heap), ". ");
  if (finding.lost_update) {
    absl::StrAppend(&text, first, " read it and was suspended, ", second, " changed it, and ", first,
                    " then wrote it without reading it again: the change is lost.");
  } else {
    absl::StrAppend(&text, first, " wrote it and was suspended, ", second, " changed it, and ", first,
                    " then used it.");
  }
  absl::StrAppend(&text, "\n", first, finding.lost_update ? " read it" : " wrote it",
                  finding.earlier.exact ? " here:\n" : " before it was suspended here:\n",
                  stack_text(finding.earlier.calls, finding.first));
  absl::StrAppend(&text, first, " was suspended ", wait_text(finding.overwrite.waiting), " here:\n",
                  stack_text(finding.overwrite.suspended, finding.first));
  absl::StrAppend(&text, second,
                  finding.overwrite.exact ? " changed it here:\n" : " changed it before this:\n",
                  stack_text(finding.overwrite.calls, finding.overwrite.by));
  absl::StrAppend(&text, first, finding.lost_update ? " wrote it here:\n" : " used it here:\n",
                  stack_text(finding.used, finding.first));
  text.pop_back();
  return text;
}

std::string cut_line_text(const CutLine& finding) {
  const std::string first = who(finding.first), second = who(finding.second);
  std::string text =
      absl::StrCat("Shared state: the output stream '", finding.stream, "'. ", first, " wrote \"",
                   absl::Utf8SafeCEscape(finding.part), "\", which is no whole line, and was suspended, and ",
                   second, " then wrote to the same stream: the line is cut.\n", first, " was suspended ",
                   wait_text(finding.first), " here:\n", stack_text(finding.suspended, finding.first), second,
                   " wrote before this:\n", stack_text(finding.after, finding.second));
  text.pop_back();
  return text;
}

std::string place_key(const Finding& finding, const Variable* variable) {
  std::string key = absl::StrCat(variable != nullptr ? variable->address : finding.address);
  if (finding.used == nullptr) return key;
  const auto frames = fiber_frames({finding.used->addresses, finding.used->count}, finding.first.entry);
  if (!frames.empty()) absl::StrAppend(&key, " ", frames.back().file, ":", frames.back().line);
  return key;
}

}  // namespace aiofiber::runtime::shared_state
