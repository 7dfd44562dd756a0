// SPDX-License-Identifier: Apache-2.0
//
// Feeding a reader, waiting for more, and what each reading function looks for in the buffer.
#include "aiofiber/stream_reader.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cstring>

#include "aiofiber/exceptions.h"

namespace aiofiber::detail {

using runtime::Ref;

StreamReaderState::StreamReaderState(std::size_t limit) : limit_(limit) {
  if (limit == 0) throw ValueError("Limit cannot be <= 0");
}

// ---- feeding ----------------------------------------------------------------------------------------------

void StreamReaderState::set_transport(Transport transport, int fd) {
  transport_ = std::move(transport);
  // Debuggers show the descriptor.
  const std::uint64_t wait = static_cast<std::uint64_t>(fd) << 32 | runtime::kReadable;
  waiter_.show_as(AIOFIBER_WAIT_FD, reinterpret_cast<const void*>(wait));
}

void StreamReaderState::feed_eof() {
  eof_ = true;
  waiter_.pop_and_wake_all();
}

void StreamReaderState::feed_data(std::string_view bytes) {
  if (eof_) throw RuntimeError("feed_data after feed_eof");
  if (bytes.empty()) return;
  buffer.append(bytes);
  data_added();
}

void StreamReaderState::data_added() {
  waiter_.pop_and_wake_all();
  if (AIOFIBER_LIKELY(buffer.size() <= 2 * limit_) || paused_ || !transport_.valid()) return;
  transport_.pause_reading();
  paused_ = true;
}

void StreamReaderState::set_exception(std::exception_ptr exception) {
  exception_ = std::move(exception);
  if (!waiter_.empty()) woken_by_ = exception_;
  waiter_.pop_and_wake_all();
}

// ---- waiting ----------------------------------------------------------------------------------------------

void StreamReaderState::resume_if_low() {
  if (!paused_ || buffer.size() > limit_) return;
  paused_ = false;
  if (transport_.valid()) transport_.resume_reading();
}

void StreamReaderState::prepare_wait(const char* function) {
  // Set since the call began, behind bytes that do not suffice. Nobody will feed the rest.
  check();
  if (!waiter_.empty())
    throw RuntimeError(
        absl::StrCat(function, "() called while another coroutine is already waiting for incoming data"));
  // More is wanted than the limit: who reads decides.
  if (paused_) {
    paused_ = false;
    if (transport_.valid()) transport_.resume_reading();
  }
}

void StreamReaderState::wait_for_data(const char* function) {
  prepare_wait(function);
  TaskCore& task = require_current_task();
  WaitQueue::Waiter waiter(waiter_, bound_.get_loop(&task, "StreamReader", this));
  waiter.wait(task);
  check_wake_up();
}

Coro<void> StreamReaderState::wait_for_data_without_stack(Ref<StreamReaderState> reader,
                                                          const char* function) {
  reader->prepare_wait(function);
  WaitQueue::Waiter waiter(reader->waiter_, reader->bound_.get_loop("StreamReader", reader.get()));
  co_await waiter.woken_up();
  reader->check_wake_up();
}

std::string StreamReaderState::text(const void* object) const {
  std::string out = absl::StrCat("<StreamReader object at 0x", absl::Hex(object));
  if (!buffer.empty()) absl::StrAppend(&out, " ", buffer.size(), " bytes");
  if (eof_) out += " eof";
  if (limit_ != kDefaultStreamLimit) absl::StrAppend(&out, " limit=", limit_);
  if (!waiter_.empty()) out += " waiter";
  if (exception_ != nullptr) out += " exception=" + repr(exception_);
  if (transport_.valid()) out += " transport=" + repr(transport_);
  if (paused_) out += " paused";
  return out + ">";
}

// ---- reading ----------------------------------------------------------------------------------------------

// The reading functions. Each looks at what is there: its result, or nothing, which means: wait for more.
// Wrong arguments and the stream's exception are looked for before the first look, by check().
struct ReadStep {
  void check(const StreamReaderState& reader) const { reader.check(); }
};
struct ReadSome : ReadStep {
  static constexpr const char* kName = "read";
  std::size_t most;
  std::optional<std::string> operator()(StreamReaderState& reader);
};
struct ReadToEnd : ReadStep {
  static constexpr const char* kName = "read";
  std::string gathered = {};
  std::optional<std::string> operator()(StreamReaderState& reader);
};
struct ReadExactly {
  static constexpr const char* kName = "readexactly";
  std::ptrdiff_t count;
  void check(const StreamReaderState& reader) const;
  std::optional<std::string> operator()(StreamReaderState& reader);
};
struct ReadUntil {
  static constexpr const char* kName = "readuntil";
  std::vector<std::string> separators;
  std::size_t longest = 0;   // of them
  std::size_t searched = 0;  // no separator begins before it
  void check(const StreamReaderState& reader);
  std::optional<std::string> operator()(StreamReaderState& reader);
};
struct ReadLine : ReadStep {
  static constexpr const char* kName = "readuntil";
  std::size_t searched = 0;
  std::optional<std::string> operator()(StreamReaderState& reader);
};
struct ReadInto : ReadStep {
  static constexpr const char* kName = "read_into";
  std::span<char> into;
  std::optional<std::size_t> operator()(StreamReaderState& reader);
};
struct ReadExactlyInto : ReadStep {
  static constexpr const char* kName = "readexactly_into";
  std::span<char> into;
  std::optional<std::size_t> operator()(StreamReaderState& reader);
};

// The call of a reading function in two forms (coroutine.h).
template <class T, class Step>
struct ReadCall {
  runtime::Ref<StreamReaderState> reader;
  Step step;
  T operator()() {
    step.check(*reader);
    for (;;) {
      if (std::optional<T> result = step(*reader)) return std::move(*result);
      reader->wait_for_data(Step::kName);
    }
  }
  Coro<T> stackless_form() { return without_stack(std::move(reader), std::move(step)); }
  static Coro<T> without_stack(runtime::Ref<StreamReaderState> reader, Step step) {
    step.check(*reader);
    for (;;) {
      if (std::optional<T> result = step(*reader)) co_return std::move(*result);
      co_await StreamReaderState::wait_for_data_without_stack(reader, Step::kName);
    }
  }
};

std::optional<std::string> ReadSome::operator()(StreamReaderState& reader) {
  if (most > 0 && reader.buffer.empty() && !reader.eof()) return std::nullopt;
  std::string taken = reader.buffer.take(most);
  reader.data_taken();
  return taken;
}

std::optional<std::string> ReadToEnd::operator()(StreamReaderState& reader) {
  if (!reader.buffer.empty()) {
    gathered += reader.buffer.view();
    reader.buffer.clear();
    reader.data_taken();
    reader.check();  // an error behind these bytes: they are not all
  }
  if (!reader.eof()) return std::nullopt;
  return std::move(gathered);
}

void ReadExactly::check(const StreamReaderState& reader) const {
  if (count < 0) throw ValueError("readexactly size can not be less than zero");
  reader.check();
}

std::optional<std::string> ReadExactly::operator()(StreamReaderState& reader) {
  const auto wanted = static_cast<std::size_t>(count);
  if (reader.buffer.size() < wanted) {
    if (!reader.eof()) return std::nullopt;
    throw IncompleteReadError(reader.buffer.take_all(), wanted);
  }
  std::string taken = reader.buffer.take(wanted);
  reader.data_taken();
  return taken;
}

std::optional<std::size_t> ReadInto::operator()(StreamReaderState& reader) {
  if (!into.empty() && reader.buffer.empty() && !reader.eof()) return std::nullopt;
  const std::size_t count = std::min(into.size(), reader.buffer.size());
  if (count > 0) std::memcpy(into.data(), reader.buffer.view().data(), count);
  reader.buffer.drop(count);
  reader.data_taken();
  return count;
}

std::optional<std::size_t> ReadExactlyInto::operator()(StreamReaderState& reader) {
  if (reader.buffer.size() < into.size()) {
    if (!reader.eof()) return std::nullopt;
    throw IncompleteReadError(reader.buffer.take_all(), into.size());
  }
  return ReadInto{{}, into}(reader);
}

namespace {

struct Found {
  std::size_t begin;
  std::size_t end;
};

// The separator that ends first; the shortest of those that end together.
std::optional<Found> find_separator(std::string_view bytes, std::size_t from,
                                    const std::vector<std::string>& separators) {
  std::optional<Found> best;
  for (const std::string& separator : separators) {
    const std::size_t at = bytes.find(separator, from);
    if (at == std::string_view::npos) continue;
    const Found found{at, at + separator.size()};
    if (!best || found.end < best->end || (found.end == best->end && found.begin > best->begin)) best = found;
  }
  return best;
}

// The length of the longest. ValueError: they are no separators.
std::size_t check_separators(const std::vector<std::string>& separators) {
  if (separators.empty()) throw ValueError("Separator should contain at least one element");
  std::size_t longest = 0;
  for (const std::string& separator : separators) {
    if (separator.empty()) throw ValueError("Separator should be at least one-byte string");
    longest = std::max(longest, separator.size());
  }
  return longest;
}

}  // namespace

void ReadUntil::check(const StreamReaderState& reader) {
  longest = check_separators(separators);
  reader.check();
}

std::optional<std::string> ReadUntil::operator()(StreamReaderState& reader) {
  const std::string_view bytes = reader.buffer.view();
  if (const std::optional<Found> found = find_separator(bytes, searched, separators)) {
    if (found->begin > reader.limit())
      throw LimitOverrunError("Separator is found, but chunk is longer than limit", found->begin);
    std::string taken = reader.buffer.take(found->end);
    reader.data_taken();
    return taken;
  }
  // A separator may begin in the last bytes.
  const std::size_t open = longest - 1;
  searched = bytes.size() - std::min(bytes.size(), open);
  if (searched > reader.limit())
    throw LimitOverrunError("Separator is not found, and chunk exceed the limit", searched);
  if (!reader.eof()) return std::nullopt;
  throw IncompleteReadError(reader.buffer.take_all(), std::nullopt);
}

std::optional<std::string> ReadLine::operator()(StreamReaderState& reader) {
  const std::string_view bytes = reader.buffer.view();
  const std::size_t at = bytes.find('\n', searched);
  if (at != std::string_view::npos && at <= reader.limit()) {
    std::string taken = reader.buffer.take(at + 1);
    reader.data_taken();
    return taken;
  }
  if (at != std::string_view::npos || bytes.size() > reader.limit()) {
    const bool is_complete = at != std::string_view::npos;
    if (is_complete) {
      reader.buffer.drop(at + 1);
    } else {
      reader.buffer.clear();
    }
    reader.data_taken();
    throw ValueError(is_complete ? "Separator is found, but chunk is longer than limit"
                                 : "Separator is not found, and chunk exceed the limit");
  }
  searched = bytes.size();
  if (!reader.eof()) return std::nullopt;
  return reader.buffer.take_all();
}

template <class T, class Step>
Coroutine<T> read_call(const Ref<StreamReaderState>& reader, Step step) {
  return Coroutine<T>(ReadCall<T, Step>{reader, std::move(step)});
}

}  // namespace aiofiber::detail

namespace aiofiber {

using detail::read_call;

Coroutine<std::string> StreamReader::read(std::ptrdiff_t n) const {
  if (n < 0) return read_call<std::string>(state_, detail::ReadToEnd{});
  return read_call<std::string>(state_, detail::ReadSome{{}, static_cast<std::size_t>(n)});
}

Coroutine<std::string> StreamReader::readline() const {
  return read_call<std::string>(state_, detail::ReadLine{});
}

Coroutine<std::string> StreamReader::readexactly(std::ptrdiff_t n) const {
  return read_call<std::string>(state_, detail::ReadExactly{n});
}

Coroutine<std::string> StreamReader::readuntil(std::vector<std::string> separators) const {
  return read_call<std::string>(state_, detail::ReadUntil{std::move(separators)});
}

Coroutine<std::size_t> StreamReader::read_into(std::span<char> into) const {
  return read_call<std::size_t>(state_, detail::ReadInto{{}, into});
}

Coroutine<std::size_t> StreamReader::readexactly_into(std::span<char> into) const {
  return read_call<std::size_t>(state_, detail::ReadExactlyInto{{}, into});
}

}  // namespace aiofiber
