// SPDX-License-Identifier: Apache-2.0
//
// The fields of FILE are those of glibc's public header. Its list of open streams is exported, too.
#include "shared_state/streams.h"

#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "aiofiber/runtime/engine/fiber.h"

// Null where libc has no such list: then only stdout is looked at.
extern "C" [[gnu::weak]] std::FILE* _IO_list_all;

namespace aiofiber::runtime::shared_state {

namespace {

constexpr std::ptrdiff_t kMostOfALine = 60;

// The unfinished line at the end, or the end of it; empty if there is none.
std::string_view last_line(const char* begin, const char* end) {
  const char* at = end;
  while (at != begin && end - at < kMostOfALine && at[-1] != '\n') --at;
  return {at, static_cast<std::size_t>(end - at)};
}

bool is_text(std::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < ' ' && c != '\t' && c != '\r' && c != '\033') || byte == 0x7f;
  });
}

// The bytes in the buffer after what is to be written, the first few.
std::string bytes_beyond(const std::FILE* file) {
  constexpr std::size_t kMost = 16;
  const char* const end = file->_IO_write_ptr;
  if (end == nullptr || end < file->_IO_buf_base || end > file->_IO_buf_end) return {};
  return {end, std::min<std::size_t>(kMost, static_cast<std::size_t>(file->_IO_buf_end - end))};
}

// "stdout", "stderr", or the path; else the number of the descriptor.
std::string name_of(const std::FILE* file) {
  if (file == stdout) return "stdout";
  if (file == stderr) return "stderr";
  const std::string fd = std::to_string(file->_fileno);
  char path[512];
  const ssize_t length = ::readlink(("/proc/self/fd/" + fd).c_str(), path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "fd " + fd;
}

}  // namespace

void Streams::end_step(const aiofiber_record& task, const Calls* here, bool goes_on) noexcept {
  try {
    for (Stream& stream : streams_) stream.open = false;
    if (&_IO_list_all == nullptr) {
      look_at(stdout, task, here, goes_on);
    } else {
      for (const std::FILE* file = _IO_list_all; file != nullptr; file = file->_chain)
        look_at(file, task, here, goes_on);
    }
    std::erase_if(streams_, [](const Stream& stream) { return !stream.open; });
  } catch (const std::exception&) {
    // No memory: this step is not looked at.
  }
}

void Streams::look_at(const std::FILE* file, const aiofiber_record& task, const Calls* here, bool goes_on) {
  Stream& stream = stream_of(file);
  stream.open = true;
  const bool moved = file->_IO_write_base != stream.begin || file->_IO_write_ptr != stream.end;
  if (moved && has_got_text(stream)) {
    if (stream.writer.id != 0 && task.id != 0 && stream.writer.id != task.id) add_finding(stream, task, here);
    const std::string_view line = last_line(file->_IO_write_base, file->_IO_write_ptr);
    const bool unfinished = file->_mode <= 0 && !line.empty() && is_text(line);
    stream.writer = unfinished ? task : aiofiber_record{};
    stream.part = line;
  }
  if (moved) {
    stream.begin = file->_IO_write_base;
    stream.end = file->_IO_write_ptr;
    stream.beyond = bytes_beyond(file);
  }
  if (stream.writer.id == 0 || stream.writer.id != task.id) return;
  stream.writer = goes_on ? task : aiofiber_record{};
  stream.suspended = here;
}

// Whether there is more text, since the last look, than a flush alone leaves.
bool Streams::has_got_text(const Stream& stream) noexcept {
  const std::FILE* const file = stream.file;
  const char* const begin = file->_IO_write_base;
  const char* const end = file->_IO_write_ptr;
  if (end > begin) return begin != stream.begin || end > stream.end;
  // All is flushed. Text that came before the flush lies where the buffer had ended.
  if (stream.end == nullptr || stream.end < file->_IO_buf_base || stream.end > file->_IO_buf_end)
    return false;
  const auto room = static_cast<std::size_t>(file->_IO_buf_end - stream.end);
  return std::string_view(stream.end, std::min(room, stream.beyond.size())) != stream.beyond;
}

Streams::Stream& Streams::stream_of(const std::FILE* file) {
  const auto known = std::find_if(streams_.begin(), streams_.end(),
                                  [&](const Stream& stream) { return stream.file == file; });
  if (known != streams_.end()) return *known;
  streams_.emplace_back().file = file;
  return streams_.back();
}

void Streams::add_finding(Stream& stream, const aiofiber_record& second, const Calls* after) {
  if (stream.told) return;
  const HooksOff hooks_off;
  const std::string name = name_of(stream.file);
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
