// SPDX-License-Identifier: Apache-2.0
//
// drain(), wait_closed(), and what happens to a writer that nobody closed.
#include "aiofiber/stream_writer.h"

#include "aiofiber/event_loop.h"
#include "aiofiber/log.h"
#include "aiofiber/sleep.h"
#include "streams/socket_transport.h"
#include "streams/stream_protocol.h"
#include "streams/tls_factory.h"

namespace aiofiber::detail {

using runtime::Ref;

StreamWriterState::StreamWriterState(LoopCore& loop, Transport its_transport,
                                     std::shared_ptr<StreamProtocol> its_protocol)
    : transport(std::move(its_transport)), protocol(std::move(its_protocol)), loop_(&loop) {}

StreamWriterState::~StreamWriterState() {
  if (transport.is_closing()) return;
  try {
    const std::string text = transport.state().text();
    transport.close();
    log(LogLevel::WARNING, "ResourceWarning: unclosed " + text);
  } catch (const std::exception&) {
    // No memory for the report, or no way to close now: the loop closes the transport.
  }
}

bool StreamWriterState::must_drain() const {
  protocol->reader()->check();
  return protocol->must_drain();
}

void StreamWriterState::drain() {
  protocol->reader()->check();
  if (transport.is_closing()) sleep_here(Duration());
  if (must_drain()) protocol->drain();
}

Coro<void> StreamWriterState::drain_without_stack(Ref<StreamWriterState> writer) {
  writer->protocol->reader()->check();
  if (writer->transport.is_closing()) co_await sleep_without_stack(Duration());
  if (writer->must_drain()) co_await StreamProtocol::drain_without_stack(writer->protocol);
}

Coro<void> StreamWriterState::start_tls(Ref<StreamWriterState> writer, SslContext context,
                                        StartTlsOptions options) {
  StreamProtocol& protocol = *writer->protocol;
  if (!options.server_side) options.server_side = protocol.server_side();
  co_await drain_without_stack(writer);
  StreamReaderState& reader = *protocol.reader();
  if (reader.eof()) std::rethrow_exception(connection_reset("The peer closed the connection before TLS"));
  LoopCore& loop = *writer->loop_;
  auto starting = detail::start_tls(loop, writer->transport, writer->protocol, std::move(context),
                                    std::move(options), &reader);
  writer->transport = co_await std::move(starting);
  protocol.use_transport(writer->transport);
}

void WriterWaitClosed::operator()() { protocol->wait_closed(); }
Coro<void> WriterWaitClosed::stackless_form() {
  return StreamProtocol::wait_closed_without_stack(std::move(protocol));
}

}  // namespace aiofiber::detail
