// SPDX-License-Identifier: Apache-2.0
//
// FileToSend: the steps of sock_sendfile() and sendfile(), which differ only in how they wait.
//
// A file is sent by sendfile(2), or, where the kernel refuses that, read in pieces on the executor. In both
// cases its position is put behind what was sent. Not for users. Threads: the loop's, except read_piece().
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>

namespace aiofiber::detail {

struct FileToSend {
  int socket;
  int file;
  off_t offset;
  std::optional<std::size_t> count;  // to the end
  bool fallback;
  const char* function;  // for errors
};

// ValueError: a count of 0, a negative offset.
void check_file_to_send(const FileToSend& job);

enum class FileStep : unsigned char {
  kGoOn,     // when the socket is writable
  kAllSent,  // also: the file has ended
  kRefused,  // copy the file instead; nothing was sent
};
// One sendfile(2); adds to `sent`. std::system_error; SendfileNotAvailableError: refused, and no fallback.
FileStep send_piece(const FileToSend& job, std::size_t& sent);

// Whether the file has a position. std::system_error ESPIPE: it has none, and the offset is not 0.
bool check_seekable(const FileToSend& job);
constexpr std::size_t kPieceOfFile = 256 * 1024;
// The bytes that are still to be sent, at most `most`.
std::size_t rest_of_file(const FileToSend& job, std::size_t sent, std::size_t most) noexcept;
// At most so many bytes; empty: the end. At the file's own position if it has none to choose (a pipe). Any
// thread. std::system_error.
std::string read_piece(FileToSend job, std::size_t sent, std::size_t bytes, bool seekable);

// Puts the file's position behind what was sent, however the call ends.
class PositionAtEnd {
 public:
  PositionAtEnd(const FileToSend& job, const std::size_t& sent, bool seekable) noexcept
      : job_(job), sent_(sent), seekable_(seekable) {}
  ~PositionAtEnd();
  PositionAtEnd(const PositionAtEnd&) = delete;
  PositionAtEnd& operator=(const PositionAtEnd&) = delete;

 private:
  const FileToSend& job_;
  const std::size_t& sent_;
  const bool seekable_;
};

}  // namespace aiofiber::detail
