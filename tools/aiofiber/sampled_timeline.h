// SPDX-License-Identifier: Apache-2.0
//
// A timeline from looks at the registry. What is drawn was so; what happened between two looks is counted,
// not guessed.
//
// A record tells since when its task waits (the loop's clock at the start of the pass) and how often it has
// run. So a wait begins where it began, not where it was seen, and ends where the task was last seen in it,
// or, when the task ran just once since, where its next wait began. Several runs between two looks are one
// slice, "3 runs between two looks".
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "aiofiber/runtime/inspect/registry_abi.h"
#include "aiofiber/runtime/trace/trace_text.h"

namespace aiofiber::tool {

class SampledTimeline {
 public:
  SampledTimeline(std::uint32_t process_id, std::int64_t start_ns)
      : text_(process_id, start_ns), now_(start_ns), before_(start_ns) {}

  void begin(const std::string& process_name, std::int64_t interval_ns);
  // A look, at a time: what follows was seen then.
  void begin_look(std::int64_t now_ns);
  void see(std::size_t place, const aiofiber_record& record);
  // It changed while it was copied: nothing is known of it from the look before on, until it is seen again.
  void miss(std::size_t place);
  // Ends what is open, at the last look that was whole, and the file. `interval_ns`: between two looks, on
  // the average.
  void end(std::int64_t interval_ns, std::int64_t last_look_ns);

  std::string& text() noexcept { return text_.text(); }
  std::uint64_t tasks() const noexcept { return tasks_seen_; }
  std::uint64_t runs() const noexcept { return runs_; }
  std::uint64_t waits_drawn() const noexcept { return waits_drawn_; }

 private:
  enum class Phase : std::uint8_t { kNone, kWaiting, kReady, kRunning };
  struct Task {
    std::uint64_t id = 0;  // 0: none is at this place
    std::string name;
    bool row_named = false;
    bool missed = false;  // since sure_until
    std::int64_t sure_until = 0;
    Phase phase = Phase::kNone;
    std::uint32_t wait_kind = 0;
    std::uint64_t wait_arg = 0;
    std::int64_t since = 0;      // of the phase
    std::uint64_t switches = 0;  // when it was last seen
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
  std::int64_t now_, before_;                             // this look, and the one before
  std::vector<Task> tasks_;                               // by place
  std::unordered_map<std::uint64_t, std::string> names_;  // of those that are there, by id
  std::uint64_t looks_ = 0, tasks_seen_ = 0, runs_ = 0, waits_drawn_ = 0;
};

// What a sampled timeline cannot show, for the file and the terminal.
extern const char kSampledNote[];

}  // namespace aiofiber::tool
