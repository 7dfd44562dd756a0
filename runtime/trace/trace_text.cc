// SPDX-License-Identifier: Apache-2.0
//
// Lines are built by hand: a trace writes hundreds of thousands a second.
#include "aiofiber/runtime/trace/trace_text.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "aiofiber/runtime/inspect/wait_kind.h"
#include "inspect/utf8.h"

namespace aiofiber::runtime {

namespace {

std::string hexadecimal(std::uint64_t value) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), value, 16).ptr;
  return "0x" + std::string(digits.begin(), end);
}

}  // namespace

std::string wait_slice_name(std::uint32_t kind, std::uint64_t argument, std::string_view awaited) {
  std::string text = "wait: ";
  text += wait_kind(kind).what;
  switch (kind) {
    case AIOFIBER_WAIT_NONE:
    case AIOFIBER_WAIT_SLEEP:
    case AIOFIBER_WAIT_OFFLOAD:
    case AIOFIBER_WAIT_THREAD:
      break;
    case AIOFIBER_WAIT_FD:
      text += ' ' + std::to_string(argument >> 32) + wait_events(argument);
      break;
    case AIOFIBER_WAIT_TASK:
      text += awaited.empty() ? ' ' + std::to_string(argument) : " '" + std::string(awaited) + "'";
      break;
    default: {
      if (argument == 0 && kind == AIOFIBER_WAIT_LOCK) break;  // a lock of abseil does not tell its address
      std::string number;
      text += wait_number(kind, argument, number) ? number : ' ' + hexadecimal(argument);
      break;
    }
  }
  return text;
}

// Builds the numbers of a line on the stack and appends them in one piece, which halves the time of a line.
// Names, which have any length, do not go through here.
class TraceText::Line {
 public:
  Line(const TraceText& of, char phase, std::uint64_t row, Nanoseconds at) noexcept {
    text(R"({"ph":")");
    *end_++ = phase;
    text(R"(","pid":)");
    number(of.process_id_);
    text(R"(,"tid":)");
    number(row);
    text(R"(,"ts":)");
    time(at - of.start_);
  }
  void text(std::string_view part) noexcept { end_ = std::copy(part.begin(), part.end(), end_); }
  void number(std::uint64_t value) noexcept {
    end_ = std::to_chars(end_, bytes_.data() + bytes_.size(), value).ptr;
  }
  // Microseconds, as the format requires, with three decimals. Never negative: a wake may be older than the
  // trace.
  void time(Nanoseconds value) noexcept {
    const auto nanoseconds = static_cast<std::uint64_t>(std::max<Nanoseconds>(value, 0));
    number(nanoseconds / 1000);
    const auto rest = static_cast<unsigned>(nanoseconds % 1000);
    *end_++ = '.';
    for (const unsigned digit : {rest / 100, rest / 10 % 10, rest % 10})
      *end_++ = static_cast<char>('0' + digit);
  }
  void end(std::string& all) const {
    all.append(bytes_.data(), static_cast<std::size_t>(end_ - bytes_.data()));
  }

 private:
  std::array<char, 320> bytes_;  // five numbers of 20 digits and less than 150 letters
  char* end_ = bytes_.data();
};

// ---- lines

void TraceText::begin(std::string_view process_name) {
  text_ += "[\n";
  begin_metadata("process_name", 0);
  text_ += R"("name":)";
  quoted(process_name);
  text_ += "}},\n";
}

void TraceText::row_name(std::uint64_t row, std::string_view text) {
  begin_metadata("thread_name", row);
  text_ += R"("name":)";
  quoted(text);
  text_ += "}},\n";
}

void TraceText::sampled(Nanoseconds interval, std::string_view note) {
  begin_metadata("aiofiber_sampled", 0);
  text_ += R"("interval_us":)";
  number(static_cast<std::uint64_t>(interval / 1000));
  text_ += R"(,"note":)";
  quoted(note);
  text_ += "}},\n";
}

void TraceText::task_counts(std::uint64_t row, std::uint64_t runs, std::uint64_t waits_drawn,
                            std::uint64_t samples_on_cpu) {
  begin_metadata("aiofiber_task", row);
  text_ += R"("runs":)";
  number(runs);
  text_ += R"(,"waits_drawn":)";
  number(waits_drawn);
  text_ += R"(,"samples_on_cpu":)";
  number(samples_on_cpu);
  text_ += "}},\n";
}

void TraceText::end(std::uint64_t lost) {
  begin_metadata("aiofiber_trace", 0);
  text_ += R"("complete":true,"lost":)";
  number(lost);
  text_ += "}}\n]\n";
}

void TraceText::slice(std::uint64_t row, std::string_view name, std::string_view category, Nanoseconds from,
                      Nanoseconds to) {
  Line line(*this, 'X', row, from);
  line.text(R"(,"dur":)");
  line.time(to - std::max(from, start_));
  line.text(R"(,"cat":")");
  line.text(category);
  line.text(R"(","name":)");
  line.end(text_);
  quoted(name);
  if (from < start_) {
    text_ += R"(,"args":{"began_us_before_the_trace":)";
    number(static_cast<std::uint64_t>((start_ - from) / 1000));
    text_ += '}';
  }
  text_ += "},\n";
}

void TraceText::arrow(std::uint64_t from_row, Nanoseconds from, std::uint64_t to_row, Nanoseconds to) {
  ++arrows_;
  for (const char phase : {'s', 'f'}) {
    Line line(*this, phase, phase == 's' ? from_row : to_row, phase == 's' ? from : to);
    line.text(phase == 's' ? R"(,"cat":"wake","name":"wake","id":)"
                           : R"(,"cat":"wake","name":"wake","bp":"e","id":)");
    line.number(arrows_);
    line.text("},\n");
    line.end(text_);
  }
}

void TraceText::lost(std::uint64_t row, std::uint64_t events, Nanoseconds at) {
  Line(*this, 'i', row, at).end(text_);
  text_ += R"(,"s":"t","cat":"lost","name":")";
  number(events);
  text_ += R"( events lost: the ring was full"},)"
           "\n";
}

// ---- their parts

void TraceText::begin_metadata(std::string_view name, std::uint64_t row) {
  text_ += R"({"ph":"M","name":")";
  text_ += name;
  text_ += R"(","pid":)";
  number(process_id_);
  text_ += R"(,"tid":)";
  number(row);
  text_ += R"(,"args":{)";
}

void TraceText::number(std::uint64_t value) {
  std::array<char, 20> digits;
  text_.append(digits.begin(), std::to_chars(digits.begin(), digits.end(), value).ptr);
}

// Names may contain any bytes.
void TraceText::quoted(std::string_view text) { append_json_string(text, text_); }

}  // namespace aiofiber::runtime
