// SPDX-License-Identifier: Apache-2.0
//
// The protocol of a transport, the marks of its write buffer, and its errors.
#include "streams/stream_transport.h"

#include <absl/cleanup/cleanup.h>

#include <system_error>

#include "aiofiber/exception_context.h"
#include "aiofiber/log.h"

namespace aiofiber::detail {

using runtime::Ref;

// ---- the protocol -----------------------------------------------------------------------------------------

void StreamTransport::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
  if (dynamic_cast<Protocol*>(protocol.get()) == nullptr &&
      dynamic_cast<BufferedProtocol*>(protocol.get()) == nullptr)
    throw TypeError("a stream transport wants a protocol that is derived from Protocol or BufferedProtocol");
  take_protocol(std::move(protocol));
}

void StreamTransport::take_protocol(std::shared_ptr<BaseProtocol> protocol) noexcept {
  if (is_lost() && protocol_ == nullptr) return;  // the old one was told the end
  plain_ = dynamic_cast<Protocol*>(protocol.get());
  buffered_ = dynamic_cast<BufferedProtocol*>(protocol.get());
  protocol_.swap(protocol);
}

std::shared_ptr<BaseProtocol> StreamTransport::forget_protocol() noexcept {
  plain_ = nullptr;
  buffered_ = nullptr;
  return std::exchange(protocol_, nullptr);
}

bool StreamTransport::call_eof_received(bool& stays_open) {
  return call_protocol("eof_received", [&] {
    stays_open = buffered_ != nullptr ? buffered_->eof_received() : plain_->eof_received();
  });
}

std::span<char> StreamTransport::call_get_buffer(BufferedProtocol& protocol, std::size_t size_hint) {
  std::span<char> memory;
  const bool given = call_protocol("get_buffer", [&] {
    memory = protocol.get_buffer(size_hint);
    if (memory.empty()) throw RuntimeError("get_buffer() returned an empty buffer");
  });
  return given ? memory : std::span<char>();
}

std::span<char> StreamTransport::memory_of_thread() {
  static thread_local std::unique_ptr<char[]> memory;
  if (memory == nullptr) memory = std::make_unique_for_overwrite<char[]>(kMostAtOnce);
  return {memory.get(), kMostAtOnce};
}

// ---- the marks --------------------------------------------------------------------------------------------

void StreamTransport::set_write_buffer_limits(WriteBufferLimits limits) {
  constexpr std::size_t kDefaultHigh = 64 * 1024;
  const std::size_t high = limits.high ? *limits.high : limits.low ? 4 * *limits.low : kDefaultHigh;
  const std::size_t low = limits.low ? *limits.low : high / 4;
  if (high < low) throw ValueError(absl::StrCat("high (", high, ") must be >= low (", low, ")"));
  high_ = high;
  low_ = low;
  maybe_pause_protocol();
}

void StreamTransport::maybe_pause_protocol() {
  if (get_write_buffer_size() <= high_ || protocol_paused_ || protocol_ == nullptr) return;
  protocol_paused_ = true;
  call_protocol("pause_writing", [&] { protocol_->pause_writing(); });
}

void StreamTransport::maybe_resume_protocol() {
  tell_file_sender();
  if (get_write_buffer_size() > low_ || !protocol_paused_ || protocol_ == nullptr) return;
  protocol_paused_ = false;
  call_protocol("resume_writing", [&] { protocol_->resume_writing(); });
}

void StreamTransport::keep_for_later(WriteBuffer& buffer, std::string_view bytes, std::string* owned,
                                     std::size_t sent, FdWatch& writable) {
  try {
    if (owned != nullptr) {
      buffer.append(std::move(*owned), sent);
    } else {
      buffer.append(bytes.substr(sent));
    }
  } catch (...) {
    // A watch without bytes to send would call in each pass. Behind a part of a write nothing can follow: the
    // peer would take the next write for its rest.
    if (buffer.empty()) writable.stop();
    if (sent > 0) force_close(std::current_exception());
    throw;
  }
}

// ---- files ------------------------------------------------------------------------------------------------

void StreamTransport::begin_file(FileSender& sender) {
  if (file_sender_ != nullptr)
    throw RuntimeError("this transport sends a file already: await the first sendfile() before the next");
  file_sender_ = &sender;
}

void StreamTransport::write_of_file(std::string_view bytes, std::string* owned) {
  file_writes_ = true;
  const absl::Cleanup done = [this] { file_writes_ = false; };
  write(bytes, owned);
}

void StreamTransport::throw_file_is_sent() { throw RuntimeError("unable to write; sendfile is in progress"); }

// ---- errors -----------------------------------------------------------------------------------------------

bool StreamTransport::is_from_outside(const std::exception_ptr& error) const noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& system) {
    return system.code().category() == std::generic_category();
  } catch (...) {
    return false;
  }
}

void StreamTransport::fatal_error(const char* message, std::exception_ptr error) {
  const Ref<TransportState> keep(this);
  if (!is_from_outside(error)) {
    ExceptionContext report;
    report.message = message;
    report.exception = error;
    report.extra.emplace_back("transport", text());
    loop_->report(report);
  } else if (loop_->debug()) {
    log(LogLevel::DEBUG, absl::StrCat(text(), ": ", message, ": ", format_exception(error)));
  }
  force_close(std::move(error));
}

}  // namespace aiofiber::detail
