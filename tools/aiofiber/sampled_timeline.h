// SPDX-License-Identifier: Apache-2.0
//
// A timeline from samples of the registry. Drawn slices are true. Events between two samples are counted, not
// guessed.
//
// A record has the begin of its task's wait (the loop's clock at the start of the pass) and the number of
// runs. So a wait begins at its real begin, not at the first sample. It ends at the last sample that saw it,
// or, if the task ran just once since, at the begin of its next wait. Several runs between two samples are
// one slice, "3 runs between two looks".
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <string>
#include <vector>

#include "aiofiber/runtime/inspect/registry_abi.h"
#include "aiofiber/runtime/trace/trace_text.h"

namespace aiofiber::tool {

class SampledTimeline {
 public:
  SampledTimeline(std::uint32_t process_id, std::int64_t start_ns)
      : text_(process_id, start_ns), now_(start_ns), before_(start_ns) {}

  void begin(const std::string& process_name, std::int64_t interval_ns);
  // Begins a sample at this time.
  void begin_look(std::int64_t now_ns);
  void see(std::size_t place, const aiofiber_record& record);
  // The record changed while it was copied: nothing is known about it from the last sample until the next one
  // that sees it.
  void miss(std::size_t place);
  // Ends the open slices at the last complete sample, and the file. `interval_ns`: the average time between
  // two samples.
  void end(std::int64_t interval_ns, std::int64_t last_look_ns);

  std::string& text() noexcept { return text_.text(); }
  std::uint64_t tasks() const noexcept { return tasks_seen_; }
  std::uint64_t runs() const noexcept { return runs_; }
  std::uint64_t waits_drawn() const noexcept { return waits_drawn_; }

 private:
  enum class Phase : std::uint8_t { kNone, kWaiting, kReady, kRunning };
  struct Task {
    std::uint64_t id = 0;  // 0: no task is at this place
    std::string name;
    bool row_named = false;
    bool missed = false;  // since sure_until
    std::int64_t sure_until = 0;
    Phase phase = Phase::kNone;
    std::uint32_t wait_kind = 0;
    std::uint64_t wait_arg = 0;
    std::int64_t since = 0;      // begin of the phase
    std::uint64_t switches = 0;  // at the last sample
    std::uint64_t runs = 0, waits_drawn = 0, samples_on_cpu = 0;
  };

  std::int64_t sure_until(const Task& task, std::int64_t otherwise) const;
  void arrive(Task& task, const aiofiber_record& record);
  void leave(Task& task);
  void move(Task& task, const aiofiber_record& record);
  std::int64_t enter(Task& task, const aiofiber_record& record, std::int64_t free_from);
  void close(Task& task, std::int64_t until);
  void name_row(Task& task);
  void count(Task& task);
  void slice(Task& task, const std::string& name, const char* category, std::int64_t from, std::int64_t to);

  runtime::TraceText text_;
  std::int64_t now_, before_;                          // this sample, and the one before
  std::vector<Task> tasks_;                            // by place
  absl::btree_map<std::uint64_t, std::string> names_;  // of living tasks, by id
  std::uint64_t looks_ = 0, tasks_seen_ = 0, runs_ = 0, waits_drawn_ = 0;
};

// What a sampled timeline cannot show, for the file and the terminal.
extern const char kSampledNote[];

}  // namespace aiofiber::tool
