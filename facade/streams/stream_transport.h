// SPDX-License-Identifier: Apache-2.0
//
// StreamTransport: what the transports of bytes have in common: the protocol and the calls into it, the marks
// of the write buffer, and what becomes of an error.
//
// A call into the protocol may do anything to the transport, also end it. So a transport makes such a call
// last, or looks at its state afterwards. Not for users. Threads: the loop's.
#pragma once

#include <absl/strings/str_cat.h>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/exceptions.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/transports.h"
#include "streams/fd_watch.h"
#include "streams/write_buffer.h"

namespace aiofiber::detail {

// A file that is being sent on a transport (sendfile.cc), and has it for itself.
class FileSender {
 public:
  // The buffer has become shorter, the socket is writable, or the transport closes.
  virtual void transport_changed() noexcept = 0;

 protected:
  ~FileSender() = default;
};

class StreamTransport : public TransportState {
 public:
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
  std::shared_ptr<BaseProtocol> get_protocol() const override { return protocol_; }
  void set_write_buffer_limits(WriteBufferLimits limits) override;
  std::pair<std::size_t, std::size_t> get_write_buffer_limits() const noexcept override {
    return {low_, high_};
  }

  // RuntimeError: another file is being sent. The sender lives until end_file().
  void begin_file(FileSender& sender);
  virtual void end_file() noexcept { file_sender_ = nullptr; }
  // write() for the sender.
  void write_of_file(std::string_view bytes, std::string* owned);
  LoopCore& loop() const noexcept { return *loop_; }

 protected:
  explicit StreamTransport(LoopCore& loop) noexcept : loop_(&loop) {}

  // Whether connection_lost() is due or was called.
  virtual bool is_lost() const noexcept = 0;
  // Ends the transport at once. The protocol hears the error in connection_lost().
  virtual void force_close(std::exception_ptr error) = 0;
  // Whether the system, the network or the other end made the error, not the program.
  virtual bool is_from_outside(const std::exception_ptr& error) const noexcept;

  // Calls a function of the protocol. False: there is no protocol, or an exception left it, which is reported
  // and has ended the transport.
  template <class Call>
  bool call_protocol(const char* function, Call call) {
    const std::shared_ptr<BaseProtocol> keep = protocol_;
    if (keep == nullptr) return false;
    try {
      call();
      return true;
    } catch (...) {
      const std::exception_ptr error = std::current_exception();
      if (leaves_the_loop(error)) throw;
      fatal_error(absl::StrCat("Fatal error: protocol.", function, "() call failed.").c_str(), error);
      return false;
    }
  }
  // eof_received(). `stays_open`: its result. False as call_protocol().
  bool call_eof_received(bool& stays_open);
  // Memory of the protocol for bytes. Empty: it failed, and the transport is ended.
  std::span<char> call_get_buffer(BufferedProtocol& protocol, std::size_t size_hint);

  // Reports an error of the program, and tells the protocol any error: the transport ends.
  void fatal_error(const char* message, std::exception_ptr error);
  // Tell the protocol if the buffer has passed a mark.
  void maybe_pause_protocol();
  // For write(). RuntimeError: a file is being sent.
  void check_no_file() const {
    if (file_sender_ != nullptr && !file_writes_) throw_file_is_sent();
  }
  bool sends_file() const noexcept { return file_sender_ != nullptr; }
  void tell_file_sender() noexcept {
    if (file_sender_ != nullptr) file_sender_->transport_changed();
  }
  void maybe_resume_protocol();

  static constexpr std::size_t kMostAtOnce = 256 * 1024;  // of one read; asyncio's max_size
  // Memory for one read, one for all transports of the thread: what came is handed on before the next read.
  static std::span<char> memory_of_thread();
  // Whether a system call would succeed later.
  static bool is_for_now(int error) noexcept {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
  }

  // Buffers what the kernel has not taken of a write: all behind the first `sent` bytes. `writable` is the
  // watch that sends it. std::bad_alloc: nothing is kept, and a stream that has a part of the write is ended.
  void keep_for_later(WriteBuffer& buffer, std::string_view bytes, std::string* owned, std::size_t sent,
                      FdWatch& writable);

  // Without a look at its kind. After the end of the connection it has no effect.
  void take_protocol(std::shared_ptr<BaseProtocol> protocol) noexcept;
  std::shared_ptr<BaseProtocol> forget_protocol() noexcept;

  std::size_t high_mark() const noexcept { return high_; }
  std::size_t low_mark() const noexcept { return low_; }

  const runtime::Ref<LoopCore> loop_;
  std::shared_ptr<BaseProtocol> protocol_;
  Protocol* plain_ = nullptr;  // what protocol_ is: one of the two, or neither where nothing is read
  BufferedProtocol* buffered_ = nullptr;

 private:
  std::size_t high_ = 64 * 1024;
  std::size_t low_ = 16 * 1024;
  [[noreturn]] static void throw_file_is_sent();

  bool protocol_paused_ = false;
  bool file_writes_ = false;
  FileSender* file_sender_ = nullptr;
};

}  // namespace aiofiber::detail
