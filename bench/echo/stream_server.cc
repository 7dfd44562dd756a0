// SPDX-License-Identifier: Apache-2.0
//
// The echo server on streams, as a new program is written: start_server() and a task for each connection.
//
// Usage: echo_stream_server [loops N | chunks | lines | coroutines | tls CERTIFICATE KEY]. loops: N workers
// in one group. chunks: for large messages, it reads up to 256 KiB at once. lines: it echoes lines;
// coroutines: the same in tasks without a stack. It gets the listening socket as descriptor 3 from
// echo_bench.
#include <aiofiber/asyncio.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "echo.h"

namespace {

template <std::ptrdiff_t most>
void serve(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  for (;;) {
    std::string bytes = asyncio::await(reader.read(most));
    if (bytes.empty()) break;
    writer.write(std::move(bytes));
    asyncio::await(writer.drain());
  }
  writer.close();
}
constexpr auto serve_small = serve<echo::kBufferSize>;
constexpr auto serve_large = serve<echo::kLargeBufferSize>;

void serve_lines(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  for (const std::string& line : reader) {
    writer.write(line);
    asyncio::await(writer.drain());
  }
  writer.close();
}

asyncio::Coro<void> serve_lines_without_stack(asyncio::StreamReader reader, asyncio::StreamWriter writer) {
  for (;;) {
    std::string line = co_await reader.readline();
    if (line.empty()) break;
    writer.write(std::move(line));
    co_await writer.drain();
  }
  writer.close();
}

template <class F>
void serve_forever(F fn, asyncio::StartServerOptions options = {}) {
  asyncio::run([&] {
    asyncio::Server server =
        asyncio::await(asyncio::start_server(fn, asyncio::Socket(echo::kListener), options));
    asyncio::await(server.serve_forever());
  });
}

void serve_on_loops(std::size_t loops) {
  const asyncio::ServerGroup group;
  asyncio::run_workers(
      [&](asyncio::Worker&) {
        const asyncio::StartServerOptions options{.group = group};
        asyncio::Server server = asyncio::await(
            asyncio::start_server(serve_small, asyncio::Socket(dup(echo::kListener)), options));
        asyncio::await(server.serve_forever());
      },
      {.loops = loops});
}

asyncio::SslContext server_context(const char* certificate, const char* key) {
  auto context = asyncio::SslContext::create_default_context({.purpose = asyncio::Purpose::CLIENT_AUTH});
  context.load_cert_chain(certificate, key);
  return context;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  if (kind == "loops" && argc > 2) {
    serve_on_loops(static_cast<std::size_t>(std::atoi(argv[2])));
  } else if (kind == "chunks") {
    serve_forever(serve_large, {.limit = echo::kLargeBufferSize});
  } else if (kind == "lines") {
    serve_forever(serve_lines);
  } else if (kind == "coroutines") {
    serve_forever(serve_lines_without_stack);
  } else if (kind == "tls" && argc > 3) {
    serve_forever(serve_small, {.ssl = server_context(argv[2], argv[3])});
  } else {
    serve_forever(serve_small);
  }
}
