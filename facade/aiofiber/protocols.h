// SPDX-License-Identifier: Apache-2.0
//
// Protocols: what a program derives to be called by a transport. Source: asyncio's "Protocols".
//
// A transport calls connection_made() once, then the functions for data, then connection_lost() once. All
// calls are on the loop's thread, on the loop's own stack: await() is an error there (start a task instead).
// An exception that leaves a function is reported to the loop's exception handler, and aborts the connection.
#pragma once

#include <cstddef>
#include <exception>
#include <span>
#include <string_view>

namespace aiofiber {

class Transport;

// What every protocol is told by its transport. Source: asyncio.BaseProtocol.
class BaseProtocol {
 public:
  virtual ~BaseProtocol() = default;
  // The connection is there. A copy of the handle may be kept.
  virtual void connection_made(Transport transport);
  // The connection is gone, and nothing is called after it. Null: it ended regularly, or by close() or
  // abort().
  virtual void connection_lost(std::exception_ptr error);
  // The transport's buffer is above its high-water mark; it is below its low-water mark again.
  virtual void pause_writing() {}
  // The counterpart of pause_writing(): go on.
  virtual void resume_writing() {}
};

// For streams of bytes.
class Protocol : public BaseProtocol {
 public:
  // Some bytes came, valid during the call.
  virtual void data_received(std::string_view data);
  // The peer sends no more. False: the transport closes itself; true: it stays open for writing.
  virtual bool eof_received() { return false; }
};

// For streams of bytes that are read into the protocol's own memory.
class BufferedProtocol : public BaseProtocol {
 public:
  // Memory for the next bytes, at least one. `size_hint`: a recommended size; it may give less or more. The
  // memory is used until buffer_updated() or connection_lost() is called.
  virtual std::span<char> get_buffer(std::size_t size_hint) = 0;
  // So many bytes were read into it.
  virtual void buffer_updated(std::size_t bytes) = 0;
  // As Protocol's.
  virtual bool eof_received() { return false; }
};

}  // namespace aiofiber
