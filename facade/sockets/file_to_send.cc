// SPDX-License-Identifier: Apache-2.0
//
// sendfile(2), what its errors mean, and the reading of a file that it refuses.
#include "sockets/file_to_send.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "aiofiber/runtime/engine/socket_syscall.h"
#include "aiofiber/sock_calls.h"

namespace aiofiber::detail {

namespace sys = runtime::sys;

void check_file_to_send(const FileToSend& job) {
  if (job.count == std::size_t{0}) throw ValueError("count must be a positive integer (got 0)");
  if (job.offset < 0)
    throw ValueError(absl::StrCat("offset must be a non-negative integer (got ", job.offset, ")"));
}

std::size_t rest_of_file(const FileToSend& job, std::size_t sent, std::size_t most) noexcept {
  return job.count ? std::min(*job.count - sent, most) : most;
}

FileStep send_piece(const FileToSend& job, std::size_t& sent) {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // a call of sendfile(2) takes about 2 GiB
  const std::size_t wanted = rest_of_file(job, sent, kMost);
  if (wanted == 0) return FileStep::kAllSent;
  off_t offset = job.offset + static_cast<off_t>(sent);
  const ssize_t done = sys::send_file(job.socket, job.file, &offset, wanted);
  if (done == 0) return FileStep::kAllSent;
  if (done > 0) {
    sent += static_cast<std::size_t>(done);
    return rest_of_file(job, sent, 1) == 0 ? FileStep::kAllSent : FileStep::kGoOn;
  }
  const int error = errno;
  if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) return FileStep::kGoOn;
  // Errors of the connection are errors; any other one says that this file cannot be sent so.
  const bool refused = sent == 0 && (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
                                     error == ESPIPE || error == EPERM);
  if (!refused) throw std::system_error(error, std::generic_category(), job.function);
  if (!job.fallback)
    throw SendfileNotAvailableError(
        absl::StrCat("os.sendfile call failed: ", std::generic_category().message(error)));
  return FileStep::kRefused;
}

bool check_seekable(const FileToSend& job) {
  const bool seekable = sys::seek(job.file, 0, SEEK_CUR) >= 0;
  if (!seekable && job.offset != 0) throw std::system_error(ESPIPE, std::generic_category(), job.function);
  return seekable;
}

std::string read_piece(FileToSend job, std::size_t sent, std::size_t bytes, bool seekable) {
  std::string piece(bytes, '\0');
  for (;;) {
    const ssize_t done =
        seekable ? sys::read_at(job.file, piece.data(), bytes, job.offset + static_cast<off_t>(sent))
                 : sys::read(job.file, piece.data(), bytes);
    if (done >= 0) {
      piece.resize(static_cast<std::size_t>(done));
      return piece;
    }
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), job.function);
  }
}

PositionAtEnd::~PositionAtEnd() {
  if (seekable_ && sent_ > 0) sys::seek(job_.file, job_.offset + static_cast<off_t>(sent_), SEEK_SET);
}

}  // namespace aiofiber::detail
