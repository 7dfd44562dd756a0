// SPDX-License-Identifier: Apache-2.0
//
// A state machine for each task (unknown, running, waiting, ready), moved by the events; what it leaves becomes a slice.
#include "aiofiber/runtime/trace_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "aiofiber/runtime/registry_abi.h"
#include "aiofiber/runtime/trace.h"
#include "aiofiber/runtime/wait_kind.h"

namespace aiofiber::runtime {

namespace {

// The bytes of a well-formed UTF-8 sequence at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || no_character ? 0 : length;
}

std::string hexadecimal(std::uint64_t value) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), value, 16).ptr;
  return "0x" + std::string(digits.begin(), end);
}

}  // namespace

// ---- events ----------------------------------------------------------------------------------------------------

void TraceJson::add(Loop& loop, const TraceEvent& event) {
  if (event.time > last_) last_ = event.time;
  switch (event.kind) {
    case TraceEvent::Kind::kSwitch:
      leave(loop, event);
      open(loop, event.object, event.time);
      break;
    case TraceEvent::Kind::kWake:
      wake(loop, event);
      break;
    case TraceEvent::Kind::kNameLow:
    case TraceEvent::Kind::kNameHigh: {
      std::array<char, 16> bytes;
      std::memcpy(bytes.data(), &event.object, 8);
      std::memcpy(bytes.data() + 8, &event.argument, 8);
      const std::string_view part(bytes.data(), ::strnlen(bytes.data(), bytes.size()));
      if (event.kind == TraceEvent::Kind::kNameHigh) {
        name(event.subject, tasks_[event.subject].name + std::string(part));
      } else if (part.size() < bytes.size()) {
        name(event.subject, part);
      } else {
        tasks_[event.subject].name = part;  // the rest follows
      }
      break;
    }
    case TraceEvent::Kind::kNumber:
      name(event.subject, "Task-" + std::to_string(event.object));
      break;
    case TraceEvent::Kind::kMark:
      mark(loop, event);
      break;
    case TraceEvent::Kind::kLost:
      lose(loop, event);
      break;
  }
}

void TraceJson::open(Loop& loop, std::uint64_t id, Nanoseconds now) {
  loop.on_cpu = true;
  loop.running = id;
  loop.since = now;
  row_of(loop);
  if (id == 0) return;
  Task& task = row_of(id);
  arrive(id, task, now);
  task.loop_thread = loop.thread_id;
}

void TraceJson::close(Loop& loop, Nanoseconds now) {
  if (!loop.on_cpu) return;
  if (loop.poll_since >= 0) slice(loop.thread_id, "poll", "loop", loop.poll_since, now);
  if (loop.callback_since >= 0) slice(loop.thread_id, "callback", "loop", loop.callback_since, now);
  loop.poll_since = loop.callback_since = -1;
  if (loop.running == 0) {
    slice(loop.thread_id, "loop", "loop", loop.since, now);
  } else {
    slice(kTaskRows + loop.running, "run", "run", loop.since, now);
  }
  loop.on_cpu = false;
}

void TraceJson::leave(Loop& loop, const TraceEvent& event) {
  close(loop, event.time);
  if (event.subject == 0) return;
  Task& task = row_of(event.subject);
  task.loop_thread = loop.thread_id;
  task.since = event.time;
  if (event.state == AIOFIBER_WAITING) {
    task.phase = Phase::kWaiting;
    task.wait_kind = event.wait_kind;
    task.wait_argument = event.argument;
    // Woken while it ran, as one may be that wakes itself: it never waits.
    if (task.woken) task.woken_at = event.time;
  } else if (event.state == AIOFIBER_READY) {
    task.phase = Phase::kReady;
  } else {
    // Those who waited for it are still to be written, and want its name.
    task.phase = Phase::kUnknown;
    ended_.push_back(event.subject);
    if (ended_.size() <= kEndedKept) return;
    tasks_.erase(ended_.front());
    ended_.pop_front();
  }
}

void TraceJson::arrive(std::uint64_t id, Task& task, Nanoseconds now) {
  if (task.phase == Phase::kWaiting || task.phase == Phase::kReady) wait_slices(id, task, now);
  if (task.woken) arrow(task, kTaskRows + id, now);
  task.woken = false;
  task.phase = Phase::kRunning;
  task.since = now;
}

// The wait, and the time in the ready queue behind it.
void TraceJson::wait_slices(std::uint64_t id, const Task& task, Nanoseconds until) {
  const std::uint64_t row = kTaskRows + id;
  Nanoseconds ready_since = task.since;
  if (task.phase == Phase::kWaiting) {
    ready_since = task.woken ? task.woken_at : until;
    if (ready_since > task.since) slice(row, wait_name(task), "wait", task.since, ready_since);
  }
  if (until > ready_since) slice(row, "ready", "ready", ready_since, until);
}

void TraceJson::wake(Loop& loop, const TraceEvent& event) {
  // The arrow must begin on a slice: after a loss, or at the start of a trace, it is not known yet who runs.
  if (!loop.on_cpu) open(loop, event.object, event.time);
  Task& task = tasks_[event.subject];
  if (task.phase == Phase::kUnknown) {  // new, or seen for the first time
    task.phase = Phase::kReady;
    task.since = event.time;
  }
  task.woken = true;
  task.woken_at = event.time;
  task.loop_thread = loop.thread_id;
  task.waker_row = loop.running == 0 ? loop.thread_id : kTaskRows + loop.running;
}

void TraceJson::mark(Loop& loop, const TraceEvent& event) {
  const auto what = static_cast<LoopMark>(event.state);
  if (what == LoopMark::kLeave) return close(loop, event.time);
  if (!loop.on_cpu) open(loop, 0, event.time);
  const auto end_slice = [&](Nanoseconds& since, std::string_view text) {
    if (since >= 0) slice(loop.thread_id, text, "loop", since, event.time);
    since = -1;
  };
  switch (what) {
    case LoopMark::kPollBegin:
      loop.poll_since = event.time;
      break;
    case LoopMark::kPollEnd:
      end_slice(loop.poll_since, "poll");
      break;
    case LoopMark::kCallbackBegin:
      loop.callback_since = event.time;
      break;
    case LoopMark::kCallbackEnd:
      end_slice(loop.callback_since, "callback");
      break;
    case LoopMark::kLeave:
      break;
  }
}

// What the loop's tasks did meanwhile is not known: their slices begin anew with what is heard of them next.
void TraceJson::lose(Loop& loop, const TraceEvent& event) {
  close(loop, event.time);
  row_of(loop);
  begin_event('i', loop.thread_id, event.time);
  text_ += R"(,"s":"t","cat":"lost","name":")";
  number(event.object);
  text_ += R"( events lost: the ring was full"},)" "\n";
  for (auto& [id, task] : tasks_) {
    if (task.loop_thread != loop.thread_id) continue;
    task.phase = Phase::kUnknown;
    task.woken = false;
  }
}

// ---- rows and the end --------------------------------------------------------------------------------------------

void TraceJson::begin(std::string_view process_name) {
  text_ += "[\n";
  text_ += R"({"ph":"M","name":"process_name","pid":)";
  number(process_id_);
  text_ += R"(,"tid":0,"args":{"name":)";
  quoted(process_name);
  text_ += "}},\n";
}

void TraceJson::name(std::uint64_t id, std::string_view text) {
  Task& task = tasks_[id];
  task.name = text;
  task.named = false;
  if (task.phase != Phase::kUnknown) row_of(id);
}

TraceJson::Task& TraceJson::row_of(std::uint64_t id) {
  Task& task = tasks_[id];
  if (!task.named) {
    if (task.name.empty()) task.name = "task " + std::to_string(id);
    row_name(kTaskRows + id, task.name);
    task.named = true;
  }
  return task;
}

void TraceJson::row_of(Loop& loop) {
  if (loop.named) return;
  row_name(loop.thread_id, "loop on thread " + std::to_string(loop.thread_id));
  loop.named = true;
}

void TraceJson::end(Loop& loop, Nanoseconds now) { close(loop, std::max(now, last_)); }

void TraceJson::end(Nanoseconds now, std::uint64_t lost) {
  const Nanoseconds until = std::max(now, last_);
  for (auto& [id, task] : tasks_) {
    if (task.phase != Phase::kWaiting && task.phase != Phase::kReady) continue;
    row_of(id);
    wait_slices(id, task, until);
  }
  text_ += R"({"ph":"M","name":"aiofiber_trace","pid":)";
  number(process_id_);
  text_ += R"(,"tid":0,"args":{"complete":true,"lost":)";
  number(lost);
  text_ += "}}\n]\n";
}

// ---- text --------------------------------------------------------------------------------------------------------

void TraceJson::begin_event(char phase, std::uint64_t row, Nanoseconds at) {
  text_ += R"({"ph":")";
  text_ += phase;
  text_ += R"(","pid":)";
  number(process_id_);
  text_ += R"(,"tid":)";
  number(row);
  text_ += R"(,"ts":)";
  time(at - start_);
}

void TraceJson::slice(std::uint64_t row, std::string_view name_of_slice, std::string_view category, Nanoseconds from, Nanoseconds to) {
  begin_event('X', row, from);
  text_ += R"(,"dur":)";
  time(to - from);
  text_ += R"(,"cat":")";
  text_ += category;
  text_ += R"(","name":)";
  quoted(name_of_slice);
  text_ += "},\n";
}

void TraceJson::arrow(const Task& task, std::uint64_t row, Nanoseconds now) {
  ++arrows_;
  for (const char phase : {'s', 'f'}) {
    begin_event(phase, phase == 's' ? task.waker_row : row, phase == 's' ? task.woken_at : now);
    text_ += phase == 's' ? R"(,"cat":"wake","name":"wake","id":)" : R"(,"cat":"wake","name":"wake","bp":"e","id":)";
    number(arrows_);
    text_ += "},\n";
  }
}

void TraceJson::row_name(std::uint64_t row, std::string_view text) {
  text_ += R"({"ph":"M","name":"thread_name","pid":)";
  number(process_id_);
  text_ += R"(,"tid":)";
  number(row);
  text_ += R"(,"args":{"name":)";
  quoted(text);
  text_ += "}},\n";
}

std::string TraceJson::wait_name(const Task& task) const {
  std::string text = "wait: ";
  text += wait_kind(task.wait_kind).what;
  const std::uint64_t argument = task.wait_argument;
  switch (task.wait_kind) {
    case AIOFIBER_WAIT_NONE:
    case AIOFIBER_WAIT_SLEEP:
    case AIOFIBER_WAIT_OFFLOAD:
    case AIOFIBER_WAIT_THREAD:
      break;
    case AIOFIBER_WAIT_FD: {
      text += ' ' + std::to_string(argument >> 32) + wait_events(argument);
      break;
    }
    case AIOFIBER_WAIT_TASK: {
      const auto found = tasks_.find(argument);
      text += found != tasks_.end() && !found->second.name.empty() ? " '" + found->second.name + "'" : ' ' + std::to_string(argument);
      break;
    }
    default:
      text += ' ' + hexadecimal(argument);
      break;
  }
  return text;
}

void TraceJson::number(std::uint64_t value) {
  std::array<char, 20> digits;
  text_.append(digits.begin(), std::to_chars(digits.begin(), digits.end(), value).ptr);
}

// Microseconds, as the format wants them, with three digits behind the point. Never negative: a wake may be older than the trace.
void TraceJson::time(Nanoseconds value) {
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<Nanoseconds>(value, 0));
  number(nanoseconds / 1000);
  const auto rest = static_cast<unsigned>(nanoseconds % 1000);
  const std::array<char, 4> digits = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                                      static_cast<char>('0' + rest % 10)};
  text_.append(digits.begin(), digits.end());
}

// Names come from anywhere and may be cut in mid-character: what is no UTF-8 becomes U+FFFD.
void TraceJson::quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  text_ += '"';
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    std::size_t length = utf8_length(text);
    if (length == 0) {
      text_ += "\xef\xbf\xbd";
      length = 1;
    } else if (first == '"' || first == '\\') {
      text_ += '\\';
      text_ += text[0];
    } else if (first < 0x20 || first == 0x7f) {
      text_ += "\\u00";
      text_ += kHex[first >> 4];
      text_ += kHex[first & 15];
    } else {
      text_ += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  text_ += '"';
}

}  // namespace aiofiber::runtime
