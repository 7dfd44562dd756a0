// SPDX-License-Identifier: Apache-2.0
//
// StreamReader: the bytes that come on a connection, read by tasks. Source: asyncio.StreamReader.
//
// A shared handle, as a future is. One task at a time may wait in it. What came and was not read stays in the
// buffer; above twice the limit the reader pauses its transport. Each reading function is a cancellation
// point when it suspends. A cancelled call takes nothing (except read() to the end: it loses what it
// gathered). Errors of all of them: the exception that ended the connection (std::system_error, or
// set_exception()); CancelledError; RuntimeError: another task waits in the reader, or it belongs to another
// loop. Threads: the loop's.
#pragma once

#include <cstddef>
#include <exception>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/byte_buffer.h"
#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/transports.h"
#include "aiofiber/wait_queue.h"

namespace aiofiber {

// The limit of a StreamReader if none is given, in bytes.
inline constexpr std::size_t kDefaultStreamLimit = 64 * 1024;

namespace detail {

// Owned by the handles, by the protocol that feeds it, and by each wait.
class StreamReaderState final : public Counted<StreamReaderState> {
 public:
  explicit StreamReaderState(std::size_t limit);

  std::size_t limit() const noexcept { return limit_; }
  bool at_eof() const noexcept { return eof_ && buffer.empty(); }
  bool eof() const noexcept { return eof_; }
  const std::exception_ptr& exception() const noexcept { return exception_; }

  // ---- for who feeds it
  void set_transport(Transport transport, int fd);
  // The transport is gone: nothing pauses any more.
  void forget_transport() noexcept { transport_ = {}; }
  void feed_eof();
  void feed_data(std::string_view bytes);
  void set_exception(std::exception_ptr exception);
  // Bytes were added to the buffer.
  void data_added();

  // ---- for the reading functions
  void check() const {
    if (AIOFIBER_UNLIKELY(exception_ != nullptr)) std::rethrow_exception(exception_);
  }
  // Bytes were taken from the buffer.
  void data_taken() {
    if (AIOFIBER_UNLIKELY(paused_)) resume_if_low();
  }
  // Suspends until something came. `function`: its name, for the RuntimeError.
  void wait_for_data(const char* function);
  static Coro<void> wait_for_data_without_stack(runtime::Ref<StreamReaderState> reader, const char* function);

  std::string text(const void* object) const;

  ByteBuffer buffer;

 private:
  void prepare_wait(const char* function);
  // Behind a wait: throws what set_exception() woke it with, whatever came since.
  void check_wake_up() {
    if (AIOFIBER_UNLIKELY(woken_by_ != nullptr)) std::rethrow_exception(std::exchange(woken_by_, nullptr));
  }
  void resume_if_low();

  const std::size_t limit_;
  bool eof_ = false;
  bool paused_ = false;
  Transport transport_;
  std::exception_ptr exception_;
  std::exception_ptr woken_by_;  // from set_exception() until the waiter runs
  LoopBound bound_;
  WaitQueue waiter_{AIOFIBER_WAIT_OTHER, this};  // at most one
};

}  // namespace detail

// A handle of the bytes that come from the other side. Source: asyncio.StreamReader.
class StreamReader {
 public:
  // A reader that the program feeds by feed_data() and feed_eof(). ValueError: a limit of 0.
  explicit StreamReader(std::size_t limit = kDefaultStreamLimit)
      : state_(new detail::StreamReaderState(limit)) {}
  explicit StreamReader(runtime::Ref<detail::StreamReaderState> state) noexcept : state_(std::move(state)) {}

  // Up to n bytes, as soon as there is one; empty at the end of the stream, and for n == 0. A negative n: all
  // bytes up to the end of the stream.
  Coroutine<std::string> read(std::ptrdiff_t n = -1) const;
  // Up to and including the next '\n'. What is left without one at the end of the stream; then empty.
  // ValueError: the line is longer than the limit, and was dropped.
  Coroutine<std::string> readline() const;
  // Exactly n bytes. IncompleteReadError: the stream ended before; it has those that came. ValueError: n is
  // negative.
  Coroutine<std::string> readexactly(std::ptrdiff_t n) const;
  // Up to and including the separator. LimitOverrunError: it does not come within the limit, and the bytes
  // stay in the buffer. IncompleteReadError: the stream ended before; it has those that came. ValueError: it
  // is empty.
  Coroutine<std::string> readuntil(std::string separator = "\n") const {
    return readuntil(std::vector<std::string>{std::move(separator)});
  }
  // The same for the first of several to end; of those that end together the shortest counts. ValueError:
  // none is given, or one is empty.
  Coroutine<std::string> readuntil(std::vector<std::string> separators) const;
  Coroutine<std::string> readuntil(std::initializer_list<std::string_view> separators) const {
    return readuntil(std::vector<std::string>(separators.begin(), separators.end()));
  }

  // The same into memory of the caller, which must stay until the call is done. Each gives the number of
  // bytes.
  Coroutine<std::size_t> read_into(std::span<char> into) const;
  // As readexactly(), for as many bytes as the memory has.
  Coroutine<std::size_t> readexactly_into(std::span<char> into) const;

  // Whether the stream has ended and all bytes were read.
  bool at_eof() const noexcept { return state_->at_eof(); }

  // For who feeds the reader: more bytes, the end, an error that all reading functions throw from now on. A
  // call that bytes or the end woke before still gives what it can of them. RuntimeError: bytes after the
  // end.
  void feed_data(std::string_view bytes) const { state_->feed_data(bytes); }
  // The end of what feed_data() brought.
  void feed_eof() const { state_->feed_eof(); }
  // Differs from asyncio: a call that an error follows before the task runs, and that lacks bytes, throws it;
  // there it waits for ever.
  void set_exception(std::exception_ptr exception) const { state_->set_exception(std::move(exception)); }
  template <class E>
  requires(!std::is_same_v<std::decay_t<E>, std::exception_ptr>) void set_exception(E&& exception) const {
    set_exception(std::make_exception_ptr(std::forward<E>(exception)));
  }
  // Null: there is none.
  std::exception_ptr exception() const noexcept { return state_->exception(); }

  friend bool operator==(const StreamReader&, const StreamReader&) noexcept = default;
  friend std::string repr(const StreamReader& reader) { return reader.state_->text(reader.state_.get()); }
  const runtime::Ref<detail::StreamReaderState>& state() const noexcept { return state_; }

 private:
  runtime::Ref<detail::StreamReaderState> state_;
};
// The text that asyncio prints, with the state of the buffer.
std::string repr(const StreamReader& reader);

namespace detail {
// The lines of a stream, one await each.
class LineIterator {
 public:
  struct End {};
  explicit LineIterator(StreamReader reader) : reader_(std::move(reader)) { ++*this; }
  const std::string& operator*() const noexcept { return line_; }
  LineIterator& operator++() {
    line_ = await(reader_.readline());
    return *this;
  }
  bool operator==(End) const noexcept { return line_.empty(); }

 private:
  StreamReader reader_;
  std::string line_;
};
}  // namespace detail

// In a task with a stack, up to the end of the stream: for (const std::string& line : reader). (Python's
// `async for`.)
inline detail::LineIterator begin(const StreamReader& reader) { return detail::LineIterator(reader); }
inline detail::LineIterator::End end(const StreamReader&) noexcept { return {}; }

}  // namespace aiofiber
