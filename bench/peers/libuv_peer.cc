// SPDX-License-Identifier: Apache-2.0
//
// libuv in the race: timers, posts and the echo; it has no tasks. uv_async_send() carries nothing and joins
// several calls, so a post is a function in a list with a lock, as its users write it. The echo server takes
// the listening socket that is descriptor 3 (`peer echo`). See README.md for the measures.
#include <uv.h>

#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "../echo/echo.h"
#include "peer.h"

namespace {

void timers(long n) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    uv_loop_t* loop = uv_default_loop();
    std::vector<uv_timer_t> all(static_cast<std::size_t>(n));
    const peer::CpuWatch start;
    for (uv_timer_t& timer : all) {
      uv_timer_init(loop, &timer);
      uv_timer_start(
          &timer, [](uv_timer_t*) {}, 1'000'000, 0);
    }
    peer::print("timer_start", n, start.per(static_cast<double>(n)));
    const peer::CpuWatch cancel;
    for (uv_timer_t& timer : all) uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
    uv_run(loop, UV_RUN_NOWAIT);
    peer::print("timer_cancel", n, cancel.per(static_cast<double>(n)));
  }
}

class Mailbox {
 public:
  Mailbox() {
    uv_async_init(uv_default_loop(), &wake_up_,
                  [](uv_async_t* wake_up) { static_cast<Mailbox*>(wake_up->data)->run(); });
    wake_up_.data = this;
  }
  // The last thing that the loop does for it.
  void close() { uv_close(reinterpret_cast<uv_handle_t*>(&wake_up_), nullptr); }
  void post(std::function<void()> fn) {
    {
      const std::scoped_lock lock(mutex_);
      waiting_.push_back(std::move(fn));
    }
    uv_async_send(&wake_up_);
  }

 private:
  void run() {
    {
      const std::scoped_lock lock(mutex_);
      running_.swap(waiting_);
    }
    for (const auto& fn : running_) fn();
    running_.clear();
  }
  uv_async_t wake_up_{};
  std::mutex mutex_;
  std::vector<std::function<void()>> waiting_, running_;
};

void post(long producers) {
  const long each = peer::kPosts / producers, all = each * producers;
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    Mailbox mailbox;
    long seen = 0;
    std::vector<std::thread> threads;
    const double start = peer::wall_time();
    for (long i = 0; i < producers; ++i) {
      threads.emplace_back([&] {
        for (long k = 0; k < each; ++k) {
          mailbox.post([&] {
            if (++seen == all) uv_stop(uv_default_loop());
          });
        }
      });
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    peer::print("post", producers, (peer::wall_time() - start) / static_cast<double>(all));
    for (auto& thread : threads) thread.join();
    mailbox.close();
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  }
}

void idle_call(long n) {
  for (long repetition = 0; repetition < peer::repetitions; ++repetition) {
    Mailbox mailbox;
    std::thread caller([&] {
      const double start = peer::wall_time();
      for (long i = 0; i < peer::kCallsToIdleLoop; ++i) {
        uv_sem_t done;
        uv_sem_init(&done, 0);
        mailbox.post([&] { uv_sem_post(&done); });
        uv_sem_wait(&done);
        uv_sem_destroy(&done);
      }
      peer::print("idle_call", n, (peer::wall_time() - start) / peer::kCallsToIdleLoop);
      mailbox.post([&] { mailbox.close(); });
    });
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    caller.join();
  }
}

void close_and_delete(uv_stream_t* connection) {
  uv_close(reinterpret_cast<uv_handle_t*>(connection),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_tcp_t*>(handle); });
}
void on_read(uv_stream_t* connection, ssize_t n, const uv_buf_t* buffer) {
  if (n == 0) return;
  const uv_buf_t answer = uv_buf_init(buffer->base, static_cast<unsigned>(std::max<ssize_t>(n, 0)));
  if (n < 0 || uv_try_write(connection, &answer, 1) != n) close_and_delete(connection);
}
void on_connection(uv_stream_t* listener, int) {
  auto* connection = new uv_tcp_t;
  uv_tcp_init(listener->loop, connection);
  auto* stream = reinterpret_cast<uv_stream_t*>(connection);
  if (uv_accept(listener, stream) != 0) return close_and_delete(stream);
  uv_tcp_nodelay(connection, 1);
  uv_read_start(
      stream,
      [](uv_handle_t*, std::size_t, uv_buf_t* buffer) {
        static char bytes[echo::kBufferSize];
        *buffer = uv_buf_init(bytes, sizeof bytes);
      },
      on_read);
}
void serve_echo() {
  uv_tcp_t listener;
  uv_tcp_init(uv_default_loop(), &listener);
  uv_tcp_open(&listener, echo::kListener);
  uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 4096, on_connection);
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "echo") == 0) serve_echo();
  return peer::run(argc, argv, {{"timers", timers}, {"post", post}, {"idle_call", idle_call}});
}
