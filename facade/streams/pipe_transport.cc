// SPDX-License-Identifier: Apache-2.0
//
// Reading, writing and the end of a pipe. A call into the protocol may do anything to the transport, also end
// it, so each such call is the last step, or is followed by a look at the state.
#include "streams/pipe_transport.h"

#include <absl/strings/str_cat.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/pipes.h"
#include "aiofiber/runtime/engine/process_syscall.h"
#include "aiofiber/runtime/engine/socket_syscall.h"

namespace aiofiber::detail {

namespace sys = runtime::sys;
using runtime::Ref;

namespace {

constexpr unsigned kWritesBeforeTheWarning = 5;

std::exception_ptr error_of(int error, const char* text) {
  return std::make_exception_ptr(std::system_error(error, std::generic_category(), text));
}

// Only who reads needs more than BaseProtocol.
void check_protocol(PipeTransport::Direction direction, BaseProtocol* protocol) {
  const bool takes_bytes =
      dynamic_cast<Protocol*>(protocol) != nullptr || dynamic_cast<BufferedProtocol*>(protocol) != nullptr;
  if (protocol == nullptr || (direction == PipeTransport::Direction::kRead && !takes_bytes))
    throw TypeError(
        "a reading pipe wants a protocol that is derived from Protocol or BufferedProtocol, a "
        "writing one any protocol");
}

}  // namespace

// ---- the beginning ----------------------------------------------------------------------------------------

PipeTransport::PipeTransport(LoopCore& loop, Direction direction, Descriptor& pipe)
    : StreamTransport(loop),
      direction_(direction),
      readable_(loop, pipe.fd(), runtime::kReadable,
                Ref<HandleBase>(new MemberHandle<PipeTransport, &PipeTransport::readable>(loop, *this))),
      writable_(loop, pipe.fd(), runtime::kWritable,
                Ref<HandleBase>(new MemberHandle<PipeTransport, &PipeTransport::writable>(loop, *this))),
      lost_call_(new MemberHandle<PipeTransport, &PipeTransport::call_connection_lost>(loop, *this)) {
  pipe_ = std::move(pipe);  // last: it is the caller's if this throws
}

PipeTransport::~PipeTransport() {
  lost_call_->cancel();
  if (linked()) unlink();
}

Ref<PipeTransport> PipeTransport::open(LoopCore& loop, Direction direction, Descriptor&& pipe,
                                       std::shared_ptr<BaseProtocol> protocol) {
  loop.check_open();
  check_protocol(direction, protocol.get());
  struct stat kind {};
  if (::fstat(pipe.fd(), &kind) != 0 || sys::set_nonblocking(pipe.fd()) != 0)
    std::rethrow_exception(error_of(errno, "cannot make a transport of the file descriptor"));
  const bool has_two_ends = S_ISFIFO(kind.st_mode) || S_ISSOCK(kind.st_mode);
  if (!has_two_ends && !S_ISCHR(kind.st_mode))
    throw ValueError("a pipe transport is for pipes, sockets and character devices only");
  Ref<PipeTransport> transport(new PipeTransport(loop, direction, pipe));
  transport->sees_reader_close_ = direction == Direction::kWrite && has_two_ends;
  transport->set_protocol(std::move(protocol));
  transport->retain();  // by the loop's list
  loop.open_objects.push_back(*transport);
  return transport;
}

void PipeTransport::start() {
  if (lost_) return;  // aborted before it began: nothing is called
  connected_ = true;
  const Ref<PipeTransport> keep(this);
  call_protocol("connection_made", [&] { protocol_->connection_made(Transport(Ref<TransportState>(this))); });
  if (closing_) return;
  if (is_reading() || sees_reader_close_) start_watch(readable_);
}

void PipeTransport::start_watch(FdWatch& watch) {
  try {
    watch.start();
  } catch (const std::exception&) {
    fatal_error("Fatal error: the pipe cannot be watched.", std::current_exception());
  }
}

void PipeTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
  check_protocol(direction_, protocol.get());
  take_protocol(std::move(protocol));
}

// ---- reading ----------------------------------------------------------------------------------------------

void PipeTransport::pause_reading() {
  if (!is_reading()) return;
  paused_ = true;
  readable_.stop();
}

void PipeTransport::resume_reading() {
  if (!reads() || !paused_ || closing_) return;
  paused_ = false;
  if (connected_) start_watch(readable_);
}

void PipeTransport::readable() {
  if (lost_) return;
  if (readable_.error() != 0) return system_error(reads() ? "read" : "write", readable_.error());
  if (is_reading()) return receive();
  if (!sees_reader_close_) return;  // paused after this call was queued
  force_close(buffer_.empty() ? nullptr : error_of(EPIPE, "the pipe was closed by its reader"));
}

std::span<char> PipeTransport::memory_for_bytes() {
  if (buffered_ == nullptr) return memory_of_thread();
  return call_get_buffer(*buffered_, kMostAtOnce);
}

void PipeTransport::receive() {
  const std::span<char> memory = memory_for_bytes();
  if (memory.empty() || lost_) return;
  const ssize_t count = sys::read(pipe_.fd(), memory.data(), memory.size());
  if (count < 0) {
    if (!is_for_now(errno)) system_error("read", errno);
  } else if (count == 0) {
    end_of_stream();
  } else if (const auto bytes = static_cast<std::size_t>(count); buffered_ != nullptr) {
    call_protocol("buffer_updated", [&] { buffered_->buffer_updated(bytes); });
  } else {
    call_protocol("data_received", [&] { plain_->data_received(std::string_view(memory.data(), bytes)); });
  }
}

// Nothing can follow on a pipe, whatever eof_received() says.
void PipeTransport::end_of_stream() {
  closing_ = true;
  readable_.stop();
  bool stays_open = false;
  call_eof_received(stays_open);
  lose(nullptr);
}

// ---- writing ----------------------------------------------------------------------------------------------

void PipeTransport::write(std::string_view bytes, std::string* owned) {
  if (reads()) throw RuntimeError("this end of the pipe only reads");
  if (bytes.empty()) return;
  if (closing_) {
    if (writes_after_loss_ >= kWritesBeforeTheWarning)
      log(LogLevel::WARNING, "a write to a pipe that is closed was dropped, as others before");
    ++writes_after_loss_;
    return;
  }
  std::size_t sent = 0;
  if (buffer_.empty()) {
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    const ssize_t count = sys::write_without_signal(pipe_.fd(), &piece, 1);
    if (count < 0 && !is_for_now(errno)) {
      ++writes_after_loss_;
      return system_error("write", errno);
    }
    if (count > 0) sent = static_cast<std::size_t>(count);
    if (sent == bytes.size()) return;
    start_watch(writable_);
    if (lost_) return;
  }
  keep_for_later(buffer_, bytes, owned, sent, writable_);
  maybe_pause_protocol();
}

void PipeTransport::writable() {
  if (lost_ || buffer_.empty()) return;
  if (writable_.error() != 0) return system_error("write", writable_.error());
  std::array<iovec, 64> pieces;
  const auto filled = buffer_.pieces(pieces);
  const ssize_t count = sys::write_without_signal(pipe_.fd(), filled.data(), static_cast<int>(filled.size()));
  if (count < 0) {
    if (!is_for_now(errno)) system_error("write", errno);
    return;
  }
  buffer_.consume(static_cast<std::size_t>(count));
  if (buffer_.empty()) writable_.stop();
  maybe_resume_protocol();  // may write or close
  if (buffer_.empty() && closing_) lose(nullptr);
}

void PipeTransport::write_eof() {
  if (reads()) throw RuntimeError("this end of the pipe only reads");
  if (closing_) return;
  closing_ = true;
  if (buffer_.empty()) lose(nullptr);
}

// ---- the end ----------------------------------------------------------------------------------------------

// A writing end first sends what is buffered.
void PipeTransport::close() {
  if (closing_) return;
  closing_ = true;
  if (buffer_.empty()) lose(nullptr);
}

void PipeTransport::force_close(std::exception_ptr error) {
  if (lost_) return;
  closing_ = true;
  buffer_.clear();
  lose(std::move(error));
}

void PipeTransport::lose(std::exception_ptr error) {
  if (std::exchange(lost_, true)) return;
  closing_ = true;
  readable_.stop();
  writable_.stop();
  lost_error_ = std::move(error);
  if (!loop_->closed()) lost_call_->schedule_again();
}

void PipeTransport::call_connection_lost() {
  const std::shared_ptr<BaseProtocol> protocol = forget_protocol();
  const bool was_connected = std::exchange(connected_, false);
  const std::exception_ptr error = std::exchange(lost_error_, nullptr);
  const Ref<PipeTransport> keep(this);
  release_pipe();
  if (linked()) {
    unlink();
    release();  // of the loop's list
  }
  // Last, because it may throw: the handle reports that.
  if (was_connected) protocol->connection_lost(error);
}

void PipeTransport::release_pipe() noexcept {
  // Somebody else has closed the number, which may be another file now.
  if (readable_.error() == EBADF || writable_.error() == EBADF) static_cast<void>(pipe_.release());
  pipe_.reset();
}

void PipeTransport::loop_closes() noexcept {
  const Ref<PipeTransport> keep(this);
  closing_ = lost_ = true;
  readable_.stop();
  writable_.stop();
  lost_call_->cancel();
  buffer_.clear();
  release_pipe();
  const std::shared_ptr<BaseProtocol> protocol = forget_protocol();
  release();
}

void PipeTransport::system_error(const char* call, int error) {
  fatal_error(absl::StrCat("Fatal ", call, " error on pipe transport").c_str(),
              error_of(error, reads() ? "cannot read from the pipe" : "cannot write to the pipe"));
}

Coro<Transport> open_pipe(int fd, bool reads, std::shared_ptr<BaseProtocol> protocol) {
  LoopCore& loop = get_running_loop().core();
  Future<void> made = loop.facade().create_future<void>();
  Descriptor pipe(fd);
  Ref<PipeTransport> transport;
  try {
    const auto direction = reads ? PipeTransport::Direction::kRead : PipeTransport::Direction::kWrite;
    transport = PipeTransport::open(loop, direction, std::move(pipe), std::move(protocol));
  } catch (...) {
    static_cast<void>(pipe.release());
    throw;
  }
  try {
    make_handle(loop, [transport, made] {
      transport->start();
      if (!made.done()) made.set_result();
    })->schedule_soon();
    co_await made;
  } catch (...) {
    transport->abort();
    throw;
  }
  co_return Transport(Ref<TransportState>(transport));
}

std::string PipeTransport::text() const {
  std::string out = reads() ? "<ReadPipeTransport" : "<WritePipeTransport";
  if (pipe_.fd() < 0) return out + " closed>";
  if (closing_) out += " closing";
  absl::StrAppend(&out, " fd=", pipe_.fd());
  if (reads()) {
    absl::StrAppend(&out, readable_.active() ? " polling" : " idle");
  } else {
    absl::StrAppend(&out, writable_.active() ? " polling" : " idle", " bufsize=", buffer_.size());
  }
  return out + ">";
}

}  // namespace aiofiber::detail
