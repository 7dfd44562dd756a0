// SPDX-License-Identifier: Apache-2.0
//
// What the transport tells is passed on to the reader and to those who wait for room or for the end.
#include "streams/stream_protocol.h"

#include "streams/socket_transport.h"

namespace aiofiber::detail {

void StreamProtocol::connection_made(Transport transport) {
  use_transport(transport);
  if (const Connected connected = std::move(connected_)) connected(*this, std::move(transport));
}

void StreamProtocol::use_transport(const Transport& transport) {
  const int fd = transport.state().fd();
  if (lost_ || fd < 0) return;
  reader_->set_transport(transport, fd);
  const std::uint64_t wait = static_cast<std::uint64_t>(fd) << 32;
  drainers_.show_as(AIOFIBER_WAIT_FD, reinterpret_cast<const void*>(wait | runtime::kWritable));
  closers_.show_as(AIOFIBER_WAIT_FD, reinterpret_cast<const void*>(wait));
}

void StreamProtocol::connection_lost(std::exception_ptr error) {
  reader_->forget_transport();
  if (error == nullptr) {
    reader_->feed_eof();
  } else {
    reader_->set_exception(error);
  }
  lost_ = true;
  lost_error_ = std::move(error);
  drainers_.pop_and_wake_all();
  closers_.pop_and_wake_all();
}

void StreamProtocol::resume_writing() {
  paused_ = false;
  drainers_.pop_and_wake_all();
}

void StreamProtocol::buffer_updated(std::size_t bytes) {
  reader_->buffer.added(bytes);
  reader_->data_added();
}

bool StreamProtocol::eof_received() {
  reader_->feed_eof();
  return true;  // the writer may still send
}

bool StreamProtocol::must_drain() const {
  if (lost_) {
    check_lost_error();
    std::rethrow_exception(connection_reset("Connection lost"));
  }
  return paused_;
}

void StreamProtocol::drain() {
  TaskCore& task = require_current_task();
  const std::shared_ptr<StreamProtocol> keep = shared_from_this();
  WaitQueue::Waiter waiter(drainers_, bound_.get_loop(&task, "StreamWriter", this));
  waiter.wait(task);
  check_lost_error();
}

Coro<void> StreamProtocol::drain_without_stack(std::shared_ptr<StreamProtocol> protocol) {
  WaitQueue::Waiter waiter(protocol->drainers_, protocol->bound_.get_loop("StreamWriter", protocol.get()));
  co_await waiter.woken_up();
  protocol->check_lost_error();
}

void StreamProtocol::wait_closed() {
  if (!lost_) {
    TaskCore& task = require_current_task();
    const std::shared_ptr<StreamProtocol> keep = shared_from_this();
    WaitQueue::Waiter waiter(closers_, bound_.get_loop(&task, "StreamWriter", this));
    waiter.wait(task);
  }
  check_lost_error();
}

Coro<void> StreamProtocol::wait_closed_without_stack(std::shared_ptr<StreamProtocol> protocol) {
  if (!protocol->lost_) {
    WaitQueue::Waiter waiter(protocol->closers_, protocol->bound_.get_loop("StreamWriter", protocol.get()));
    co_await waiter.woken_up();
  }
  protocol->check_lost_error();
}

}  // namespace aiofiber::detail
