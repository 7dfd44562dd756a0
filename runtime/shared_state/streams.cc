// SPDX-License-Identifier: Apache-2.0
//
// The fields of FILE are those of glibc's public header. It exports the walk over its open streams, too.
#include "shared_state/streams.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "aiofiber/runtime/engine/fiber.h"

// Null where libc has no such walk: then only stdout is looked at.
extern "C" {
[[gnu::weak]] void _IO_list_lock() noexcept;
[[gnu::weak]] void _IO_list_unlock() noexcept;
[[gnu::weak]] std::FILE* _IO_iter_begin() noexcept;
[[gnu::weak]] std::FILE* _IO_iter_end() noexcept;
[[gnu::weak]] std::FILE* _IO_iter_next(std::FILE*) noexcept;
[[gnu::weak]] std::FILE* _IO_iter_file(std::FILE*) noexcept;
}

namespace aiofiber::runtime::shared_state {

namespace {

constexpr std::ptrdiff_t kMostOfALine = 60;
constexpr std::ptrdiff_t kMostToJudge = 512;

// The unfinished line at the end of the buffer, or the end of it. Empty if there is none, or if the buffer
// has other bytes than text.
std::string_view unfinished_line(const char* begin, const char* end) {
  begin = end - std::min(end - begin, kMostToJudge);
  const bool is_text = std::none_of(begin, end, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == 0 || byte == 0x7f || (byte < ' ' && std::strchr("\t\n\r\033", c) == nullptr);
  });
  if (!is_text) return {};
  const char* at = end;
  while (at != begin && end - at < kMostOfALine && at[-1] != '\n') --at;
  return {at, static_cast<std::size_t>(end - at)};
}

// What of the outputs came from the stream.
struct Flushed {
  const Output* last = nullptr;
  std::size_t bytes = 0;
};
Flushed flushed_in(const std::FILE* file, std::span<const Output> outputs) noexcept {
  const auto low = reinterpret_cast<std::uintptr_t>(file->_IO_buf_base),
             high = reinterpret_cast<std::uintptr_t>(file->_IO_buf_end);
  const bool is_unbuffered = high - low <= 1;
  Flushed found;
  for (const Output& output : outputs) {
    if (output.fd != file->_fileno) continue;
    if (!is_unbuffered && (output.begin < low || output.begin >= high)) continue;
    found.last = &output;
    found.bytes += output.bytes;
  }
  return found;
}

// "stdout", "stderr", or the path; else the number of the descriptor.
std::string name_of(const std::FILE* file) {
  if (file == stdout) return "stdout";
  if (file == stderr) return "stderr";
  if (file->_fileno < 0) return "in memory";
  const std::string fd = std::to_string(file->_fileno);
  char path[512];
  const ssize_t length = ::readlink(("/proc/self/fd/" + fd).c_str(), path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "fd " + fd;
}

// Other threads may close streams. A task that is suspended while it holds the lock does not matter: the lock
// belongs to the thread.
class ListLock {
 public:
  ListLock() noexcept {
    if (_IO_list_lock != nullptr) _IO_list_lock();
  }
  ~ListLock() {
    if (_IO_list_unlock != nullptr) _IO_list_unlock();
  }
  ListLock(const ListLock&) = delete;
  ListLock& operator=(const ListLock&) = delete;
};

}  // namespace

void Streams::end_step(const aiofiber_record& task, const Calls* here, bool goes_on,
                       std::span<const Output> outputs) noexcept {
  ++looks_;
  try {
    const ListLock lock;
    if (_IO_iter_begin == nullptr) {
      look_at(stdout, task, here, goes_on, outputs);
      return;
    }
    std::size_t open = 0;
    for (std::FILE* at = _IO_iter_begin(); at != _IO_iter_end(); at = _IO_iter_next(at), ++open)
      look_at(_IO_iter_file(at), task, here, goes_on, outputs);
    if (open == streams_.size()) return;
    std::erase_if(streams_, [this](const auto& entry) { return entry.second.seen != looks_; });
  } catch (const std::exception&) {
    // No memory: this step is not looked at.
  }
}

void Streams::look_at(const std::FILE* file, const aiofiber_record& task, const Calls* here, bool goes_on,
                      std::span<const Output> outputs) {
  Stream& stream = streams_[file];
  stream.seen = looks_;
  forget_if_closed(file, stream);
  const std::ptrdiff_t in_buffer = file->_IO_write_ptr - file->_IO_write_base;
  const Flushed flushed = flushed_in(file, outputs);
  // A flush of what lay there before is no new text.
  const bool is_flushed = flushed.last != nullptr &&
                          static_cast<std::ptrdiff_t>(flushed.bytes) + in_buffer > stream.end - stream.begin;
  if (is_flushed || file->_IO_write_base != stream.begin || file->_IO_write_ptr != stream.end) {
    if (is_flushed || has_got_text(file, stream)) {
      if (stream.writer.id != 0 && task.id != 0 && stream.writer.id != task.id)
        add_finding(file, stream, task, here);
      std::string_view line;
      if (file->_mode <= 0 && in_buffer > 0) {
        line = unfinished_line(file->_IO_write_base, file->_IO_write_ptr);
      } else if (file->_mode <= 0 && is_flushed) {
        line = unfinished_line(flushed.last->tail, flushed.last->tail + flushed.last->tail_bytes);
      }
      stream.writer = line.empty() ? aiofiber_record{} : task;
      stream.part = line;
    }
    note_buffer(file, stream);
  }
  if (stream.writer.id == 0 || stream.writer.id != task.id) return;
  stream.writer = goes_on ? task : aiofiber_record{};
  stream.suspended = here;
}

// A stream may be opened at the address of one that was closed since the last look.
void Streams::forget_if_closed(const std::FILE* file, Stream& stream) noexcept {
  if (stream.fd != file->_fileno) {
    stream.fd = file->_fileno;
    stream.told = false;
  } else if (file->_IO_write_ptr != nullptr && stream.buffer == file->_IO_buf_base) {
    return;
  }
  stream.buffer = file->_IO_buf_base;
  stream.begin = stream.end = nullptr;
  stream.beyond_bytes = 0;
  stream.writer = {};
}

// Of a buffer that has changed since the last look: whether by more than a flush.
bool Streams::has_got_text(const std::FILE* file, const Stream& stream) noexcept {
  if (file->_IO_write_ptr > file->_IO_write_base) return true;
  // All is flushed. Text that came before the flush lies where the buffer had ended.
  return stream.beyond_bytes > 0 && std::memcmp(stream.end, stream.beyond.data(), stream.beyond_bytes) != 0;
}

void Streams::note_buffer(const std::FILE* file, Stream& stream) noexcept {
  stream.begin = file->_IO_write_base;
  stream.end = file->_IO_write_ptr;
  stream.beyond_bytes = 0;
  if (stream.end == nullptr || stream.end < file->_IO_buf_base || stream.end > file->_IO_buf_end) return;
  const auto room = static_cast<std::size_t>(file->_IO_buf_end - stream.end);
  stream.beyond_bytes = std::min(stream.beyond.size(), room);
  std::memcpy(stream.beyond.data(), stream.end, stream.beyond_bytes);
}

void Streams::add_finding(const std::FILE* file, Stream& stream, const aiofiber_record& second,
                          const Calls* after) {
  if (stream.told) return;
  const HooksOff hooks_off;
  const std::string name = name_of(file);
  stream.told = true;
  if (std::find(ignore_.begin(), ignore_.end(), name) != ignore_.end()) return;
  findings_.push_back({.stream = name,
                       .part = stream.part,
                       .first = stream.writer,
                       .suspended = stream.suspended,
                       .second = second,
                       .after = after});
}

}  // namespace aiofiber::runtime::shared_state
