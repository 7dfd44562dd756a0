// SPDX-License-Identifier: Apache-2.0
//
// Boost.Asio in the race: what its users do with callbacks on one io_context. It has no tasks without C++20
// coroutines or Boost.Coroutine, so it takes part in timers, posts and the echo. The echo server takes the
// listening socket that is descriptor 3 (`peer echo`). See README.md for the measures.
#include <utility>  // Boost 1.74 forgets it

#include <boost/asio.hpp>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "../echo/echo.h"
#include "peer.h"

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

void timers(long n) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    asio::io_context context(1);
    std::vector<asio::steady_timer> all;
    all.reserve(static_cast<std::size_t>(n));
    const peer::CpuWatch start;
    for (long i = 0; i < n; ++i) {
      all.emplace_back(context, std::chrono::seconds(1000));
      all.back().async_wait([](const boost::system::error_code&) {});
    }
    peer::print("timer_start", n, start.per(static_cast<double>(n)));
    const peer::CpuWatch cancel;
    all.clear();     // cancels, which hands each handler to the loop
    context.poll();  // the handlers run
    peer::print("timer_cancel", n, cancel.per(static_cast<double>(n)));
  }
}

void post(long producers) {
  const long each = peer::kPosts / producers, all = each * producers;
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    asio::io_context context;
    auto work = asio::make_work_guard(context);
    long seen = 0;
    std::vector<std::thread> threads;
    const double start = peer::wall_time();
    for (long i = 0; i < producers; ++i) {
      threads.emplace_back([&] {
        for (long k = 0; k < each; ++k) {
          asio::post(context, [&] {
            if (++seen == all) work.reset();
          });
        }
      });
    }
    context.run();
    peer::print("post", producers, (peer::wall_time() - start) / static_cast<double>(all));
    for (auto& thread : threads) thread.join();
  }
}

void idle_call(long n) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    asio::io_context context;
    auto work = asio::make_work_guard(context);
    std::thread caller([&] {
      const double start = peer::wall_time();
      for (long i = 0; i < peer::kCallsToIdleLoop; ++i) {
        auto result = asio::post(context, std::packaged_task<long()>([i] { return i; }));
        peer::require(result.get() == i, "idle_call");
      }
      peer::print("idle_call", n, (peer::wall_time() - start) / peer::kCallsToIdleLoop);
      work.reset();
    });
    context.run();
    caller.join();
  }
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}
  void read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](boost::system::error_code error, std::size_t n) {
                              if (!error) self->write(n);
                            });
  }

 private:
  void write(std::size_t n) {
    asio::async_write(socket_, asio::buffer(buffer_, n),
                      [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }
  tcp::socket socket_;
  std::array<char, echo::kBufferSize> buffer_;
};

void accept_next(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](boost::system::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true));
      std::make_shared<Session>(std::move(socket))->read();
    }
    accept_next(acceptor);
  });
}
void serve_echo() {
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::v4(), echo::kListener);
  accept_next(acceptor);
  context.run();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "echo") == 0) serve_echo();
  return peer::run(argc, argv, {{"timers", timers}, {"post", post}, {"idle_call", idle_call}});
}
